//! What can go wrong on the way to a token.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{file}: {problem}")]
    File { file: String, problem: String },
    #[error(
        "no Google credentials: set GOOGLE_APPLICATION_CREDENTIALS, run `gcloud auth application-default login`, or run where the \
         metadata server answers ({0})"
    )]
    None(String),
    #[error("{endpoint}: {problem}")]
    Refused { endpoint: String, problem: String, retryable: bool },
}

impl Error {
    /// True when asking again later may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Refused { retryable: true, .. } | Self::None(_))
    }
}
