//! What can go wrong with a lake, in words that name the path and the remedy.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("lake url `{url}`: {problem}")]
    Url { url: String, problem: String },

    #[error("lake folder {path} {problem}: {source}; {remedy}")]
    Folder { path: String, problem: &'static str, remedy: &'static str, source: io::Error },

    /// Another writer owns this offset now: drop what is buffered and resume from the log's tail.
    #[error("{topic}/{partition}: the commit at offset {first} was already made by another writer")]
    Fenced { topic: String, partition: i32, first: i64 },

    #[error("commit of {topic}/{partition} at offset {first} is not valid: {problem}")]
    InvalidCommit { topic: String, partition: i32, first: i64, problem: String },

    #[error("{path} is damaged: {problem}; {remedy}")]
    Damaged { path: String, problem: String, remedy: &'static str },

    #[error("{path} is not in the lake")]
    NotFound { path: String },

    #[error("no space left to write {path}: free some space or give the lake a bigger disk ({source})")]
    Full { path: String, source: object_store::Error },

    #[error(
        "may not {action} {path}: give this process write permission, or remount a read-only disk ({source})"
    )]
    Denied { action: &'static str, path: String, source: object_store::Error },

    #[error("cannot {action} {path}: {source}")]
    Store { action: &'static str, path: String, source: object_store::Error },

    #[error("cannot list {path}: {source}")]
    List { path: String, source: io::Error },

    #[error("`{pattern}`: {problem}")]
    Pattern { pattern: String, problem: String },

    #[error("cannot sync {path} to the disk: {source}")]
    Sync { path: String, source: io::Error },
}

impl Error {
    /// Whether the same call may succeed later without anything changing in its arguments.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::Denied { .. }
                | Self::Store { .. }
                | Self::Sync { .. }
                | Self::List { .. }
        )
    }

    pub(crate) fn store(action: &'static str, path: &str, source: object_store::Error) -> Self {
        let path = path.to_owned();
        match io_kind(&source) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::Full { path, source },
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                Self::Denied { action, path, source }
            }
            _ if denied(&source) => Self::Denied { action, path, source },
            _ => Self::Store { action, path, source },
        }
    }
}

fn denied(error: &object_store::Error) -> bool {
    matches!(
        error,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
    )
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing_with(kind: io::ErrorKind) -> Error {
        let source = object_store::Error::Generic { store: "test", source: Box::new(io::Error::from(kind)) };
        Error::store("write", "events/a.parquet", source)
    }

    #[test]
    fn a_full_disk_is_named_with_path_and_remedy_and_may_pass() {
        let error = failing_with(io::ErrorKind::StorageFull);
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        assert!(error.may_pass());
        let text = error.to_string();
        assert!(text.contains("events/a.parquet") && text.contains("free some space"), "{text}");
    }

    #[test]
    fn a_read_only_disk_is_named_with_path_and_remedy() {
        let text = failing_with(io::ErrorKind::ReadOnlyFilesystem).to_string();
        assert!(text.contains("may not write events/a.parquet") && text.contains("remount"), "{text}");
    }

    #[test]
    fn a_fence_does_not_pass_by_waiting() {
        assert!(!Error::Fenced { topic: "t".into(), partition: 0, first: 0 }.may_pass());
    }
}
