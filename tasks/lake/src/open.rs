//! From a URL to a lake, with an answer for each way in which the URL can be wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, path::Path as ObjectPath};
use url::Url;

use crate::{Error, Inner, Lake, cloud_storage, log};

const SCHEMES: &str = "use a folder, file:///folder, gs://bucket/path, s3://bucket/path or memory:///";

impl Lake {
    /// Opens a lake. A folder is created when missing and must be writable; a bucket is not contacted yet. Credentials of `gs://` are
    /// Google's application default ones (`gs://bucket/path?endpoint=http://127.0.0.1:4443` is an emulator and needs none), those of
    /// `s3://` come from the environment (`AWS_*`). Each `memory://` is a lake of its own: share it by cloning.
    pub fn open(url: &str) -> Result<Lake, Error> {
        if url.trim().is_empty() {
            return Err(problem(url, format!("is empty; {SCHEMES}")));
        }
        let Some((scheme, _)) = url.split_once("://") else {
            return Self::open_folder(url, Path::new(url));
        };
        let parsed = Url::parse(url).map_err(|error| problem(url, error.to_string()))?;
        match scheme {
            "file" => {
                let folder = parsed.to_file_path().map_err(|()| {
                    problem(url, "a file URL has an absolute path and no host, as in file:///var/lake".into())
                })?;
                Self::open_folder(url, &folder)
            }
            "memory" => Ok(Self::new("memory://".into(), None, Box::new(InMemory::new()))),
            "gs" | "s3" => Ok(Self::in_bucket(&parsed, bucket_store(url)?)),
            _ => Err(problem(url, format!("unknown scheme `{scheme}`; {SCHEMES}"))),
        }
    }

    /// The URL as normalised: an absolute `file://` path for folders, no trailing slash.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// What a warehouse on this machine or in the cloud can read: an absolute file path, or `gs://...`.
    pub fn uri(&self, path: &str) -> String {
        match &self.inner.folder {
            Some(folder) => folder.join(path).to_string_lossy().into_owned(),
            None => match self.inner.url.split_once('?') {
                Some((bucket, _)) => format!("{}/{path}", bucket.trim_end_matches('/')),
                None => format!("{}/{path}", self.inner.url),
            },
        }
    }

    fn new(url: String, folder: Option<PathBuf>, store: Box<dyn ObjectStore>) -> Lake {
        Lake { inner: Arc::new(Inner { url, folder, store, index: log::Index::default() }) }
    }

    fn in_bucket(url: &Url, store: Box<dyn ObjectStore>) -> Lake {
        let prefix = ObjectPath::from(url.path());
        let url = url.as_str().trim_end_matches('/').to_owned();
        if prefix.as_ref().is_empty() {
            return Self::new(url, None, store);
        }
        Self::new(url, None, Box::new(PrefixStore::new(store, prefix)))
    }

    fn open_folder(url: &str, folder: &Path) -> Result<Lake, Error> {
        fs::create_dir_all(folder).map_err(|source| Error::Folder {
            path: folder.display().to_string(),
            problem: "cannot be created",
            remedy: "name another folder, or create it and give this process write permission",
            source,
        })?;
        let unusable = |source| Error::Folder {
            path: folder.display().to_string(),
            problem: "is not writable",
            remedy: "give this process write permission, free some space, or name another folder",
            source,
        };
        let root = folder.canonicalize().map_err(unusable)?;
        probe(&root).map_err(unusable)?;
        let store =
            LocalFileSystem::new_with_prefix(&root).map_err(|error| problem(url, error.to_string()))?;
        let normal =
            Url::from_file_path(&root).map_err(|()| problem(url, "is not an absolute path".into()))?;
        Ok(Self::new(normal.to_string(), Some(root), Box::new(store)))
    }
}

fn probe(root: &Path) -> std::io::Result<()> {
    let path = root.join(format!(".write-test-{}", std::process::id()));
    fs::write(&path, b"probe")?;
    match fs::remove_file(&path) {
        // Another handle of this process may have probed the same folder.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The whole bucket of a `gs://` or `s3://` URL, not contacted yet.
pub(crate) fn bucket_store(url: &str) -> Result<Box<dyn ObjectStore>, Error> {
    let parsed = Url::parse(url).map_err(|error| problem(url, error.to_string()))?;
    let Some(bucket) = parsed.host_str().filter(|bucket| !bucket.is_empty()) else {
        return Err(problem(url, format!("names no bucket, as in {}://bucket/path", parsed.scheme())));
    };
    let bucket = format!("{}://{bucket}", parsed.scheme());
    let wrong = |error: object_store::Error| problem(url, error.to_string());
    Ok(match parsed.scheme() {
        "gs" => cloud_storage::open(&parsed, &bucket).map_err(|said| problem(url, said))?,
        "s3" => Box::new(AmazonS3Builder::from_env().with_url(bucket).build().map_err(wrong)?),
        scheme => return Err(problem(url, format!("unknown scheme `{scheme}`; {SCHEMES}"))),
    })
}

fn problem(url: &str, problem: String) -> Error {
    Error::Url { url: url.to_owned(), problem }
}
