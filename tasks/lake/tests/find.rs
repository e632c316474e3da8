//! Objects are found by name and by pattern.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use lake::{Error, Lake};

async fn filled(url: &str) -> Lake {
    let lake = Lake::open(url).unwrap();
    for path in ["landing/a.csv", "landing/b.csv", "landing/c.txt", "landing/2026/d.csv", "landing2/e.csv"] {
        lake.put_file(path, Bytes::from_static(b"12345")).await.unwrap();
    }
    lake
}

async fn names(lake: &Lake, pattern: &str) -> Vec<String> {
    let found = lake.find(pattern).await.unwrap();
    assert!(found.iter().all(|found| found.bytes == 5));
    found.into_iter().map(|found| found.uri).collect()
}

#[tokio::test]
async fn a_pattern_stays_in_its_folder_and_two_stars_go_into_others() {
    let folder = tempfile::tempdir().unwrap();
    for lake in [filled("memory://").await, filled(folder.path().to_str().unwrap()).await] {
        let uri = |path: &str| lake.uri(path);
        assert_eq!(names(&lake, "landing/a.csv").await, [uri("landing/a.csv")]);
        assert_eq!(names(&lake, "landing/*.csv").await, [uri("landing/a.csv"), uri("landing/b.csv")]);
        assert_eq!(names(&lake, "landing/[bc].*").await, [uri("landing/b.csv"), uri("landing/c.txt")]);
        assert_eq!(names(&lake, "*/e.csv").await, [uri("landing2/e.csv")]);
        assert_eq!(
            names(&lake, "landing/**/*.csv").await,
            [uri("landing/2026/d.csv"), uri("landing/a.csv"), uri("landing/b.csv")]
        );
        assert!(names(&lake, "landing").await.is_empty(), "a folder is no object");
        assert!(names(&lake, "nowhere/*").await.is_empty());
    }
}

#[tokio::test]
async fn files_of_this_machine_are_found_by_path_and_by_url() {
    let (lake, folder) = (Lake::open("memory://").unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("done.flag");
    std::fs::write(&path, "12345").unwrap();
    std::fs::create_dir(folder.path().join("done.d")).unwrap();
    let path = path.to_str().unwrap().to_string();
    let pattern = format!("{}/done.*", folder.path().display());
    assert_eq!(names(&lake, &path).await, std::slice::from_ref(&path));
    assert_eq!(names(&lake, &pattern).await, std::slice::from_ref(&path));
    assert_eq!(names(&lake, &format!("file://{pattern}")).await, [path]);
}

#[tokio::test]
async fn what_cannot_be_a_place_is_refused() {
    let lake = Lake::open("memory://").unwrap();
    let problem = async |pattern: &str| {
        let error = lake.find(pattern).await.unwrap_err();
        assert!(!error.may_pass(), "{error}");
        error.to_string()
    };
    assert!(problem("ftp://host/a").await.contains("unknown scheme `ftp`"));
    assert!(problem("s3:///a").await.contains("names no bucket"));
    assert!(problem("landing/***").await.contains("`landing/***`"));
    assert!(matches!(lake.find("/a/***").await, Err(Error::Pattern { .. })));
}
