//! The clients and places that kinds need, built once by `app`.

use crate::load::TopicColumns;
use crate::wait::kafka_lag::GroupLag;
use lake::Lake;
use model::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use warehouse::Warehouse;

/// The warehouse of this node, or why it has none at the moment.
pub type WarehouseAccess = Arc<dyn Fn() -> Result<Arc<dyn Warehouse>, String> + Send + Sync>;

pub struct Env {
    /// The `streamify` binary: services of ours run as processes of their own.
    pub program: PathBuf,
    /// Relative paths in `with:` start here.
    pub dags_dir: PathBuf,
    pub brokers: String,
    /// Variables with which services of ours log in to Kafka, its password among them; tasks of people get the others.
    pub kafka_login: Vec<(&'static str, String)>,
    pub lake: Lake,
    pub warehouse: WarehouseAccess,
    /// Reads a topic's declared columns.
    pub topic_columns: TopicColumns,
    pub group_lag: GroupLag,
    /// Virtual environments of `python`, kept between runs.
    pub venvs_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// Marks child processes, so that a node that starts again ends what it left behind.
    pub node: String,
    pub http: reqwest::Client,
}
