//! `wait.object`: until files have come, in the lake, in a bucket or in a folder of this machine.

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
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const POLL: Duration = Duration::from_secs(10);
/// More are counted, but not named in the outputs.
const NAMED_MAX: usize = 1000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// A name or pattern (`*`, `?`, `[ab]`, `**`): `landing/*.csv` in the lake, `/folder/*.csv` on this machine, `gs://bucket/...`, `s3://bucket/...`.
    url: String,
    /// Smaller ones do not count.
    #[serde(default)]
    min_bytes: u64,
    /// How many must be there: 1 if not said.
    #[serde(default = "one")]
    count: u32,
    /// Time between two looks: 10s if not said.
    #[serde(default)]
    poll: Option<Span>,
    /// Give up after this long; for ever if not said.
    #[serde(default)]
    timeout: Option<Span>,
}

fn one() -> u32 {
    1
}

pub struct Object {
    env: Arc<Env>,
    waits: Arc<Waits>,
}

impl Object {
    pub fn new(env: Arc<Env>, waits: Arc<Waits>) -> Self {
        Object { env, waits }
    }

    async fn look(&self, with: &With) -> Result<Look, TaskError> {
        let found = self.env.lake.find(&with.url).await.map_err(|error| {
            if error.may_pass() {
                TaskError::Retry(error.to_string())
            } else {
                TaskError::Fail(error.to_string())
            }
        })?;
        let all = found.len();
        let fitting: Vec<_> = found.into_iter().filter(|object| object.bytes >= with.min_bytes).collect();
        if fitting.len() < with.count as usize {
            let small = all - fitting.len();
            let small = if small > 0 { format!(" and {small} that are too small") } else { String::new() };
            let state = format!("{}: {} of {} objects are there{small}", with.url, fitting.len(), with.count);
            return Ok(Look::NotYet(state));
        }
        let bytes: u64 = fitting.iter().map(|object| object.bytes).sum();
        let names: Vec<&str> = fitting.iter().take(NAMED_MAX).map(|object| object.uri.as_str()).collect();
        Ok(Look::Met(json!({ "count": fitting.len(), "bytes": bytes, "objects": names })))
    }
}

#[async_trait]
impl Task for Object {
    fn kind(&self) -> &'static str {
        "wait.object"
    }

    fn summary(&self) -> &'static str {
        "Wait until files have come, in the lake, in a bucket or in a folder"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("count").and_then(Value::as_u64) == Some(0) {
            problems.push(with::problem("count", "0 objects are always there", None));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let pace = Pace::new(with.poll, POLL, with.timeout);
        self.waits.look(&ctx, &pace, self.look(&with)).await
    }
}
