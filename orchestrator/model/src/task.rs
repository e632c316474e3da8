//! The contract between the engine and what a task can do. Kinds implement [`Task`]; the worker calls it.

use crate::check::CheckResult;
use crate::platform::Platform;
use crate::window::Window;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One kind of task (`uses:` in YAML). Stateless: all that a try needs comes with its [`TaskContext`].
#[async_trait]
pub trait Task: Send + Sync + 'static {
    /// The name in `uses:`.
    fn kind(&self) -> &'static str;

    /// One line for the reference and for editors.
    fn summary(&self) -> &'static str;

    /// A service does not end by itself: what needs it waits for *ready*, not for success.
    fn is_service(&self) -> bool {
        false
    }

    /// The name of what only some nodes own (`warehouse`): such a task goes to a node that has it.
    fn route(&self) -> Option<&'static str> {
        None
    }

    /// It says which of the tasks after it run: `Done` with outputs `{"chosen": [ids]}`, ids of tasks or groups that need it.
    fn is_branch(&self) -> bool {
        false
    }

    /// JSON Schema of `with:`, for editors. Values may always also be `{{ templates }}`.
    fn with_schema(&self) -> Value;

    /// What is wrong with `with:`, found when the file is loaded. Templates are not rendered yet: a string with `{{` stands for any value.
    fn check(&self, with: &Value, dag_dir: &Path) -> Vec<WithProblem>;

    /// A kind that stands for several tasks (`models`) gives them here; they take its place as a group with its id.
    fn expand(&self, _with: &Value, _dag_dir: &Path) -> Result<Option<Vec<ExpandedTask>>, Vec<WithProblem>> {
        Ok(None)
    }

    /// What it gives, where that follows from its rendered `with:` alone: a played run (`simulate`) need not be told.
    fn outputs_of(&self, _with: &Value) -> Option<Result<Value, String>> {
        None
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError>;
}

/// A problem with `with:`; `key` says where in it (`url`, `json.text`), empty for the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct WithProblem {
    pub key: String,
    pub message: String,
    pub hint: Option<String>,
}

/// One task that an expanding kind stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpandedTask {
    /// Unique in the group; the task's id becomes `<group>.<id>`.
    pub id: String,
    pub uses: String,
    pub with: Value,
    /// Ids inside the group.
    pub needs: Vec<String>,
}

/// All that one attempt gets.
#[derive(Clone)]
pub struct TaskContext {
    pub dag_id: String,
    pub run_id: String,
    /// The run's internal id.
    pub run: i64,
    /// Position in the dag.
    pub task: usize,
    pub task_id: String,
    /// -1 for a task without `for_each`, as in Airflow.
    pub map_index: i32,
    /// Counts from 1.
    pub try_number: i32,
    /// Unique over all attempts; also in the environment of child processes as `STREAMIFY_ATTEMPT_ID`.
    pub attempt_id: i64,
    pub window: Option<Window>,
    /// `with:`, rendered.
    pub with: Value,
    pub env: BTreeMap<String, String>,
    /// When this try began; for a poked wait, when the first poke began.
    pub first_started_at: DateTime<Utc>,
    /// Soft stop: finish quickly, then return [`TaskError::Cancelled`]. After `grace` the attempt is abandoned.
    pub cancel: CancellationToken,
    pub grace: Duration,
    /// For processes of a service: what they are sent first (`TERM`, `INT`, `HUP`, `QUIT`); `None` for TERM.
    pub stop_signal: Option<String>,
    /// The span that this try is, for those it calls (W3C Trace Context); `None` where nobody takes traces.
    pub traceparent: Option<String>,
    pub sink: Arc<dyn Sink>,
    pub platform: Arc<dyn Platform>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
    /// Written by the engine or the kind itself.
    System,
}

/// Where an attempt tells what happens, while it runs. Never blocks for long; what cannot be stored is counted.
pub trait Sink: Send + Sync {
    fn log(&self, stream: Stream, line: String);
    /// A service is ready: what needs it may start.
    fn ready(&self);
    /// The service's own figures (lag, rows, event time); the newest replaces the last.
    fn status(&self, status: Value);
    fn check(&self, result: CheckResult);
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done {
        outputs: Value,
    },
    Skipped {
        reason: String,
    },
    /// Not yet: look again later, without holding a slot meanwhile.
    Poke {
        again_in: Duration,
    },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TaskError {
    /// May pass by itself: retried while the policy allows.
    #[error("{0}")]
    Retry(String),
    /// Will not pass by itself: fails at once.
    #[error("{0}")]
    Fail(String),
    #[error("cancelled")]
    Cancelled,
}
