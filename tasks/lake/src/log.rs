//! The commit log: appending with a fence, its tail, and an index in memory that reads each entry once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use tokio::sync::Mutex;

use crate::{Commit, DataFile, Error, Lake, layout};

/// Entries read at the same time when the index is built.
const PARALLEL_READS: usize = 32;

const REMEDY: &str = "delete it if it is the newest of its partition (its offsets are then read from Kafka again), \
                      else restore it from a copy";

#[derive(Default)]
pub(crate) struct Index {
    topics: Mutex<HashMap<String, Arc<Mutex<TopicIndex>>>>,
}

/// What has been read of one topic's log.
#[derive(Default)]
pub(crate) struct TopicIndex {
    partitions: BTreeMap<i32, Vec<Commit>>,
    pub(crate) hours: BTreeMap<DateTime<Utc>, Vec<DataFile>>,
}

impl Lake {
    /// Appends an entry. [`Error::Fenced`] if another writer already committed this offset. Committing an equal entry again is fine, so
    /// that a call whose answer was lost can be repeated.
    pub async fn commit(&self, commit: &Commit) -> Result<(), Error> {
        commit.validate()?;
        let path = commit.path();
        let content =
            serde_json::to_vec_pretty(commit).map_err(|error| self.damaged(&path, error.to_string()))?;
        if self.create(&path, Bytes::from(content)).await? {
            return Ok(());
        }
        match self.entry(&path).await? {
            Some(existing) if existing == *commit => Ok(()),
            _ => Err(Error::Fenced {
                topic: commit.topic.clone(),
                partition: commit.partition,
                first: commit.first,
            }),
        }
    }

    /// The newest entry of a partition, read from the store and not from the index.
    pub async fn tail(&self, topic: &str, partition: i32) -> Result<Option<Commit>, Error> {
        let entries = self.list_after(&layout::log_folder(topic, partition), None).await?;
        match entries.last() {
            Some(newest) => self.entry(newest.location.as_ref()).await,
            None => Ok(None),
        }
    }

    /// All entries of a topic, by partition and offset. Repeated calls read only what is new.
    pub async fn commits(&self, topic: &str) -> Result<Vec<Commit>, Error> {
        self.with_index(topic, |index| index.partitions.values().flatten().cloned().collect()).await
    }

    /// Topics present in the log.
    pub async fn topics(&self) -> Result<Vec<String>, Error> {
        self.folders(layout::LOG).await
    }

    /// Brings the topic's index up to date and reads from it.
    pub(crate) async fn with_index<T>(
        &self,
        topic: &str,
        read: impl FnOnce(&TopicIndex) -> T,
    ) -> Result<T, Error> {
        let slot = self.inner.index.topics.lock().await.entry(topic.to_owned()).or_default().clone();
        let mut index = slot.lock().await;
        for folder in self.folders(&format!("{}/{topic}", layout::LOG)).await? {
            let Ok(partition) = folder.parse::<i32>() else {
                let path = format!("{}/{topic}/{folder}", layout::LOG);
                return Err(self.damaged(&path, "a folder of the log is named by a partition number".into()));
            };
            self.refresh(&mut index, topic, partition).await?;
        }
        Ok(read(&index))
    }

    async fn refresh(&self, index: &mut TopicIndex, topic: &str, partition: i32) -> Result<(), Error> {
        let folder = layout::log_folder(topic, partition);
        let known = index.partitions.get(&partition).and_then(|commits| commits.last()).cloned();
        let after = match known {
            None => None,
            Some(newest) => {
                // The chain names the next entry, so that a quiet partition costs one small read and no listing.
                let next = layout::log_entry(topic, partition, newest.last + 1);
                let Some(commit) = self.entry(&next).await? else { return Ok(()) };
                self.append(index, commit)?;
                Some(next)
            }
        };
        let entries = self.list_after(&folder, after.as_deref()).await?;
        let mut commits = stream::iter(entries)
            .map(|meta| async move {
                let path = meta.location.to_string();
                self.entry(&path)
                    .await?
                    .ok_or_else(|| self.damaged(&path, "it vanished while it was read".into()))
            })
            .buffered(PARALLEL_READS)
            .boxed();
        while let Some(commit) = commits.try_next().await? {
            self.append(index, commit)?;
        }
        Ok(())
    }

    fn append(&self, index: &mut TopicIndex, commit: Commit) -> Result<(), Error> {
        let commits = index.partitions.entry(commit.partition).or_default();
        let before = commits.last().map(|newest| newest.last);
        if commit.prev_last != before {
            let problem =
                format!("it continues offset {:?} but the log ends at {before:?}", commit.prev_last);
            return Err(self.damaged(&commit.path(), problem));
        }
        for file in &commit.files {
            index.hours.entry(file.hour).or_default().push(file.clone());
        }
        commits.push(commit);
        Ok(())
    }

    async fn entry(&self, path: &str) -> Result<Option<Commit>, Error> {
        let Some(content) = self.read(path).await? else { return Ok(None) };
        let commit: Commit =
            serde_json::from_slice(&content).map_err(|error| self.damaged(path, error.to_string()))?;
        commit.validate().map_err(|error| self.damaged(path, error.to_string()))?;
        if commit.path() != path {
            return Err(self.damaged(path, format!("its content belongs to {}", commit.path())));
        }
        Ok(Some(commit))
    }

    async fn list_after(&self, folder: &str, after: Option<&str>) -> Result<Vec<ObjectMeta>, Error> {
        let prefix = Path::from(folder);
        let objects = match after {
            Some(path) => self.inner.store.list_with_offset(Some(&prefix), &Path::from(path)),
            None => self.inner.store.list(Some(&prefix)),
        };
        let mut found: Vec<ObjectMeta> =
            objects.try_collect().await.map_err(|error| Error::store("list", &self.uri(folder), error))?;
        found.retain(|meta| meta.location.extension() == Some("json"));
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    async fn folders(&self, parent: &str) -> Result<Vec<String>, Error> {
        let found = self.inner.store.list_with_delimiter(Some(&Path::from(parent))).await;
        let found = match found {
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            other => other.map_err(|error| Error::store("list", &self.uri(parent), error))?,
        };
        let mut names: Vec<String> =
            found.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    pub(crate) fn damaged(&self, path: &str, problem: String) -> Error {
        Error::Damaged { path: self.uri(path), problem, remedy: REMEDY }
    }
}
