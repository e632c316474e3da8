//! `process`: a program with arguments, no shell in between.

use crate::child;
use crate::env::Env;
use crate::program;
use crate::text::Text;
use crate::with;
use async_trait::async_trait;
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The program and its arguments, one list item each; no shell expands them.
    command: Vec<Text>,
    /// The folder to run in, from the dags folder; that folder itself if not said.
    #[serde(default)]
    cwd: Option<PathBuf>,
}

pub struct Process {
    env: Arc<Env>,
}

impl Process {
    pub fn new(env: Arc<Env>) -> Self {
        Process { env }
    }
}

#[async_trait]
impl Task for Process {
    fn kind(&self) -> &'static str {
        "process"
    }

    fn summary(&self) -> &'static str {
        "Run a program; exit status 0 is success, 99 is skipped, all else is retried"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("command").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            problems.push(with::problem(
                "command",
                "no program named",
                Some("command: [echo, hello]".to_string()),
            ));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let (program, arguments) = with
            .command
            .split_first()
            .ok_or_else(|| TaskError::Fail("with.command names no program".to_string()))?;
        let program = &program.0;
        let mut command = child::command(Path::new(program));
        command.args(arguments).current_dir(self.env.dags_dir.join(with.cwd.unwrap_or_default()));
        program::run(command, &ctx, &self.env, program, None).await
    }
}
