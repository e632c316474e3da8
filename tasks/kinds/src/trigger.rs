//! `trigger`: starts a run of a dag, and waits for its end if told so.
//!
//! The run's id follows from the task, so that a try which does not know what became of the one before finds its run instead of starting
//! a second. Only where that run did not end well does a later try start another, with the try in its id.

use crate::asked::asked;
use crate::span::Span;
use crate::wait::{Look, Pace, Waits};
use crate::window_key::WindowKey;
use crate::with;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::platform::TriggerRequest;
use model::task::{Stream, WithProblem};
use model::{Outcome, RunState, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const POLL: Duration = Duration::from_secs(5);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The dag to run.
    dag: String,
    #[serde(default)]
    params: Map<String, Value>,
    /// The run's id; one that follows from dag, run and task if not said.
    #[serde(default)]
    run_id: Option<String>,
    /// The run's window: `inherit` (that of this run, if not said), `none` or `{start, end}`.
    #[serde(default)]
    window: Option<WindowKey>,
    #[serde(default)]
    logical_date: Option<DateTime<Utc>>,
    /// Whether this task ends when the run has ended, and as it has; `false` if not said.
    #[serde(default)]
    wait: bool,
    /// With `wait`: time between two looks, 5s if not said.
    #[serde(default)]
    poll: Option<Span>,
    /// With `wait`: fail after this long (the run goes on); for ever if not said.
    #[serde(default)]
    timeout: Option<Span>,
}

pub struct Trigger {
    waits: Arc<Waits>,
}

impl Trigger {
    pub fn new(waits: Arc<Waits>) -> Self {
        Trigger { waits }
    }
}

#[async_trait]
impl Task for Trigger {
    fn kind(&self) -> &'static str {
        "trigger"
    }

    fn summary(&self) -> &'static str {
        "Start a run of a dag, and wait for its end if told so"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        let waits = given.get("wait").is_some_and(|wait| wait != &Value::Bool(false));
        let useless = ["poll", "timeout"].into_iter().filter(|key| !waits && given.get(*key).is_some());
        problems.extend(useless.map(|key| {
            with::problem(key, format!("`{key}` is for `wait: true`"), Some("wait: true".to_string()))
        }));
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let pace = Pace::new(with.poll, POLL, with.timeout);
        self.waits.look(&ctx, &pace, look(&ctx, &with)).await
    }
}

async fn look(ctx: &TaskContext, with: &With) -> Result<Look, TaskError> {
    let (run_id, state) = match newest(ctx, with).await? {
        Some((run_id, state, try_number)) if try_number == ctx.try_number || !has_failed(state) => {
            (run_id, state)
        }
        _ => start(ctx, with).await?,
    };
    let now = format!("run '{run_id}' of {} is {state}", with.dag);
    Ok(match state {
        RunState::Failed if with.wait => Look::Over(TaskError::Retry(now)),
        // Somebody wanted it to stop.
        RunState::Cancelled if with.wait => Look::Over(TaskError::Fail(now)),
        RunState::Queued | RunState::Running if with.wait => Look::NotYet(now),
        _ => Look::Met(json!({ "dag_id": with.dag, "run_id": run_id, "state": state })),
    })
}

/// The run that the latest of this and the earlier tries started, and which try that was.
async fn newest(ctx: &TaskContext, with: &With) -> Result<Option<(String, RunState, i32)>, TaskError> {
    for try_number in (1..=ctx.try_number).rev() {
        let run_id = run_id(ctx, with, try_number);
        if let Some(state) = ctx.platform.run_state(&with.dag, &run_id).await.map_err(asked)? {
            return Ok(Some((run_id, state, try_number)));
        }
    }
    Ok(None)
}

async fn start(ctx: &TaskContext, with: &With) -> Result<(String, RunState), TaskError> {
    let run_id = run_id(ctx, with, ctx.try_number);
    let request = TriggerRequest {
        dag_id: with.dag.clone(),
        run_id: run_id.clone(),
        params: Value::Object(with.params.clone()),
        window: with.window.unwrap_or(WindowKey::Same).of(ctx),
        logical_date: with.logical_date,
        requested_by: format!("{}/{}/{}", ctx.dag_id, ctx.run_id, ctx.task_id),
    };
    ctx.platform.trigger(request).await.map_err(asked)?;
    ctx.sink.log(Stream::System, format!("started run '{run_id}' of {}", with.dag));
    let state = ctx.platform.run_state(&with.dag, &run_id).await.map_err(asked)?;
    Ok((run_id, state.unwrap_or(RunState::Queued)))
}

/// Each try has its own, that of the first without a number.
fn run_id(ctx: &TaskContext, with: &With, try_number: i32) -> String {
    let own = || {
        let item = if ctx.map_index < 0 { String::new() } else { format!("__{}", ctx.map_index) };
        format!("{}__{}__{}{item}", ctx.dag_id, ctx.run_id, ctx.task_id)
    };
    let id = with.run_id.clone().filter(|id| !id.is_empty()).unwrap_or_else(own);
    if try_number <= 1 { id } else { format!("{id}__try{try_number}") }
}

fn has_failed(state: RunState) -> bool {
    matches!(state, RunState::Failed | RunState::Cancelled)
}
