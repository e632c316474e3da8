//! What can go wrong when a node is compiled or run.

use model::Problem;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no node `{id}` in the project{}", .hint.as_deref().map(|near| format!("; {near}")).unwrap_or_default())]
    UnknownNode { id: String, hint: Option<String> },
    #[error("{0}")]
    Compile(Box<Problem>),
    #[error("{path}: {source}")]
    Warehouse { path: String, source: warehouse::Error },
    #[error("{path}: {message}")]
    Model { path: String, message: String },
}

impl Error {
    /// True when running the node again may succeed without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Warehouse { source, .. } if source.is_retryable())
    }
}
