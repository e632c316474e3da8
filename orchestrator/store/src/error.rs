//! What can go wrong with our Postgres.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guard matched no row: the lease is lost or the state has moved on. Normal control flow.
    #[error("{what} has moved on")]
    Stale { what: String },
    #[error("{what} exists already")]
    Duplicate { what: String },
    #[error("{what} does not exist")]
    NotFound { what: String },
    /// A wish that the state of things does not allow.
    #[error("{message}")]
    Refused { message: String },
    /// A row that does not parse: a bug or a hand-made change.
    #[error("row {id} of {table}: column {column}: {message}")]
    Inconsistent { table: &'static str, id: String, column: &'static str, message: String },
    /// Old log lines that are files outside.
    #[error("log archive: {message}")]
    Archive { message: String },
    #[error("postgres: {message}")]
    Connect { message: String },
    #[error("postgres: {0}")]
    Db(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        crate::connect::note_refusal(&error);
        Error::Db(error)
    }
}

impl Error {
    /// Whether the rows that were read are to blame, not the way to them: others may still be read.
    pub(crate) fn is_of_the_rows(&self) -> bool {
        match self {
            Error::Inconsistent { .. } => true,
            // Integrity, data, and what our own functions raise; not connections, resources, or an operator.
            Error::Db(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| ["22", "23", "P0"].iter().any(|class| code.starts_with(class))),
            _ => false,
        }
    }
}
