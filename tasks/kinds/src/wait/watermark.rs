//! `wait.watermark`: until the lake is complete up to an instant.

use super::{Look, Pace, Waits};
use crate::env::Env;
use crate::span::Span;
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

const POLL: Duration = Duration::from_secs(1);
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
    timeout: Option<Span>,
    /// Time between two looks: 1s if not said.
    #[serde(default)]
    poll: Option<Span>,
}

pub struct Watermark {
    env: Arc<Env>,
    waits: Arc<Waits>,
}

impl Watermark {
    pub fn new(env: Arc<Env>, waits: Arc<Waits>) -> Self {
        Watermark { env, waits }
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

    async fn look(&self, ctx: &TaskContext, with: &With) -> Result<Look, TaskError> {
        let (topic, reached) = self.slowest(&with.assets).await?;
        let wanted = with.at.to_rfc3339();
        let Some(reached) = reached else {
            return Ok(Look::NotYet(format!("lake/{topic} has no watermark yet, {wanted} is needed")));
        };
        if reached < with.at {
            let state =
                format!("lake/{topic} is complete up to {}, {wanted} is needed", reached.to_rfc3339());
            return Ok(Look::NotYet(state));
        }
        ctx.sink
            .log(Stream::System, format!("complete up to {} ({topic} is the slowest)", reached.to_rfc3339()));
        Ok(Look::Met(json!({ "watermark": reached })))
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
        let pace = Pace::new(with.poll, POLL, with.timeout);
        self.waits.look(&ctx, &pace, self.look(&ctx, &with)).await
    }
}

fn unknown_asset(asset: &str) -> String {
    format!("`{asset}` is no asset with a watermark; write {ASSET_PREFIX}<topic>")
}
