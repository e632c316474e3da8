//! Why a broker cannot start. Not here: errors told to Kafka clients (`ResponseError` of kafka-protocol).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the broker will not listen on {0}: other machines could reach it and it asks nobody who they are; \
         listen on 127.0.0.1, or set allow_remote if this network is trusted"
    )]
    NotLoopback(SocketAddr),
    #[error(
        "port {} on {} is in use by another program (perhaps a broker that still runs): \
         stop it, or choose another port (0 takes any free one)", .0.port(), .0.ip()
    )]
    PortInUse(SocketAddr),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "the data folder {0} is in use by another broker: stop that one, or give this one its own folder"
    )]
    DataDirInUse(PathBuf),
    #[error("{path}: {action} failed: {source}")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error(
        "{path}, line {line}: {reason}; the file was written by a newer broker or damaged: \
         start the version that wrote it, or move the data folder away to begin anew"
    )]
    Journal { path: PathBuf, line: usize, reason: String },
    #[error("the broker's recovery stopped before its end: {0}")]
    Recovery(String),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }
}
