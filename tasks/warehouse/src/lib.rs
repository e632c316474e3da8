//! The analytical database behind one trait: read queries, transactions, and the load of an hour or of a CSV file.
//!
//! Owns the `duckdb` crate and every rule of that engine (one process a file, one writer at a time, UTC), and the BigQuery client
//! with everything that service wants (jobs, retries, datasets, its spelling of SQL).
//! Not here: what the tables mean, the models and their bookkeeping (`transform`), the lake's commit log (`lake`).

mod bigquery;
mod duckdb;
mod error;
mod load;
mod sql;
mod value;

use std::sync::Arc;

use async_trait::async_trait;

pub use bigquery::{Refusal, labelled};
pub use error::Error;
pub use load::{ColumnType, HourLoad, LoadColumn, LoadResult};
pub use sql::{quote_identifier, quote_text};
pub use value::{Column, Relation, RelationKind, Rows, Statement, Value};

/// The most rows that [`Warehouse::query`] hands out; a larger answer is an error, never a silent cut.
pub const MAX_ROWS: usize = 100_000;

/// The SQL that a warehouse speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    #[default]
    DuckDb,
    BigQuery,
}

impl Dialect {
    /// As dbt calls it: `target.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DuckDb => "duckdb",
            Self::BigQuery => "bigquery",
        }
    }
}

/// One analytical database. Dropping a returned future stops the statement it runs.
///
/// Values are always bound: `$1`, `$2`, .. in the text, [`Value`]s beside it. The text is standard SQL with names in double quotes
/// and texts in single ones; each warehouse spells it its own way.
#[async_trait]
pub trait Warehouse: Send + Sync {
    fn dialect(&self) -> Dialect;

    /// Runs one read-only statement; more than [`MAX_ROWS`] rows is [`Error::TooManyRows`].
    async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error>;

    /// Runs the statements in order, all or nothing, and returns the rows that each changed.
    async fn transaction(&self, statements: &[Statement]) -> Result<Vec<u64>, Error>;

    /// What `schema.name` is, or `None` when there is no such table or view.
    async fn relation(&self, schema: &str, name: &str) -> Result<Option<Relation>, Error>;

    /// Replaces one hour of a staging table by the rows of the given files, and records it in `<schema>._loads`.
    /// The same load twice leaves the same rows; no files make the hour empty.
    async fn load_hour(&self, load: &HourLoad) -> Result<LoadResult, Error>;

    /// Replaces a whole table by the rows of a CSV file with a header line; returns the rows read.
    async fn load_csv(&self, table: &str, uri: &str, columns: &[LoadColumn]) -> Result<u64, Error>;

    /// Asks something cheap and says in a line who answers to whom, for `doctor`.
    async fn describe(&self) -> Result<String, Error> {
        self.query("select 1 as one", &[]).await.map(|_| "answers".to_owned())
    }
}

/// Opens a warehouse by URL: `duckdb:/path/file.duckdb`, `duckdb::memory:`, both with optional
/// `?memory_limit=2GB&threads=4`; or `bigquery:project/prefix?location=EU&max_bytes_billed=50GB`.
/// A file that is open in this process already is shared; BigQuery is not contacted yet.
///
/// # Errors
/// [`Error::Url`] for an unknown scheme or option, [`Error::Owned`] when another process has the file.
pub fn open(url: &str) -> Result<Arc<dyn Warehouse>, Error> {
    match url.split_once(':') {
        Some(("duckdb", rest)) => Ok(Arc::new(duckdb::DuckDb::open(url, rest)?)),
        Some(("bigquery", rest)) => Ok(Arc::new(bigquery::BigQuery::open(url, rest)?)),
        _ => Err(Error::Url {
            url: url.to_owned(),
            problem:
                "unknown scheme; known: duckdb:/path/file.duckdb, duckdb::memory:, bigquery:project/prefix"
                    .to_owned(),
        }),
    }
}
