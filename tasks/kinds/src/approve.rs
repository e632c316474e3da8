//! `approve`: a person decides whether the run goes on. While they think, no slot is held.

use crate::asked::asked;
use crate::span::Span;
use crate::wait::{Look, Pace, Waits};
use crate::with;
use async_trait::async_trait;
use model::platform::{Approval, Asker};
use model::task::{Stream, WithProblem};
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A decision wakes the task; this is for the case that the call was lost.
const POLL: Duration = Duration::from_secs(3600);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// What people are asked.
    prompt: String,
    /// How long they have; for ever if not said.
    #[serde(default)]
    timeout: Option<Span>,
    /// What counts when the time is over: `reject`, `approve` or `fail` (if not said).
    #[serde(default)]
    on_timeout: OnTimeout,
    /// What becomes of this task when it was rejected: `skip` or `fail` (if not said).
    #[serde(default)]
    on_reject: OnReject,
}

#[derive(Deserialize, JsonSchema, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
enum OnTimeout {
    Reject,
    Approve,
    #[default]
    Fail,
}

#[derive(Deserialize, JsonSchema, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
enum OnReject {
    Skip,
    #[default]
    Fail,
}

pub struct Approve {
    waits: Arc<Waits>,
}

impl Approve {
    pub fn new(waits: Arc<Waits>) -> Self {
        Approve { waits }
    }
}

#[async_trait]
impl Task for Approve {
    fn kind(&self) -> &'static str {
        "approve"
    }

    fn summary(&self) -> &'static str {
        "Ask people, and go on when somebody has approved"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("on_timeout").is_some() && given.get("timeout").is_none() {
            problems.push(with::problem(
                "on_timeout",
                "`timeout` is missing",
                Some("timeout: 2h".to_string()),
            ));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let asker = Asker { run: ctx.run, task: ctx.task, map_index: ctx.map_index };
        let left = with.timeout.map(|timeout| timeout.0.saturating_sub(self.waits.waited(&ctx)));
        let mut rejected = None;
        let look = async {
            let (is_approved, who, comment) =
                match ctx.platform.approval(&asker, &with.prompt).await.map_err(asked)? {
                    Approval::Approved { who, comment } => (true, who, comment),
                    Approval::Rejected { who, comment } => (false, who, comment),
                    Approval::Waiting => match (left, with.on_timeout) {
                        (Some(Duration::ZERO), OnTimeout::Fail) => {
                            return Ok(Look::Over(TaskError::Fail(late(&with))));
                        }
                        (Some(Duration::ZERO), decision) => {
                            (matches!(decision, OnTimeout::Approve), "timeout".to_string(), late(&with))
                        }
                        _ => return Ok(Look::NotYet(format!("asked: {}", with.prompt))),
                    },
                };
            let word = if is_approved { "approved" } else { "rejected" };
            let colon = if comment.is_empty() { "" } else { ": " };
            let told = format!("{word} by {who}{colon}{comment}");
            ctx.sink.log(Stream::System, told.clone());
            rejected = (!is_approved).then_some(told);
            Ok(Look::Met(json!({ "who": who, "comment": comment })))
        };
        let poll = left.map_or(POLL, |left| left.min(POLL));
        let outcome = self.waits.look(&ctx, &Pace { poll, timeout: None }, look).await?;
        match (rejected, with.on_reject) {
            (None, _) => Ok(outcome),
            (Some(reason), OnReject::Skip) => Ok(Outcome::Skipped { reason }),
            (Some(reason), OnReject::Fail) => Err(TaskError::Fail(reason)),
        }
    }
}

fn late(with: &With) -> String {
    format!("nobody decided within {:?}", with.timeout.map(|span| span.0).unwrap_or_default())
}
