//! `wait.kafka-lag`: until a consumer group has read topics, up to a few records.

use super::{Look, Pace, Waits};
use crate::env::Env;
use crate::span::Span;
use crate::with;
use async_trait::async_trait;
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Records that a group has yet to read, by topic, without topics that do not exist: `(group, topics)`.
pub type GroupLag = Arc<dyn Fn(String, Vec<String>) -> LagFuture + Send + Sync>;
pub type LagFuture = Pin<Box<dyn Future<Output = Result<BTreeMap<String, u64>, String>> + Send>>;

const POLL: Duration = Duration::from_secs(5);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The consumer group.
    group: String,
    topics: Vec<String>,
    /// Records that may be left over all topics: 0 if not said. Marks of transactions count.
    #[serde(default)]
    at_most: u64,
    /// Time between two looks: 5s if not said.
    #[serde(default)]
    poll: Option<Span>,
    /// Give up after this long; for ever if not said.
    #[serde(default)]
    timeout: Option<Span>,
}

pub struct KafkaLag {
    env: Arc<Env>,
    waits: Arc<Waits>,
}

impl KafkaLag {
    pub fn new(env: Arc<Env>, waits: Arc<Waits>) -> Self {
        KafkaLag { env, waits }
    }

    async fn look(&self, with: &With) -> Result<Look, TaskError> {
        let lags = (self.env.group_lag)(with.group.clone(), with.topics.clone()).await;
        let lags = lags.map_err(TaskError::Retry)?;
        if let Some(missing) = with.topics.iter().find(|topic| !lags.contains_key(*topic)) {
            return Ok(Look::NotYet(format!("there is no topic {missing}")));
        }
        let lag: u64 = lags.values().sum();
        if lag > with.at_most {
            let most = lags.iter().max_by_key(|(_, lag)| **lag).map_or("", |(topic, _)| topic);
            let state = format!("{} is {lag} records behind, most of them in {most}", with.group);
            return Ok(Look::NotYet(state));
        }
        Ok(Look::Met(json!({ "lag": lag, "topics": lags })))
    }
}

#[async_trait]
impl Task for KafkaLag {
    fn kind(&self) -> &'static str {
        "wait.kafka-lag"
    }

    fn summary(&self) -> &'static str {
        "Wait until a consumer group has read topics, up to a few records"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("topics").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            problems.push(with::problem("topics", "no topic named", None));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let pace = Pace::new(with.poll, POLL, with.timeout);
        self.waits.look(&ctx, &pace, self.look(&with)).await
    }
}
