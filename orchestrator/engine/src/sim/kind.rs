//! What simulated tasks do: a script drawn when an attempt starts. Each execution is known to the rules from its first poll to the
//! moment in which it is dropped, however that comes.

use super::world::World;
use async_trait::async_trait;
use model::platform::{Approval, Asker, PlatformError};
use model::task::{ExpandedTask, Stream, WithProblem};
use model::{Outcome, Task, TaskContext, TaskError};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const TASK: &str = "fake";
pub(crate) const SERVICE: &str = "fake.service";
pub(crate) const BRANCH: &str = "fake.branch";
pub(crate) const APPROVE: &str = "fake.approve";

/// Longer than any simulation: only the decision wakes who asked.
const ASKED_AGAIN: Duration = Duration::from_secs(3600);

pub(crate) struct Fake {
    pub world: Arc<World>,
    pub name: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) enum Script {
    Done(Duration),
    Retry(Duration),
    Fail(Duration),
    Skip,
    Poke(Duration),
    Panic(Duration),
    /// Until it is told to stop, or (stubborn) taken away.
    Hang {
        stubborn: bool,
    },
    Serve {
        ready: Duration,
        breaks: Option<Duration>,
    },
}

/// Runs from its first poll until it is dropped.
struct Running {
    world: Arc<World>,
    number: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.world.execution_ends(self.number);
    }
}

#[async_trait]
impl Task for Fake {
    fn kind(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        "a simulated task"
    }

    fn is_service(&self) -> bool {
        self.name == SERVICE
    }

    fn is_branch(&self) -> bool {
        self.name == BRANCH
    }

    fn with_schema(&self) -> Value {
        json!({})
    }

    fn check(&self, _with: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        Vec::new()
    }

    fn expand(&self, _with: &Value, _dag_dir: &Path) -> Result<Option<Vec<ExpandedTask>>, Vec<WithProblem>> {
        Ok(None)
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let (number, script) = self.world.execution_starts(&ctx, self.name == SERVICE);
        let _running = Running { world: self.world.clone(), number };
        let said = if self.name == APPROVE { ask(&ctx).await } else { self.play(&ctx, script).await };
        let word = match &said {
            Ok(Outcome::Done { .. }) => "done",
            Ok(Outcome::Skipped { .. }) => "skipped",
            Ok(Outcome::Poke { .. }) => "poke",
            Err(_) => "failed",
        };
        self.world.execution_said(ctx.attempt_id, word);
        said
    }
}

/// As the kind `approve`.
async fn ask(ctx: &TaskContext) -> Result<Outcome, TaskError> {
    let asker = Asker { run: ctx.run, task: ctx.task, map_index: ctx.map_index };
    match ctx.platform.approval(&asker, "may it go on?").await {
        Ok(Approval::Waiting) => Ok(Outcome::Poke { again_in: ASKED_AGAIN }),
        Ok(Approval::Approved { who, .. }) => Ok(Outcome::Done { outputs: json!({ "who": who }) }),
        Ok(Approval::Rejected { who, .. }) => Err(TaskError::Fail(format!("rejected by {who}"))),
        Err(PlatformError::Unavailable(_)) => Ok(Outcome::Poke { again_in: Duration::from_secs(1) }),
        Err(PlatformError::Refused(message)) => Err(TaskError::Fail(message)),
    }
}

impl Fake {
    async fn play(&self, ctx: &TaskContext, script: Script) -> Result<Outcome, TaskError> {
        if ctx.attempt_id % 4 == 0 {
            ctx.sink.log(Stream::Stdout, "begun".to_owned());
        }
        match script {
            Script::Done(after) => {
                self.wait(ctx, after).await?;
                Ok(Outcome::Done { outputs: self.outputs(ctx) })
            }
            Script::Retry(after) => {
                self.wait(ctx, after).await?;
                Err(TaskError::Retry("it did not work".to_owned()))
            }
            Script::Fail(after) => {
                self.wait(ctx, after).await?;
                Err(TaskError::Fail("it cannot work".to_owned()))
            }
            Script::Skip => Ok(Outcome::Skipped { reason: "nothing to do".to_owned() }),
            Script::Poke(again_in) => Ok(Outcome::Poke { again_in }),
            Script::Panic(after) => {
                self.wait(ctx, after).await?;
                // Without the panic hook, which would tell of it.
                std::panic::resume_unwind(Box::new("broken"))
            }
            Script::Hang { stubborn } => {
                tokio::select! {
                    biased;
                    () = ctx.cancel.cancelled(), if !stubborn => Err(TaskError::Cancelled),
                    () = self.world.calm.cancelled() => Ok(Outcome::Done { outputs: self.outputs(ctx) }),
                }
            }
            Script::Serve { ready, breaks } => self.serve(ctx, ready, breaks).await,
        }
    }

    async fn serve(
        &self,
        ctx: &TaskContext,
        ready: Duration,
        breaks: Option<Duration>,
    ) -> Result<Outcome, TaskError> {
        self.wait(ctx, ready).await?;
        ctx.sink.ready();
        ctx.sink.status(json!({ "lag": 0 }));
        match breaks {
            Some(after) => {
                self.wait(ctx, after).await?;
                Err(TaskError::Retry("it broke".to_owned()))
            }
            None => {
                ctx.cancel.cancelled().await;
                Err(TaskError::Cancelled)
            }
        }
    }

    /// Works for a time, or until it is told to stop.
    async fn wait(&self, ctx: &TaskContext, time: Duration) -> Result<(), TaskError> {
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(TaskError::Cancelled),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    fn outputs(&self, ctx: &TaskContext) -> Value {
        match ctx.with.get("choices").and_then(Value::as_array) {
            Some(choices) if self.name == BRANCH => {
                let chosen = choices.get(self.world.below(choices.len().max(1)));
                json!({ "chosen": chosen.into_iter().collect::<Vec<_>>() })
            }
            _ => json!({ "n": self.world.below(4) }),
        }
    }
}
