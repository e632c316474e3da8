//! The only SQL on our Postgres: guarded transitions, requests, logs, and read models for pages.
//!
//! A transition is one statement guarded by state and lease; no row changed means [`Error::Stale`], which is normal control flow: somebody
//! else was faster. `now` is always an argument. NOTIFY is a hint; whoever waits for it also looks by itself.
//!
//! Order of locks, everywhere: the dag's row, then rows of runs by id, then attempts, then the instance of an attempt. All transactions are
//! READ COMMITTED and short; what Postgres refuses for the sake of order (deadlock, serialisation) is repeated a few times.

pub mod approvals;
mod assets;
pub mod attempts;
pub mod audit;
pub mod auth;
mod backfill_plan;
pub mod backfills;
pub mod checks;
mod claim;
pub mod clear;
mod clock;
mod connect;
mod continuous;
mod copies;
mod dag_files;
pub mod dags;
mod deadlines;
mod ends;
pub mod error;
mod expand;
mod log_archive;
pub mod logs;
#[cfg(test)]
mod loops_tests;
pub mod mark;
pub mod nodes;
pub mod notifications;
pub mod notify;
mod outputs;
mod past;
mod pools;
mod promote;
mod renewal;
pub mod rerun;
pub mod retention;
mod reversion;
mod rows;
mod run_end;
pub mod runs;
pub mod schema;
mod scope;
pub mod settings;
mod snapshot;
mod step;
mod stops;
pub mod ticks;
mod tx;
pub mod views;
mod writes;

pub use connect::{Password, PasswordFuture, Passwords};
pub use error::Error;

use chrono::NaiveDate;
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};

pub type Result<T> = std::result::Result<T, Error>;

/// The schema, embedded.
static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    /// Versions never change, so what was read once is good for ever.
    pub(crate) versions: Arc<RwLock<HashMap<i64, Arc<model::Dag>>>>,
    /// Days whose log partition is known to exist.
    pub(crate) log_days: Arc<Mutex<HashSet<NaiveDate>>>,
    pub(crate) copies: Arc<copies::Copies>,
    /// Where old log lines are.
    pub(crate) archive: Option<Arc<dyn model::archive::Archive>>,
    pub(crate) unpacked: log_archive::Unpacked,
    /// Ends with the last clone.
    _renewal: Option<Arc<renewal::Renewal>>,
}

impl Store {
    /// Connects, with a pool of at most `connections`. The error names the host and database, never the password.
    pub async fn connect(url: &str, connections: u32) -> Result<Store> {
        Self::with_pool(connect::pool(url, connections, None).await?)
    }

    /// The same, with passwords that end: each new connection logs in with the newest.
    pub async fn connect_with(url: &str, connections: u32, passwords: Passwords) -> Result<Store> {
        Self::with_pool(connect::pool(url, connections, Some(passwords)).await?)
    }

    fn with_pool((pool, renewal): (PgPool, Option<renewal::Renewal>)) -> Result<Store> {
        Ok(Store {
            pool,
            versions: Arc::default(),
            log_days: Arc::default(),
            copies: Arc::default(),
            archive: None,
            unpacked: Arc::default(),
            _renewal: renewal.map(Arc::new),
        })
    }
}
