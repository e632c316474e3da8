//! The vocabulary of loading: an hour of a topic, its columns and their defaults.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Value;

/// The types a staging column may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    Int,
    Double,
    String,
    Boolean,
    Timestamp,
}

/// A column to load; `default` stands in for a null or absent value.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadColumn {
    pub name: String,
    pub kind: ColumnType,
    pub default: Option<Value>,
}

/// One hour of one topic as an explicit list of Parquet files.
#[derive(Clone, Debug, PartialEq)]
pub struct HourLoad {
    /// `schema.table`, for example `staging.listen_events`.
    pub table: String,
    pub topic: String,
    pub hour: DateTime<Utc>,
    /// Paths or `file://` URLs. Empty: the hour has no rows.
    pub files: Vec<String>,
    /// Identifies this list of files; equal digests mean equal rows.
    pub digest: String,
    pub columns: Vec<LoadColumn>,
    pub loaded_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LoadResult {
    /// Rows the hour has now.
    pub rows: u64,
    /// Rows the hour had before.
    pub replaced: u64,
}
