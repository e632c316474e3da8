//! Reading and writing single objects: data, dead letters and small files.

use std::path::PathBuf;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};

use crate::{Error, Lake, layout};

/// How many names are tried for one immutable file: each crash between a data put and its commit uses one up.
const MAX_NAMES: u32 = 1000;

/// A file as it now lies in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    pub path: String,
    pub bytes: u64,
}

impl Lake {
    /// Stores the Parquet file with the rows of one hour out of offsets `first..=last`. It does not exist for readers until committed.
    pub async fn put_data(
        &self,
        topic: &str,
        partition: i32,
        hour: DateTime<Utc>,
        (first, last): (i64, i64),
        content: Bytes,
    ) -> Result<WrittenFile, Error> {
        self.put_immutable(&layout::data_stem(topic, partition, hour, first, last), content).await
    }

    /// Stores the Parquet file with the dead letters of the commit that begins at `first`.
    pub async fn put_dead_letters(
        &self,
        topic: &str,
        partition: i32,
        first: i64,
        content: Bytes,
    ) -> Result<WrittenFile, Error> {
        self.put_immutable(&layout::dead_letters_stem(topic, partition, first), content).await
    }

    /// Stores or replaces a small file, such as `songs/songs.csv`.
    pub async fn put_file(&self, path: &str, content: Bytes) -> Result<(), Error> {
        self.put(path, content, PutMode::Overwrite)
            .await
            .map(drop)
            .map_err(|e| Error::store("write", path, e))
    }

    /// The same, and it is on the disk when this returns.
    pub async fn put_file_durably(&self, path: &str, content: Bytes) -> Result<(), Error> {
        self.put_file(path, content).await?;
        self.sync(path).await
    }

    /// A file that is not there is fine.
    pub async fn delete_file(&self, path: &str) -> Result<(), Error> {
        match self.inner.store.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::store("delete", &self.uri(path), error)),
        }
    }

    /// Reads any file of the lake whole.
    pub async fn get_file(&self, path: &str) -> Result<Bytes, Error> {
        self.read(path).await?.ok_or_else(|| Error::NotFound { path: self.uri(path) })
    }

    /// A name that is taken is never overwritten: it may belong to a commit of a writer that was faster, or to one that crashed.
    async fn put_immutable(&self, stem: &str, content: Bytes) -> Result<WrittenFile, Error> {
        let bytes = content.len() as u64;
        for attempt in 0..MAX_NAMES {
            let path = match attempt {
                0 => format!("{stem}.parquet"),
                n => format!("{stem}-r{n}.parquet"),
            };
            if self.create(&path, content.clone()).await? {
                return Ok(WrittenFile { path, bytes });
            }
        }
        let problem = format!("{MAX_NAMES} files were written under this name and none was committed");
        let remedy = "look for the reason in the log of the streaming job, then delete the orphans";
        Err(Error::Damaged { path: self.uri(stem), problem, remedy })
    }

    /// Creates an object durably; false if the name is taken.
    pub(crate) async fn create(&self, path: &str, content: Bytes) -> Result<bool, Error> {
        match self.put(path, content, PutMode::Create).await {
            Ok(()) => self.sync(path).await.map(|()| true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(error) => Err(Error::store("write", &self.uri(path), error)),
        }
    }

    pub(crate) async fn read(&self, path: &str) -> Result<Option<Bytes>, Error> {
        let failed = |error| Error::store("read", &self.uri(path), error);
        match self.inner.store.get(&Path::from(path)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn put(&self, path: &str, content: Bytes, mode: PutMode) -> Result<(), object_store::Error> {
        let options = PutOptions::from(mode);
        self.inner.store.put_opts(&Path::from(path), PutPayload::from(content), options).await.map(drop)
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        let Some(folder) = &self.inner.folder else { return Ok(()) };
        let file = folder.join(path);
        let outcome = tokio::task::spawn_blocking(move || sync_file(file)).await;
        outcome
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|source| Error::Sync { path: self.uri(path), source })
    }
}

fn sync_file(file: PathBuf) -> std::io::Result<()> {
    std::fs::File::open(&file)?.sync_all()?;
    match file.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
