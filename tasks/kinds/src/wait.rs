//! `wait.watermark`: until the lake is complete up to an instant. Between two looks it holds no slot.

use crate::env::Env;
use crate::with;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::task::{Stream, WithProblem};
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const POKE_DEFAULT: Duration = Duration::from_secs(1);
const ASSET_PREFIX: &str = "lake/";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// Topics of the lake: `[lake/listen_events, lake/auth_events]`.
    assets: Vec<String>,
    /// The instant up to which they must be complete.
    at: DateTime<Utc>,
    /// Give up after this long; for ever if not said.
    #[serde(default)]
    timeout: Option<Value>,
    /// Time between two looks.
    #[serde(default)]
    poke: Option<Value>,
}

pub struct Watermark {
    env: Arc<Env>,
}

impl Watermark {
    pub fn new(env: Arc<Env>) -> Self {
        Watermark { env }
    }

    /// The topic that is furthest behind and its watermark.
    async fn slowest(&self, assets: &[String]) -> Result<(String, Option<DateTime<Utc>>), TaskError> {
        let mut slowest: Option<(String, Option<DateTime<Utc>>)> = None;
        for asset in assets {
            let topic =
                asset.strip_prefix(ASSET_PREFIX).ok_or_else(|| TaskError::Fail(unknown_asset(asset)))?;
            let at =
                self.env.lake.watermark(topic).await.map_err(|error| TaskError::Retry(error.to_string()))?;
            if slowest.as_ref().is_none_or(|(_, lowest)| at < *lowest) {
                slowest = Some((topic.to_string(), at));
            }
        }
        slowest.ok_or_else(|| TaskError::Fail("with.assets is empty".to_string()))
    }
}

#[async_trait]
impl Task for Watermark {
    fn kind(&self) -> &'static str {
        "wait.watermark"
    }

    fn summary(&self) -> &'static str {
        "Wait until topics of the lake are complete up to an instant"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        let assets =
            given.get("assets").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let wrong = assets.filter(|asset| !asset.contains("{{") && !asset.starts_with(ASSET_PREFIX));
        problems.extend(wrong.map(|asset| with::problem("assets", unknown_asset(asset), None)));
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let (topic, reached) = self.slowest(&with.assets).await?;
        if let Some(reached) = reached.filter(|reached| *reached >= with.at) {
            ctx.sink.log(
                Stream::System,
                format!("complete up to {} ({topic} is the slowest)", reached.to_rfc3339()),
            );
            return Ok(Outcome::Done { outputs: json!({ "watermark": reached }) });
        }
        let waited = (self.env.clock.now() - ctx.first_started_at).to_std().unwrap_or_default();
        let state = reached.map_or_else(
            || "has no watermark yet".to_string(),
            |at| format!("is complete up to {}", at.to_rfc3339()),
        );
        if let Some(limit) = with.timeout.map(|value| with::duration("timeout", &value)).transpose()?
            && waited >= limit
        {
            let wanted = with.at.to_rfc3339();
            return Err(TaskError::Fail(format!(
                "lake/{topic} {state}, {wanted} is needed, and {} s are over; look at the streaming job under Services",
                limit.as_secs()
            )));
        }
        if waited < POKE_DEFAULT {
            ctx.sink
                .log(Stream::System, format!("lake/{topic} {state}; waiting for {}", with.at.to_rfc3339()));
        }
        let again_in =
            with.poke.map(|value| with::duration("poke", &value)).transpose()?.unwrap_or(POKE_DEFAULT);
        Ok(Outcome::Poke { again_in })
    }
}

fn unknown_asset(asset: &str) -> String {
    format!("`{asset}` is no asset with a watermark; write {ASSET_PREFIX}<topic>")
}
