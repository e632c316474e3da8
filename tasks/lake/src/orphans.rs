//! Files that no log entry names: left by a crash between a put and its commit, or by a writer that was fenced.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::{Error, Lake, layout};

/// A younger file may still be committed. The streaming job writes its files again before they get this old.
const MIN_AGE: TimeDelta = TimeDelta::hours(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    pub path: String,
    pub bytes: u64,
    pub modified: DateTime<Utc>,
}

impl Lake {
    /// Unreferenced data and dead-letter files older than `age` (at least an hour).
    pub async fn orphans(&self, age: TimeDelta, now: DateTime<Utc>) -> Result<Vec<Orphan>, Error> {
        let before = now - age.max(MIN_AGE);
        let mut orphans = Vec::new();
        // Files are listed before the log is read: a file committed in between is then found in the log.
        for folder in [layout::DATA, layout::DEAD_LETTERS] {
            let listed = self.inner.store.list(Some(&Path::from(folder)));
            let found: Vec<Orphan> = listed
                .try_filter(|meta| std::future::ready(meta.last_modified < before))
                .map_ok(|meta| Orphan {
                    path: meta.location.to_string(),
                    bytes: meta.size,
                    modified: meta.last_modified,
                })
                .try_collect()
                .await
                .map_err(|error| Error::store("list", &self.uri(folder), error))?;
            orphans.extend(found);
        }
        let named = self.named_files().await?;
        orphans.retain(|orphan| !named.contains(&orphan.path));
        Ok(orphans)
    }

    /// Deletes the orphans older than `age` and says which they were.
    pub async fn delete_orphans(&self, age: TimeDelta, now: DateTime<Utc>) -> Result<Vec<Orphan>, Error> {
        let orphans = self.orphans(age, now).await?;
        for orphan in &orphans {
            match self.inner.store.delete(&Path::from(orphan.path.as_str())).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(Error::store("delete", &self.uri(&orphan.path), error)),
            }
        }
        Ok(orphans)
    }

    async fn named_files(&self) -> Result<HashSet<String>, Error> {
        let mut named = HashSet::new();
        for topic in self.topics().await? {
            for commit in self.commits(&topic).await? {
                named.extend(commit.files.into_iter().map(|file| file.path));
                named.extend(commit.dead_letter_file);
            }
        }
        Ok(named)
    }
}
