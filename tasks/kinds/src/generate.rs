//! `generate`: the event generator as a service, ready once its history is sent.

use crate::child;
use crate::env::Env;
use crate::service_lines;
use crate::with;
use async_trait::async_trait;
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Empty values count as not given, so that `"{{ var.songs }}"` can stand here whether it is set or not.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// A configuration file in Eventsim's format, from the dags folder; the built-in one if not given.
    #[serde(default)]
    config: Option<String>,
    /// A songs CSV in the layout of the Million Song Dataset: path or URL; a synthetic catalogue if not given.
    #[serde(default)]
    songs: Option<String>,
    /// Number of users at the start.
    #[serde(default)]
    users: Option<Value>,
    #[serde(default)]
    seed: Option<Value>,
    /// First instant of the history.
    #[serde(default)]
    from: Option<String>,
    /// Full hours of history before now, where `from` is not given and no earlier run has laid it down.
    #[serde(default)]
    history_hours: Option<Value>,
    /// Last instant; without it the history goes up to now.
    #[serde(default)]
    to: Option<String>,
    /// Go on in real time after the history.
    #[serde(default)]
    continuous: Option<Value>,
}

pub struct Generate {
    env: Arc<Env>,
}

impl Generate {
    pub fn new(env: Arc<Env>) -> Self {
        Generate { env }
    }
}

#[async_trait]
impl Task for Generate {
    fn kind(&self) -> &'static str {
        "generate"
    }

    fn summary(&self) -> &'static str {
        "Send the events of simulated users to Kafka: a history, then in real time"
    }

    fn is_service(&self) -> bool {
        true
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        with::problems::<With>(given)
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let mut command = child::command(&self.env.program);
        command
            .arg("generate")
            .args(["--status-lines", "--brokers", &self.env.brokers])
            .envs(self.env.kafka_login.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.env.dags_dir);
        let text = |value: &Option<Value>| {
            value.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_string))
        };
        let options = [
            ("--config", with.config),
            ("--songs", with.songs),
            ("--users", text(&with.users)),
            ("--seed", text(&with.seed)),
            ("--from", with.from),
            ("--history-hours", text(&with.history_hours)),
            ("--to", with.to),
        ];
        for (name, value) in options {
            if let Some(value) = value.filter(|value| !value.is_empty() && value != "null") {
                command.arg(name).arg(value);
            }
        }
        if text(&with.continuous).is_some_and(|value| value == "true") {
            command.arg("--continuous");
        }
        service_lines::run(command, &ctx, &self.env, "the generator").await
    }
}
