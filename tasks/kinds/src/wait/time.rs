//! `wait.time`: until an instant, or for a while. One look at the beginning, one at the end.

use super::Waits;
use crate::span::Span;
use crate::with;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use model::task::{Stream, WithProblem};
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The instant: `"{{ window.end | shift('30m') }}"`. One that is over waits for nothing.
    #[serde(default)]
    until: Option<DateTime<Utc>>,
    /// Or how long from the beginning of the try: `10m`.
    #[serde(default, rename = "for")]
    length: Option<Span>,
}

pub struct Time {
    waits: Arc<Waits>,
}

impl Time {
    pub fn new(waits: Arc<Waits>) -> Self {
        Time { waits }
    }
}

#[async_trait]
impl Task for Time {
    fn kind(&self) -> &'static str {
        "wait.time"
    }

    fn summary(&self) -> &'static str {
        "Wait until an instant, or for a while"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("until").is_some() == given.get("for").is_some() {
            problems.push(with::problem("", "give either `until` or `for`", None));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let until = match (with.until, with.length) {
            (Some(until), None) => until,
            (None, Some(length)) => after(ctx.first_started_at, length)?,
            _ => return Err(TaskError::Fail("with: give either `until` or `for`".to_string())),
        };
        match (until - self.waits.now()).to_std().ok().filter(|rest| !rest.is_zero()) {
            None => Ok(Outcome::Done { outputs: json!({ "until": until }) }),
            Some(again_in) => {
                ctx.sink.log(Stream::System, format!("waiting until {}", until.to_rfc3339()));
                Ok(Outcome::Poke { again_in })
            }
        }
    }
}

fn after(start: DateTime<Utc>, length: Span) -> Result<DateTime<Utc>, TaskError> {
    let end = TimeDelta::from_std(length.0).ok().and_then(|length| start.checked_add_signed(length));
    end.ok_or_else(|| TaskError::Fail(format!("with.for: {:?} is too long", length.0)))
}
