//! `stream`: the streaming job (Kafka to Parquet, exactly once) as a service.

use crate::child;
use crate::env::Env;
use crate::service_lines;
use crate::span::Span;
use crate::with;
use async_trait::async_trait;
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// Folder with one `<topic>.yaml` schema for each topic, from the dags folder.
    schemas: String,
    /// Longest time between two commits of a partition.
    #[serde(default)]
    every: Option<Span>,
    /// Consumer group, for lag tools; the lake's log is what it resumes from.
    #[serde(default)]
    group: Option<String>,
}

pub struct StreamJob {
    env: Arc<Env>,
}

impl StreamJob {
    pub fn new(env: Arc<Env>) -> Self {
        StreamJob { env }
    }
}

#[async_trait]
impl Task for StreamJob {
    fn kind(&self) -> &'static str {
        "stream"
    }

    fn summary(&self) -> &'static str {
        "Write Kafka topics to the lake as hourly Parquet, exactly once"
    }

    fn is_service(&self) -> bool {
        true
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        let schemas = given.get("schemas").filter(|value| !with::has_template(value)).and_then(Value::as_str);
        if let Some(folder) = schemas.filter(|folder| !self.env.dags_dir.join(folder).is_dir()) {
            let hint = format!("paths start at {}", self.env.dags_dir.display());
            problems.push(with::problem("schemas", format!("there is no folder {folder}"), Some(hint)));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let mut command = child::command(&self.env.program);
        command
            .arg("stream")
            .args(["--status-lines", "--brokers", &self.env.brokers, "--lake", self.env.lake.url()])
            .arg("--schemas")
            .arg(self.env.dags_dir.join(with.schemas))
            .envs(self.env.kafka_login.iter().map(|(name, value)| (name, value)));
        if let Some(every) = with.every {
            command.arg("--every").arg(every.0.as_secs().to_string());
        }
        if let Some(group) = with.group.filter(|group| !group.is_empty()) {
            command.arg("--group").arg(group);
        }
        service_lines::run(command, &ctx, &self.env, "the streaming job").await
    }
}
