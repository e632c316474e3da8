//! What can go wrong with a warehouse, and whether trying again can help.

use std::path::PathBuf;

use crate::Refusal;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("warehouse url `{url}`: {problem}")]
    Url { url: String, problem: String },
    #[error("{} is open in another process{}; one process owns a DuckDB file: stop it, or ask it through its API",
        .path.display(), .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Owned { path: PathBuf, pid: Option<u32> },
    #[error("cannot open {}: {message}", .path.display())]
    Open { path: PathBuf, message: String },
    /// `statement` is the first line of the SQL.
    #[error("{message}\n  in: {statement}")]
    Sql { statement: String, message: String, retryable: bool },
    /// `statement` is its first line, or what was asked of the service.
    #[error("BigQuery ({refusal:?}): {message}\n  in: {statement}")]
    BigQuery { refusal: Refusal, message: String, statement: String },
    #[error("the answer has more than {limit} rows; add a limit or aggregate\n  in: {statement}")]
    TooManyRows { statement: String, limit: usize },
    /// A file to load is missing, lacks a column, or has a bad row; the message names the place.
    #[error("{file}: {message}")]
    Input { file: String, message: String },
    #[error("the statement was cancelled")]
    Cancelled,
    #[error("the warehouse's worker thread failed: {0}")]
    Worker(String),
}

impl Error {
    /// True when the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Sql { retryable, .. } => *retryable,
            Self::BigQuery { refusal, .. } => refusal.passes(),
            Self::Owned { .. } | Self::Cancelled | Self::Worker(_) => true,
            Self::Url { .. } | Self::Open { .. } | Self::TooManyRows { .. } | Self::Input { .. } => false,
        }
    }
    /// True when a table or view that the statement names is not there.
    #[must_use]
    pub fn is_missing_table(&self) -> bool {
        match self {
            Self::Sql { message, .. } => {
                message.contains("Table with name") && message.contains("does not exist")
            }
            Self::BigQuery { refusal, .. } => *refusal == Refusal::NotFound,
            _ => false,
        }
    }
}
