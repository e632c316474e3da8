//! What the job says about itself while it runs and when it ends.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Starting,
    Running,
    /// Something cannot be done at the moment and is retried; `error` says what. Nothing is dropped.
    Degraded,
    Stopping,
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Status {
    pub state: State,
    pub error: Option<String>,
    pub topics: BTreeMap<String, TopicStatus>,
    pub buffered_bytes: u64,
    /// Reading is paused because the buffers are full and cannot be written.
    pub paused: bool,
    pub last_commit_at: Option<DateTime<Utc>>,
}

/// Of the partitions assigned to this process.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TopicStatus {
    #[serde(flatten)]
    pub committed: TopicReport,
    pub buffered_rows: u64,
    /// Records in Kafka that the lake does not cover; none until known.
    pub lag: Option<u64>,
    /// The least of the partitions' watermarks.
    pub watermark: Option<DateTime<Utc>>,
    pub partitions: BTreeMap<i32, PartitionStatus>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PartitionStatus {
    /// The first offset that the lake does not cover.
    pub committed_offset: i64,
    /// The first offset that was not read.
    pub consumed_offset: i64,
    /// Where the partition ends in Kafka, as last seen.
    pub end_offset: Option<i64>,
    pub watermark: Option<DateTime<Utc>>,
}

/// Committed to the lake since the job started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TopicReport {
    pub rows: u64,
    pub dead_letters: u64,
    pub skipped: u64,
    pub commits: u64,
    /// Rows with a time before the watermark of their partition.
    pub late: u64,
    /// Values kept in `_extra`.
    pub unknown_fields: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    pub topics: BTreeMap<String, TopicReport>,
    /// Records read but not committed when the job stopped; the next start reads them again.
    pub uncommitted: u64,
    pub error: Option<String>,
}
