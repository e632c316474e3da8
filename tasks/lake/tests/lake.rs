//! The rules of the lake on a real folder and in memory.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use lake::{Commit, DataFile, Error, Lake, Watermark};
use model::Window;
use proptest::prelude::*;
use testkit::FakeGcs;

const TOPIC: &str = "listen_events";

fn hour(n: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + n * 3600, 0).unwrap()
}

fn commit(partition: i32, prev_last: Option<i64>, rows: u64, at: DateTime<Utc>, path: &str) -> Commit {
    let first = prev_last.map_or(0, |prev| prev + 1);
    let (min_ts, max_ts) = (at.timestamp_millis(), at.timestamp_millis() + 1000);
    Commit {
        topic: TOPIC.into(),
        partition,
        first,
        last: first + rows as i64 - 1,
        prev_last,
        files: vec![DataFile { path: path.into(), hour: at, rows, bytes: 4, min_ts, max_ts }],
        dead_letters: 0,
        dead_letter_file: None,
        skipped: 0,
        schema_hash: "hash".into(),
        writer: "writer".into(),
        at,
    }
}

/// Puts a data file and commits it, as a writer does.
async fn write(lake: &Lake, partition: i32, prev_last: Option<i64>, rows: u64, at: DateTime<Utc>) -> Commit {
    let first = prev_last.map_or(0, |prev| prev + 1);
    let last = first + rows as i64 - 1;
    let file = lake.put_data(TOPIC, partition, at, (first, last), Bytes::from_static(b"PAR1")).await.unwrap();
    let commit = commit(partition, prev_last, rows, at, &file.path);
    lake.commit(&commit).await.unwrap();
    commit
}

fn folder() -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap()).unwrap();
    (folder, lake)
}

/// Every rule holds on a folder and in a bucket, whose precondition on creation does what a hard link does there.
async fn places() -> Vec<(Box<dyn std::any::Any>, Lake)> {
    let (folder, on_disk) = folder();
    let storage = FakeGcs::start().await.unwrap();
    let in_bucket = Lake::open(&format!("gs://lake/some/where?endpoint={}", storage.url)).unwrap();
    vec![(Box::new(folder), on_disk), (Box::new(storage), in_bucket)]
}

#[tokio::test]
async fn a_bucket_is_named_without_the_endpoint_that_leads_to_it() {
    let lake = Lake::open("gs://lake/some/where?endpoint=http://127.0.0.1:1").unwrap();
    assert_eq!(lake.uri("events/a.parquet"), "gs://lake/some/where/events/a.parquet");
    assert!(lake.url().ends_with("?endpoint=http://127.0.0.1:1"));
    let error = Lake::open("gs://lake?endpoint=http://example.org").err().unwrap().to_string();
    assert!(error.contains("https"), "{error}");
}

#[tokio::test]
async fn a_second_writer_of_an_offset_is_fenced_and_changes_nothing() {
    for (_place, lake) in places().await {
        let first = write(&lake, 0, None, 10, hour(0)).await;
        let rival = Commit { writer: "rival".into(), ..commit(0, None, 4, hour(0), "events/rival.parquet") };
        let error = lake.commit(&rival).await.unwrap_err();
        assert!(matches!(error, Error::Fenced { partition: 0, first: 0, .. }), "{error:?}");
        assert_eq!(lake.tail(TOPIC, 0).await.unwrap(), Some(first));
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_can_be_repeated() {
    for (_place, lake) in places().await {
        let entry = write(&lake, 0, None, 10, hour(0)).await;
        lake.commit(&entry).await.unwrap();
        assert_eq!(lake.commits(TOPIC).await.unwrap(), [entry]);
    }
}

#[tokio::test]
async fn of_many_racing_writers_exactly_one_commits() {
    for (_place, lake) in places().await {
        let race = (0..16).map(|n| {
            let lake = lake.clone();
            let entry = Commit {
                writer: format!("writer-{n}"),
                ..commit(0, None, 1 + n, hour(0), "events/x.parquet")
            };
            tokio::spawn(async move { lake.commit(&entry).await })
        });
        let outcomes = futures::future::join_all(race).await;
        let won = outcomes.iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count();
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn a_file_is_never_overwritten_by_one_with_the_same_offsets() {
    for (_place, lake) in places().await {
        let mut paths = Vec::new();
        for content in [&b"one"[..], b"two", b"three"] {
            let file = lake.put_data(TOPIC, 0, hour(0), (0, 9), Bytes::from_static(content)).await.unwrap();
            assert_eq!(lake.get_file(&file.path).await.unwrap(), content);
            paths.push(file.path);
        }
        assert!(
            paths[0].ends_with("-00000000000000000009.parquet") && paths[2].ends_with("-r2.parquet"),
            "{paths:?}"
        );
        assert_eq!(lake.get_file(&paths[0]).await.unwrap(), &b"one"[..]);
    }
}

#[tokio::test]
async fn another_handle_sees_new_entries_without_reading_old_ones_again() {
    let (folder, lake) = folder();
    let reader = Lake::open(folder.path().to_str().unwrap()).unwrap();
    let mut expected = vec![write(&lake, 0, None, 5, hour(0)).await];
    assert_eq!(reader.commits(TOPIC).await.unwrap(), expected);
    // Were the old entry read again, its damage would be noticed.
    std::fs::write(folder.path().join(expected[0].path()), b"").unwrap();
    for n in 1..4 {
        expected.push(write(&lake, 0, Some(n * 5 - 1), 5, hour(n)).await);
    }
    expected.push(write(&lake, 1, None, 3, hour(1)).await);
    assert_eq!(reader.commits(TOPIC).await.unwrap(), expected);
}

#[tokio::test]
async fn a_damaged_entry_is_named_with_its_remedy() {
    let (folder, lake) = folder();
    let entry = write(&lake, 0, None, 5, hour(0)).await;
    std::fs::write(folder.path().join(entry.path()), b"").unwrap();
    let text = lake.tail(TOPIC, 0).await.unwrap_err().to_string();
    assert!(text.contains(&entry.path()) && text.contains("delete it"), "{text}");
}

#[tokio::test]
async fn a_missing_entry_in_the_chain_is_an_error_and_not_silent_loss() {
    let (folder, lake) = folder();
    let first = write(&lake, 0, None, 5, hour(0)).await;
    write(&lake, 0, Some(4), 5, hour(0)).await;
    std::fs::remove_file(folder.path().join(first.path())).unwrap();
    let text = lake.commits(TOPIC).await.unwrap_err().to_string();
    assert!(text.contains("continues offset Some(4)"), "{text}");
}

#[tokio::test]
async fn an_hour_is_the_files_of_all_partitions_and_a_late_file_changes_its_digest() {
    for (_place, lake) in places().await {
        write(&lake, 0, None, 5, hour(0)).await;
        write(&lake, 1, None, 7, hour(0)).await;
        write(&lake, 1, Some(6), 2, hour(1)).await;
        let before = lake.hour(TOPIC, hour(0) + TimeDelta::minutes(59)).await.unwrap();
        assert_eq!((before.files.len(), before.rows, before.hour), (2, 12, hour(0)));
        assert_eq!(lake.hour(TOPIC, hour(0)).await.unwrap(), before);
        write(&lake, 0, Some(4), 1, hour(0)).await;
        let after = lake.hour(TOPIC, hour(0)).await.unwrap();
        assert_eq!(after.rows, 13);
        assert_ne!(after.digest, before.digest);
    }
}

#[tokio::test]
async fn a_window_is_half_open_and_an_hour_without_files_is_empty() {
    for (_place, lake) in places().await {
        write(&lake, 0, None, 5, hour(0)).await;
        write(&lake, 0, Some(4), 5, hour(2)).await;
        let starts = async |start, end| {
            let hours = lake.hours(TOPIC, &Window { start, end }).await.unwrap();
            hours.into_iter().map(|manifest| manifest.hour).collect::<Vec<_>>()
        };
        assert_eq!(starts(hour(0), hour(2)).await, [hour(0)]);
        assert_eq!(starts(hour(0), hour(3)).await, [hour(0), hour(2)]);
        assert!(starts(hour(2), hour(2)).await.is_empty());
        assert_eq!(lake.hour(TOPIC, hour(1)).await.unwrap().rows, 0);
    }
}

#[tokio::test]
async fn a_topic_has_a_watermark_once_each_partition_has_one_and_it_is_the_least() {
    for (_place, lake) in places().await {
        let put = async |partition, n| {
            let watermark = Watermark { at: hour(n), next_offset: 0, partitions: 3 };
            lake.put_watermark(TOPIC, partition, watermark).await.unwrap();
        };
        assert_eq!(lake.watermark(TOPIC).await.unwrap(), None);
        put(0, 5).await;
        put(1, 3).await;
        assert_eq!(lake.watermark(TOPIC).await.unwrap(), None);
        put(2, 9).await;
        assert_eq!(lake.watermark(TOPIC).await.unwrap(), Some(hour(3)));
        put(1, 2).await;
        assert_eq!(lake.watermark(TOPIC).await.unwrap(), Some(hour(3)), "it never goes back");
    }
}

#[tokio::test]
async fn only_old_files_without_an_entry_are_orphans() {
    for (_place, lake) in places().await {
        let kept = write(&lake, 0, None, 5, hour(0)).await;
        let lost = lake.put_data(TOPIC, 0, hour(0), (5, 9), Bytes::from_static(b"PAR1")).await.unwrap();
        let now = Utc::now();
        assert!(
            lake.orphans(TimeDelta::zero(), now).await.unwrap().is_empty(),
            "young files may still be committed"
        );
        let later = now + TimeDelta::hours(25);
        let deleted = lake.delete_orphans(TimeDelta::hours(24), later).await.unwrap();
        assert_eq!(deleted.iter().map(|orphan| &orphan.path).collect::<Vec<_>>(), [&lost.path]);
        assert!(matches!(lake.get_file(&lost.path).await, Err(Error::NotFound { .. })));
        lake.get_file(&kept.files[0].path).await.unwrap();
    }
}

#[tokio::test]
async fn small_files_are_replaced_and_a_missing_one_is_named() {
    let (folder, lake) = folder();
    for content in [&b"a"[..], b"b"] {
        lake.put_file("songs/songs.csv", Bytes::from_static(content)).await.unwrap();
    }
    assert_eq!(std::fs::read(lake.uri("songs/songs.csv")).unwrap(), b"b");
    let text = lake.get_file("songs/none.csv").await.unwrap_err().to_string();
    assert!(text.contains(folder.path().to_str().unwrap()) && text.contains("none.csv"), "{text}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_names_path_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let text = Lake::open(file.to_str().unwrap()).unwrap_err().to_string();
    assert!(text.contains("cannot be created") && text.contains("name another folder"), "{text}");
}

#[test]
fn a_wrong_url_says_what_is_wrong() {
    let cases = [
        ("", "is empty"),
        ("ftp://host/lake", "unknown scheme `ftp`"),
        ("file://relative/lake", "absolute path"),
        ("gs:///path", "bucket"),
    ];
    for (url, expected) in cases {
        let text = Lake::open(url).unwrap_err().to_string();
        assert!(text.contains(expected), "{url}: {text}");
    }
}

#[tokio::test]
async fn clones_of_a_memory_lake_share_it() {
    let lake = Lake::open("memory://").unwrap();
    let entry = write(&lake.clone(), 0, None, 5, hour(0)).await;
    assert_eq!(lake.commits(TOPIC).await.unwrap(), [entry]);
    assert_eq!(lake.topics().await.unwrap(), [TOPIC]);
    assert_eq!(lake.uri("a/b"), "memory:///a/b");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// However entries and readings interleave, the index equals what a fresh handle reads.
    #[test]
    fn the_index_equals_the_log(steps in prop::collection::vec((0..3_i32, 1..20_u64, 0..4_i64, any::<bool>()), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (folder, lake) = folder();
            let mut ends = [None; 3];
            for (partition, rows, at, read) in steps {
                let end = &mut ends[partition as usize];
                *end = Some(write(&lake, partition, *end, rows, hour(at)).await.last);
                if read {
                    lake.commits(TOPIC).await.unwrap();
                }
            }
            let fresh = Lake::open(folder.path().to_str().unwrap()).unwrap();
            let commits = lake.commits(TOPIC).await.unwrap();
            assert_eq!(fresh.commits(TOPIC).await.unwrap(), commits);
            let window = Window { start: hour(0), end: hour(4) };
            let hours = lake.hours(TOPIC, &window).await.unwrap();
            assert_eq!(fresh.hours(TOPIC, &window).await.unwrap(), hours);
            let total: i64 = ends.iter().flatten().map(|last| last + 1).sum();
            assert_eq!(hours.iter().map(|manifest| manifest.rows).sum::<u64>(), total as u64);
        });
    }
}
