//! Looking for objects by name or pattern: in this lake, in another bucket, or in a folder of this machine.

use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::open::bucket_store;
use crate::{Error, Lake};

/// A pattern that has more objects under its fixed part is too wide.
const LOOKED_AT_MAX: usize = 100_000;
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub uri: String,
    pub bytes: u64,
}

impl Lake {
    /// The objects that a name or pattern (`*`, `?`, `[ab]`, `**` for any folders) stands for, by name: `landing/*.csv` in this lake,
    /// `/folder/*.csv` or `file:///folder/*.csv` on this machine, `gs://bucket/...`, `s3://bucket/...`.
    pub async fn find(&self, pattern: &str) -> Result<Vec<Found>, Error> {
        let mut found = match pattern.split_once("://") {
            Some(("file", path)) => find_files(path.to_owned()).await?,
            Some((scheme, rest)) => {
                let (bucket, inside) = rest.split_once('/').unwrap_or((rest, ""));
                let url = format!("{scheme}://{bucket}");
                let store = bucket_store(&url)?;
                find_objects(&*store, pattern, inside, |path| format!("{url}/{path}")).await?
            }
            None if pattern.starts_with('/') => find_files(pattern.to_owned()).await?,
            None => find_objects(&*self.inner.store, pattern, pattern, |path| self.uri(path)).await?,
        };
        found.sort_by(|a, b| a.uri.cmp(&b.uri));
        Ok(found)
    }
}

async fn find_objects(
    store: &dyn ObjectStore,
    shown: &str,
    inside: &str,
    uri: impl Fn(&str) -> String,
) -> Result<Vec<Found>, Error> {
    let failed = |source| Error::store("list", shown, source);
    let Some(fixed) = fixed_part(inside) else {
        return match store.head(&Path::from(inside)).await {
            Ok(object) => Ok(vec![Found { uri: uri(object.location.as_ref()), bytes: object.size }]),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        };
    };
    let pattern = parse(shown, inside)?;
    let prefix = Path::from(fixed);
    let mut objects = store.list(Some(&prefix));
    let (mut found, mut looked_at) = (Vec::new(), 0);
    while let Some(object) = objects.try_next().await.map_err(failed)? {
        looked_at += 1;
        if looked_at > LOOKED_AT_MAX {
            return Err(too_wide(shown));
        }
        if pattern.matches_with(object.location.as_ref(), MATCHING) {
            found.push(Found { uri: uri(object.location.as_ref()), bytes: object.size });
        }
    }
    Ok(found)
}

/// The folders before the first special character; `None` if there is none.
fn fixed_part(pattern: &str) -> Option<&str> {
    let special = pattern.find(['*', '?', '['])?;
    Some(pattern[..special].rsplit_once('/').map_or("", |(folders, _)| folders))
}

async fn find_files(pattern: String) -> Result<Vec<Found>, Error> {
    let work = tokio::task::spawn_blocking(move || list_files(&pattern));
    work.await.unwrap_or_else(|error| {
        Err(Error::List { path: "the folder".to_owned(), source: std::io::Error::other(error) })
    })
}

fn list_files(pattern: &str) -> Result<Vec<Found>, Error> {
    parse(pattern, pattern)?;
    let paths = glob::glob_with(pattern, MATCHING).map_err(|error| wrong(pattern, error.msg))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| Error::List {
            path: error.path().display().to_string(),
            source: error.into(),
        })?;
        match path.metadata() {
            Ok(meta) if meta.is_file() => {
                found.push(Found { uri: path.to_string_lossy().into_owned(), bytes: meta.len() });
            }
            Ok(_) => {}
            // Gone between the listing and now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::List { path: path.display().to_string(), source }),
        }
        if found.len() > LOOKED_AT_MAX {
            return Err(too_wide(pattern));
        }
    }
    Ok(found)
}

fn parse(shown: &str, pattern: &str) -> Result<Pattern, Error> {
    Pattern::new(pattern).map_err(|error| wrong(shown, error.msg))
}

fn wrong(pattern: &str, problem: &str) -> Error {
    Error::Pattern { pattern: pattern.to_owned(), problem: problem.to_owned() }
}

fn too_wide(pattern: &str) -> Error {
    wrong(pattern, &format!("more than {LOOKED_AT_MAX} objects to look at; name a narrower folder"))
}
