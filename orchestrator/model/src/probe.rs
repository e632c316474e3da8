//! How a service is asked whether it is ready, and whether it still lives.

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub ask: Ask,
    pub every: Duration,
    /// Of one question.
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// A GET of this URL (a template) answers with 2xx.
    Http(String),
    /// `host:port` (a template) takes a connection.
    Tcp(String),
    /// A line of its log matches this regular expression; for readiness only.
    Log(String),
    /// `lag` in the status that the service tells is at most this.
    Lag(u64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Liveness {
    pub probe: Probe,
    /// So many bad answers in a row, and the service is restarted.
    pub failures: u32,
}
