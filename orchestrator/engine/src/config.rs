//! What a node is told about itself.

use chrono::TimeDelta;
use model::trace::Tracer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use store::retention::Policy;

/// What this node owns (`warehouse`): whoever owns such a thing writes it here and takes it out again.
pub type Routes = Arc<RwLock<Vec<String>>>;

#[derive(Debug, Clone)]
pub struct EngineConfig {
    pub node_name: String,
    pub host: String,
    /// Where other nodes reach this one's web server, if it has one.
    pub http_url: Option<String>,
    pub dags_dir: PathBuf,
    /// Attempts of these queues are taken.
    pub queues: Vec<String>,
    pub routes: Routes,
    pub task_slots: usize,
    /// Services do not end, so they have their own.
    pub service_slots: usize,
    /// A node that has not been heard of for so long is given up. The same on all nodes.
    pub lease_ttl: Duration,
    /// Read dags, plan, start and advance runs, give up dead nodes.
    pub scheduler: bool,
    /// Execute attempts.
    pub worker: bool,
    /// How long tasks may go on when the node stops, before they are told to stop as well.
    pub drain_grace: Duration,
    /// How long a task may take to stop by itself; a service says it in its YAML.
    pub stop_grace: Duration,
    /// How long history is kept. The same on all nodes.
    pub retention: Policy,
    /// `var.*` in templates.
    pub vars: BTreeMap<String, Value>,
    /// `conn.*` in templates.
    pub conns: BTreeMap<String, Value>,
    /// `secret.*` in templates; their values are never shown in logs.
    pub secrets: BTreeMap<String, String>,
    /// Takes spans; `None` where nobody asked for traces.
    pub tracer: Option<Tracer>,
}

impl EngineConfig {
    /// A node that does everything, with the usual limits.
    pub fn new(node_name: impl Into<String>, dags_dir: impl Into<PathBuf>) -> Self {
        EngineConfig {
            node_name: node_name.into(),
            host: "localhost".into(),
            http_url: None,
            dags_dir: dags_dir.into(),
            queues: vec!["default".into()],
            routes: Routes::default(),
            task_slots: 16,
            service_slots: 16,
            lease_ttl: Duration::from_secs(30),
            scheduler: true,
            worker: true,
            drain_grace: Duration::from_secs(20),
            stop_grace: Duration::from_secs(10),
            retention: Policy::never(),
            vars: BTreeMap::new(),
            conns: BTreeMap::new(),
            secrets: BTreeMap::new(),
            tracer: None,
        }
    }

    /// The secrets of an environment: `STREAMIFY_SECRET_API_KEY` is `secret.api_key`.
    pub fn secrets_of(environment: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
        environment
            .filter_map(|(name, value)| Some((name.strip_prefix("STREAMIFY_SECRET_")?.to_lowercase(), value)))
            .filter(|(name, _)| !name.is_empty())
            .collect()
    }

    /// Slots as the store is told them: none where nothing is executed.
    pub(crate) fn offered(&self, slots: usize) -> i32 {
        if self.worker { i32::try_from(slots).unwrap_or(i32::MAX) } else { 0 }
    }

    pub(crate) fn heartbeat_every(&self) -> Duration {
        self.lease_ttl / 6
    }

    /// Without a confirmed heartbeat for so long the node stops its own attempts, a margin before others may take them.
    pub(crate) fn fence_after(&self) -> TimeDelta {
        delta(self.lease_ttl - self.lease_ttl / 6)
    }
}

/// Lengths from configuration and YAML, capped where a date could overflow.
pub(crate) fn delta(length: Duration) -> TimeDelta {
    const CENTURY: u64 = 100 * 366 * 86_400;
    TimeDelta::from_std(length.min(Duration::from_secs(CENTURY))).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_the_environment_by_prefix() {
        let environment = [("STREAMIFY_SECRET_API_KEY", "k"), ("STREAMIFY_SECRET_", "x"), ("HOME", "/root")];
        let secrets = EngineConfig::secrets_of(environment.map(|(k, v)| (k.into(), v.into())).into_iter());
        assert_eq!(secrets, BTreeMap::from([("api_key".to_owned(), "k".to_owned())]));
    }

    #[test]
    fn the_fence_falls_before_others_may_take_over() {
        let config = EngineConfig::new("a", "dags");
        assert!(config.fence_after() < delta(config.lease_ttl));
        assert!(config.fence_after() > delta(config.heartbeat_every() * 2));
    }
}
