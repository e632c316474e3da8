//! The only SQL on our Postgres: guarded transitions, requests, logs, and read models for pages.
//!
//! A transition is one statement guarded by state and lease; no row changed means [`Error::Stale`], which is normal control flow: somebody
//! else was faster. `now` is always an argument. NOTIFY is a hint; whoever waits for it also looks by itself.

pub mod attempts;
pub mod audit;
pub mod auth;
pub mod checks;
pub mod dags;
pub mod error;
pub mod logs;
pub mod nodes;
pub mod notify;
pub mod runs;
pub mod ticks;
pub mod views;

pub use error::Error;

use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    /// Versions never change, so what was read once is good for ever.
    pub(crate) versions: Arc<RwLock<HashMap<i64, Arc<model::Dag>>>>,
}

impl Store {
    /// Connects, with a pool of at most `connections`. The error names the host and database, never the password.
    pub async fn connect(_url: &str, _connections: u32) -> Result<Store> {
        todo!()
    }

    /// Brings the schema up to date. Safe from several nodes at once.
    pub async fn migrate(&self) -> Result<()> {
        todo!()
    }
}
