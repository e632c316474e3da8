//! A program of the user: our own binary on its path, a file for its outputs, its exit status as the outcome.

use crate::child;
use crate::env::Env;
use model::{Outcome, TaskContext, TaskError};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Outputs larger than this are refused: they are kept as rows.
const OUTPUTS_BYTES_MAX: u64 = 256 * 1024;

/// Runs the program to its end; `name` stands for it in messages. Programs in `bin` come first on its path.
pub async fn run(
    mut command: Command,
    ctx: &TaskContext,
    env: &Env,
    name: &str,
    bin: Option<&Path>,
) -> Result<Outcome, TaskError> {
    let outputs = tempfile::Builder::new().prefix("streamify-outputs-").tempfile();
    let outputs =
        outputs.map_err(|error| TaskError::Retry(format!("no temporary file for the outputs: {error}")))?;
    command.env("PATH", path_with_ourselves(env, bin)).env("STREAMIFY_OUTPUTS", outputs.path());
    let sink = ctx.sink.clone();
    let ended = child::run(command, ctx, env, |stream, line| sink.log(stream, line)).await;
    let written = read_outputs(outputs.path());
    match child::judge(&ended?, name)? {
        true => Ok(Outcome::Done { outputs: written? }),
        false => Ok(Outcome::Skipped { reason: format!("{name} ended with exit status 99") }),
    }
}

/// So that `streamify` in a command is this very binary.
fn path_with_ourselves(env: &Env, bin: Option<&Path>) -> OsString {
    let ours = bin.into_iter().chain(env.program.parent()).map(Path::to_path_buf);
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = ours.chain(std::env::split_paths(&rest)).collect();
    std::env::join_paths(folders).unwrap_or(rest)
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
