//! What our own services (`streamify generate`, `streamify stream`) tell on standard output: status lines for the engine, the rest for the log.

use crate::child;
use crate::env::Env;
use model::task::Stream;
use model::{Outcome, TaskContext, TaskError};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use tokio::process::Command;

/// Such a line is `{"status": {...}, "ready": true}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusLine {
    status: Value,
    #[serde(default)]
    ready: bool,
}

/// Runs a service of ours to its end. Its last status becomes the outputs.
pub async fn run(
    command: Command,
    ctx: &TaskContext,
    env: &Arc<Env>,
    name: &str,
) -> Result<Outcome, TaskError> {
    let sink = ctx.sink.clone();
    let mut last = Value::Null;
    let ended = child::run(command, ctx, env, |stream, line| match parse(stream, &line) {
        Some(told) => {
            if told.ready {
                sink.ready();
            }
            sink.status(told.status.clone());
            last = told.status;
        }
        None => sink.log(stream, line),
    })
    .await?;
    child::judge(&ended, name)?;
    Ok(Outcome::Done { outputs: last })
}

fn parse(stream: Stream, line: &str) -> Option<StatusLine> {
    (stream == Stream::Stdout && line.starts_with("{\"status\":"))
        .then(|| serde_json::from_str(line).ok())
        .flatten()
}
