//! The lake: immutable Parquet files at an object_store URL, and the commit log that says which of them exist.
//!
//! Owns the URL (`/a/folder`, `file://`, `memory://`, `gs://`, `s3://`), the layout of paths, the commit log with its fence and its index,
//! the hours that loaders read, the watermark cache, the search for orphans and for objects by pattern. Nobody else talks to object_store.
//!
//! Not here: Parquet itself and Kafka (`stream`), warehouses (`warehouse`), what is done with an hour (`kinds`).
//!
//! # Rules
//! * Data and dead-letter files are immutable: they are created, never overwritten. A name that is taken gets a `-r<n>` suffix.
//! * A file exists for readers once a log entry names it. A log entry is created once per (topic, partition, first offset), which fences a
//!   second writer.
//!
//! # Durability of a local folder
//! A file gets its name only when its last byte is written, so a killed process leaves no half files (at most a hidden `name#n` part,
//! which no listing shows). Data files and log entries are also synced to the disk before a commit returns. A power loss can therefore cost
//! the newest commit that had not yet returned (the streaming job then reads those offsets from Kafka again) and, on file systems that
//! order a new name before its content, leave its log entry empty: the lake then answers [`Error::Damaged`] with the path and the remedy.
//! Watermarks and small files are not synced; a lost watermark is put again with the next flush.

mod cloud_storage;
mod commit;
mod error;
mod find;
mod hours;
pub mod layout;
mod log;
mod objects;
mod open;
mod orphans;
mod watermark;

pub use commit::{Commit, DataFile};
pub use error::Error;
pub use find::Found;
pub use hours::{HourManifest, floor_hour};
pub use objects::WrittenFile;
pub use orphans::Orphan;
pub use watermark::Watermark;

use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;

/// A handle to one lake. Cheap to clone; clones share the log's index.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    /// Where the files lie, if the lake is a local folder.
    folder: Option<PathBuf>,
    store: Box<dyn ObjectStore>,
    index: log::Index,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("url", &self.inner.url).finish_non_exhaustive()
    }
}
