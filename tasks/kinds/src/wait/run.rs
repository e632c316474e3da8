//! `wait.run`: until a run of a dag, this or another one, has come to a state.

use super::{Look, Pace, Waits};
use crate::asked::asked;
use crate::span::Span;
use crate::window_key::WindowKey;
use crate::with;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::task::WithProblem;
use model::{Outcome, RunState, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const POLL: Duration = Duration::from_secs(5);
const WHICH: [&str; 3] = ["run_id", "window", "logical_date"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The dag whose run is waited for.
    dag: String,
    /// The run with this id.
    #[serde(default)]
    run_id: Option<String>,
    /// Or the newest run with this window: `same` or `{start, end}`.
    #[serde(default)]
    window: Option<WindowKey>,
    /// Or the newest run with this logical date.
    #[serde(default)]
    logical_date: Option<DateTime<Utc>>,
    /// The states that are wished: `[success]` if not said. A run that ends in another one fails the wait.
    #[serde(default = "success")]
    #[schemars(with = "Vec<String>")]
    states: Vec<RunState>,
    /// Time between two looks: 5s if not said.
    #[serde(default)]
    poll: Option<Span>,
    /// Give up after this long; for ever if not said.
    #[serde(default)]
    timeout: Option<Span>,
}

fn success() -> Vec<RunState> {
    vec![RunState::Success]
}

pub struct Run {
    waits: Arc<Waits>,
}

impl Run {
    pub fn new(waits: Arc<Waits>) -> Self {
        Run { waits }
    }
}

#[async_trait]
impl Task for Run {
    fn kind(&self) -> &'static str {
        "wait.run"
    }

    fn summary(&self) -> &'static str {
        "Wait until a run of a dag has ended well, or has come to another state"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if WHICH.iter().filter(|key| given.get(**key).is_some()).count() != 1 {
            problems.push(with::problem("", "give one of `run_id`, `window` and `logical_date`", None));
        }
        if given.get("window").and_then(Value::as_str) == Some("none") {
            problems.push(with::problem("window", "`none` names no run", Some("window: same".to_string())));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let pace = Pace::new(with.poll, POLL, with.timeout);
        self.waits.look(&ctx, &pace, look(&ctx, &with)).await
    }
}

async fn look(ctx: &TaskContext, with: &With) -> Result<Look, TaskError> {
    let dag = &with.dag;
    let found = match &with.run_id {
        Some(id) => {
            let state = ctx.platform.run_state(dag, id).await.map_err(asked)?;
            state.map(|state| (id.clone(), state))
        }
        None => {
            let window = with.window.and_then(|window| window.of(ctx));
            if window.is_none() && with.logical_date.is_none() {
                let message =
                    "with.window: this run has no window; name the run by `run_id` or `logical_date`";
                return Err(TaskError::Fail(message.to_string()));
            }
            ctx.platform.run_for(dag, window, with.logical_date).await.map_err(asked)?
        }
    };
    let Some((run_id, state)) = found else {
        return Ok(Look::NotYet(format!("there is no such run of {dag} yet")));
    };
    if with.states.contains(&state) {
        return Ok(Look::Met(json!({ "dag_id": dag, "run_id": run_id, "state": state })));
    }
    let now = format!("run '{run_id}' of {dag} is {state}");
    if state.is_final() { Err(TaskError::Fail(now)) } else { Ok(Look::NotYet(now)) }
}
