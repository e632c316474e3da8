//! The state that all connections share, and how it is opened.
//!
//! Locks are taken in this order: groups, meta, topics, one partition. Not here: sockets and timers.

use crate::config::{BrokerConfig, FsyncPolicy};
use crate::groups::Groups;
use crate::log::{PartitionOptions, RetentionLimits};
use crate::meta::Meta;
use crate::topics::Topics;
use crate::{Error, RecoveryReport, transactions};
use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const LOCK_FILE: &str = "lock";

pub(crate) struct Node {
    pub default_partitions: i32,
    pub auto_create_topics: bool,
    pub advertise: Option<SocketAddr>,
    pub groups: Mutex<Groups>,
    pub meta: Mutex<Meta>,
    pub topics: Topics,
    /// Rung when there may be more to read.
    pub appended: Notify,
    /// Rung when something may be due sooner than before.
    pub sooner: Notify,
    /// Cancelled when the broker stops: nobody waits any longer, nothing new is begun.
    pub stop: CancellationToken,
    /// Held as long as the node lives.
    _data_dir_lock: File,
}

impl Node {
    /// Locks the data folder and recovers what it holds.
    pub fn open(config: &BrokerConfig) -> Result<(Self, RecoveryReport), Error> {
        let began = Instant::now();
        let dir = &config.data_dir;
        fs::create_dir_all(dir).map_err(Error::io(dir, "creating the data folder"))?;
        let data_dir_lock = lock_data_dir(dir)?;
        let sync_every_append = config.fsync == FsyncPolicy::EveryAppend;
        let (meta, journal_bytes_cut) = Meta::open(dir, sync_every_append)?;
        let options = PartitionOptions { segment_bytes: config.segment_bytes, sync_every_append };
        let retention = retention_limits(config);
        let (topics, log_bytes_cut) = Topics::open(dir, options, retention, meta.state())
            .map_err(Error::io(dir, "opening the logs"))?;
        let node = Self {
            default_partitions: config.default_partitions,
            auto_create_topics: config.auto_create_topics,
            advertise: config.advertise,
            groups: Mutex::default(),
            meta: Mutex::new(meta),
            topics,
            appended: Notify::new(),
            sooner: Notify::new(),
            stop: CancellationToken::new(),
            _data_dir_lock: data_dir_lock,
        };
        let settled =
            transactions::settle_after_start(&node).map_err(Error::io(dir, "settling transactions"))?;
        lock(&node.meta).compact(now_ms()).map_err(Error::io(dir, "compacting the journal"))?;
        let all = node.topics.all();
        let report = RecoveryReport {
            topics: all.len(),
            partitions: all.iter().map(|(_, topic)| topic.partitions.len()).sum(),
            log_bytes_cut,
            journal_bytes_cut,
            transactions_completed: settled.completed,
            transactions_aborted: settled.aborted,
            took: began.elapsed(),
        };
        Ok((node, report))
    }

    /// Forces all that was written to the disk: records first, then what refers to them.
    pub fn flush(&self) {
        let partitions = self.topics.all().into_iter().flat_map(|(_, topic)| topic.partitions.clone());
        let mut files: Vec<_> = partitions.flat_map(|partition| lock(&partition).take_unsynced()).collect();
        files.extend(lock(&self.meta).take_unsynced());
        for file in files {
            if let Err(error) = file.sync_data() {
                tracing::error!(%error, "forcing data to the disk failed; a power cut may lose it");
            }
        }
    }

    /// Retention, and what else is due now and then.
    pub fn tidy(&self) {
        self.topics.expire(now_ms());
        if let Err(error) = lock(&self.meta).compact_if_large(now_ms()) {
            tracing::error!(%error, "the journal cannot be written anew");
        }
    }
}

fn lock_data_dir(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK_FILE);
    let file = File::create(&path).map_err(Error::io(&path, "creating the lock file"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DataDirInUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(Error::io(&path, "locking")(source)),
    }
}

fn retention_limits(config: &BrokerConfig) -> RetentionLimits {
    let in_ms = |age: std::time::Duration| i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    RetentionLimits {
        max_age_ms: config.retention.max_age.map(in_ms),
        max_bytes: config.retention.max_bytes_per_partition,
    }
}

/// A panic elsewhere must not take the broker down with it: what a lock guards is changed in whole steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
