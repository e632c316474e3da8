//! What a broker is started with. Not here: settings of a single topic (`topic_config`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a broker listens, where it keeps its data and for how long.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Address to listen on. Port 0 takes any free port. Must be loopback unless `allow_remote`.
    pub listen: SocketAddr,
    /// Allows an address that other machines can reach. There is no authentication: leave it off.
    pub allow_remote: bool,
    /// Where clients are told to find this broker, when that is not where it listens: behind a proxy.
    pub advertise: Option<SocketAddr>,
    /// Folder of this broker alone; created if absent, locked while the broker runs.
    pub data_dir: PathBuf,
    /// Partitions of a topic whose creator names no number.
    pub default_partitions: i32,
    /// Creates a topic when a client asks for its metadata and allows creation.
    pub auto_create_topics: bool,
    /// How long records are kept in topics without their own `retention.*`.
    pub retention: Retention,
    pub fsync: FsyncPolicy,
    /// A segment file is closed and a new one begun when it would grow beyond this size.
    pub segment_bytes: u64,
}

impl BrokerConfig {
    /// A loopback broker on any free port, which keeps everything.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            allow_remote: false,
            advertise: None,
            data_dir: data_dir.into(),
            default_partitions: 3,
            auto_create_topics: false,
            retention: Retention::default(),
            fsync: FsyncPolicy::default(),
            segment_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Limits beyond which whole segments are deleted, oldest first. `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    pub max_age: Option<Duration>,
    pub max_bytes_per_partition: Option<u64>,
}

/// When written data is forced to the disk itself.
///
/// Each append is handed to the operating system before it is acknowledged, under every policy: a broker
/// that is killed (`kill -9`) loses nothing that it acknowledged. Only a crash of the operating system or a
/// power cut can lose data, and what it may lose is what this policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Force at this interval and at shutdown. A power cut loses at most the records, offsets and
    /// transactions of the last interval; a transaction committed within it may come back in part.
    Interval(Duration),
    /// Force before each acknowledgement. A power cut loses nothing; slow.
    EveryAppend,
}

impl Default for FsyncPolicy {
    fn default() -> Self {
        Self::Interval(Duration::from_secs(1))
    }
}
