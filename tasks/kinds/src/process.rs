//! `process`: a program with arguments, no shell in between.

use crate::child;
use crate::env::Env;
use crate::with;
use async_trait::async_trait;
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Outputs larger than this are refused: they are kept as rows.
const OUTPUTS_BYTES_MAX: u64 = 256 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The program and its arguments, one list item each; no shell expands them.
    command: Vec<String>,
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
        let outputs = tempfile::Builder::new().prefix("streamify-outputs-").tempfile();
        let outputs = outputs
            .map_err(|error| TaskError::Retry(format!("no temporary file for the outputs: {error}")))?;
        let mut command = child::command(Path::new(program));
        command
            .args(arguments)
            .current_dir(self.env.dags_dir.join(with.cwd.unwrap_or_default()))
            .env("PATH", self.path_with_ourselves())
            .env("STREAMIFY_OUTPUTS", outputs.path());
        let sink = ctx.sink.clone();
        let ended = child::run(command, &ctx, &self.env, |stream, line| sink.log(stream, line)).await;
        let written = read_outputs(outputs.path());
        match child::judge(&ended?, program)? {
            true => Ok(Outcome::Done { outputs: written? }),
            false => Ok(Outcome::Skipped { reason: format!("{program} ended with exit status 99") }),
        }
    }
}

impl Process {
    /// So that `streamify` in a command is this very binary.
    fn path_with_ourselves(&self) -> std::ffi::OsString {
        let ours = self.env.program.parent().map(Path::to_path_buf);
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let folders = ours.into_iter().chain(std::env::split_paths(&rest));
        std::env::join_paths(folders).unwrap_or(rest)
    }
}

/// What the program wrote to `$STREAMIFY_OUTPUTS`: one JSON object.
fn read_outputs(path: &Path) -> Result<Value, TaskError> {
    let meta =
        std::fs::metadata(path).map_err(|error| TaskError::Fail(format!("the outputs are gone: {error}")))?;
    if meta.len() == 0 {
        return Ok(Value::Null);
    }
    if meta.len() > OUTPUTS_BYTES_MAX {
        return Err(TaskError::Fail(format!(
            "outputs of {} bytes; at most {OUTPUTS_BYTES_MAX} are kept",
            meta.len()
        )));
    }
    let text =
        std::fs::read(path).map_err(|error| TaskError::Fail(format!("cannot read the outputs: {error}")))?;
    serde_json::from_slice::<serde_json::Map<String, Value>>(&text).map(Value::Object).map_err(|error| {
        TaskError::Fail(format!("what was written to $STREAMIFY_OUTPUTS is no JSON object: {error}"))
    })
}
