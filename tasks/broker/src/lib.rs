//! The embedded broker: one node that speaks the Kafka protocol, for laptops and tests.
//!
//! It is what `streamify broker` runs and what tests start on a temporary folder, so that producers and
//! consumers are the same as against a real Kafka. Idempotent and transactional producers, consumer groups,
//! read-committed readers and the usual admin calls work as there. It has one node, no replication, no
//! authentication and no log compaction: production uses Apache Kafka or a managed one.
//!
//! ```text
//! server (sockets, frames) -> shape (untrusted bytes) -> dispatch -> api/* (one file a family)
//!     -> groups, group        members, in memory
//!     -> transactions         outcomes across partitions
//!     -> meta                 journal of topics, offsets, transactions
//!     -> topics, log/*        partitions: segments of record batches
//! ```

mod api;
mod checked_line;
mod config;
mod dispatch;
mod error;
mod group;
#[cfg(test)]
mod group_tests;
mod groups;
mod log;
mod maintenance;
mod meta;
mod node;
mod server;
mod shape;
mod topic_config;
mod topics;
mod transactions;

pub use config::{BrokerConfig, FsyncPolicy, Retention};
pub use error::Error;

use node::Node;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

/// How long a shutdown waits for requests that are being answered.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// What the start found on the disk and had to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    pub topics: usize,
    pub partitions: usize,
    /// Bytes of half-written batches that were cut off.
    pub log_bytes_cut: u64,
    /// Bytes of a half-written change that were cut off; kept in the data folder as `journal.cut`.
    pub journal_bytes_cut: u64,
    /// Transactions whose outcome was decided before the stop and which were completed now.
    pub transactions_completed: usize,
    /// Open transactions in partitions that no producer can end any more.
    pub transactions_aborted: usize,
    pub took: Duration,
}

/// A running broker. Dropping it stops it too, but without waiting: prefer [`Broker::shutdown`].
pub struct Broker {
    node: Arc<Node>,
    address: SocketAddr,
    report: RecoveryReport,
    tasks: TaskTracker,
    _stop: DropGuard,
}

impl Broker {
    /// Recovers the data folder and listens. Clients may connect when this returns.
    ///
    /// # Errors
    /// If the address is not loopback (and `allow_remote` is off) or in use, if another broker holds the data
    /// folder, or if the folder cannot be read or written.
    pub async fn start(config: BrokerConfig) -> Result<Self, Error> {
        if !config.listen.ip().is_loopback() && !config.allow_remote {
            return Err(Error::NotLoopback(config.listen));
        }
        let (listener, address) = listen(config.listen).await?;
        let fsync = config.fsync;
        let opening = tokio::task::spawn_blocking(move || Node::open(&config));
        let (node, report) = opening.await.map_err(|error| Error::Recovery(error.to_string()))??;
        let node = Arc::new(node);
        let tasks = TaskTracker::new();
        maintenance::start(&node, fsync, &tasks);
        tasks.spawn(server::accept(listener, Arc::clone(&node), tasks.clone()));
        tracing::info!(%address, ?report, "broker listens");
        let stop = node.stop.clone().drop_guard();
        Ok(Self { node, address, report, tasks, _stop: stop })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For the `bootstrap.servers` of clients on this machine.
    pub fn bootstrap_servers(&self) -> String {
        self.address.to_string()
    }

    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Answers what was asked, forces everything to the disk and lets go of the data folder.
    pub async fn shutdown(self) {
        self.node.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!(waited = ?SHUTDOWN_PATIENCE, "requests are still being answered; stopping anyway");
        }
        let node = self.node;
        if let Err(error) = tokio::task::spawn_blocking(move || node.flush()).await {
            tracing::error!(%error, "the last flush stopped before its end");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => Error::PortInUse(address),
        _ => Error::Listen { address, source },
    })?;
    let bound = listener.local_addr().map_err(|source| Error::Listen { address, source })?;
    Ok((listener, bound))
}
