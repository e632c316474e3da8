//! The watermark cache: up to which instant a partition, and so a topic, is complete in the lake.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::{Error, Lake, layout};

const PARALLEL_READS: usize = 16;

/// Every event of the partition with a time before `at` lies in the lake, below `next_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    pub at: DateTime<Utc>,
    pub next_offset: i64,
    /// How many partitions the topic has: the topic has no watermark before each of them has one.
    pub partitions: i32,
}

impl Lake {
    /// The instant up to which all partitions of the topic are complete; none if one of them is not known.
    pub async fn watermark(&self, topic: &str) -> Result<Option<DateTime<Utc>>, Error> {
        let folder = format!("{}/{topic}", layout::WATERMARKS);
        let listed = self.inner.store.list(Some(&Path::from(folder.as_str())));
        let failed = |error| Error::store("list", &self.uri(&folder), error);
        let paths: Vec<String> =
            listed.map_ok(|meta| meta.location.to_string()).try_collect().await.map_err(failed)?;
        let found: Vec<Option<Watermark>> = stream::iter(paths)
            .map(|path| async move { self.read_watermark(&path).await })
            .buffered(PARALLEL_READS)
            .try_collect()
            .await?;
        let found: Vec<Watermark> = found.into_iter().flatten().collect();
        let partitions = found.iter().map(|watermark| watermark.partitions).max().unwrap_or(0);
        let complete = i32::try_from(found.len()).is_ok_and(|known| known >= partitions);
        Ok(found.iter().map(|watermark| watermark.at).min().filter(|_| complete))
    }

    pub async fn partition_watermark(&self, topic: &str, partition: i32) -> Result<Option<Watermark>, Error> {
        self.read_watermark(&layout::watermark(topic, partition)).await
    }

    /// Advances a partition's watermark. An older one than stored is ignored: a watermark never goes back.
    pub async fn put_watermark(
        &self,
        topic: &str,
        partition: i32,
        watermark: Watermark,
    ) -> Result<(), Error> {
        let path = layout::watermark(topic, partition);
        if let Some(stored) = self.read_watermark(&path).await?
            && stored.at > watermark.at
        {
            return Ok(());
        }
        let content =
            serde_json::to_vec(&watermark).map_err(|error| self.damaged(&path, error.to_string()))?;
        self.put_file(&path, Bytes::from(content)).await
    }

    async fn read_watermark(&self, path: &str) -> Result<Option<Watermark>, Error> {
        let Some(content) = self.read(path).await? else { return Ok(None) };
        match serde_json::from_slice(&content) {
            Ok(watermark) => Ok(Some(watermark)),
            Err(error) => {
                // It is a cache: the streaming job puts it again.
                tracing::warn!(path = self.uri(path), %error, "unreadable watermark is taken as absent");
                Ok(None)
            }
        }
    }
}
