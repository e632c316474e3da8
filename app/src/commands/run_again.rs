//! `streamify run clear|mark|rerun`.

use super::request;
use crate::cli::{ClearArgs, MarkArgs, MarkState, RerunArgs};
use crate::config::Config;
use crate::output;
use anyhow::Result;
use model::{RunState, TaskState};
use serde_json::json;
use std::process::ExitCode;
use store::Store;
use store::clear::ClearRequest;
use store::mark::MarkRequest;
use store::rerun::RerunRequest;

pub async fn clear(config: &Config, store: &Store, args: ClearArgs) -> Result<ExitCode> {
    let request = ClearRequest {
        tasks: (!args.tasks.is_empty()).then_some(args.tasks),
        map_indexes: args.map_indexes,
        upstream: args.upstream,
        downstream: args.downstream,
        only_failed: args.only_failed,
        dry_run: args.dry_run,
        newest_version: args.newest_version,
        params: request::edits(&args.params)?,
        reason: args.reason,
    };
    let now = store.clock().await?;
    let cleared = store.clear(&args.dag, &args.run_id, &request, &request::who(), now).await?;
    if config.json {
        let instances: Vec<_> = cleared
            .instances
            .iter()
            .map(|(task, map_index)| json!({ "task": task, "map_index": map_index }))
            .collect();
        output::json(&json!({
            "dry_run": args.dry_run, "instances": instances, "removed": cleared.removed, "added": cleared.added,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (task, map_index) in &cleared.instances {
        println!("{}", named(task, *map_index));
    }
    for (word, tasks) in [("removed", &cleared.removed), ("added", &cleared.added)] {
        if !tasks.is_empty() {
            println!("{word} by the newest version: {}", tasks.join(", "));
        }
    }
    let count = cleared.instances.len();
    println!("{count} tasks {}", if args.dry_run { "would run again" } else { "run again" });
    Ok(ExitCode::SUCCESS)
}

pub async fn mark(config: &Config, store: &Store, args: MarkArgs) -> Result<ExitCode> {
    let now = store.clock().await?;
    if args.tasks.is_empty() {
        let state = match args.state {
            MarkState::Success => RunState::Success,
            MarkState::Failed => RunState::Failed,
            MarkState::Skipped => {
                anyhow::bail!("a run can be marked success or failed; skipped is for tasks (--task)")
            }
        };
        store.mark_run(&args.dag, &args.run_id, state, &request::who(), &args.reason, now).await?;
        println!("{}/{} is {state}", args.dag, args.run_id);
        return Ok(ExitCode::SUCCESS);
    }
    let request = MarkRequest {
        tasks: args.tasks,
        map_index: args.map_index,
        state: match args.state {
            MarkState::Success => TaskState::Success,
            MarkState::Failed => TaskState::Failed,
            MarkState::Skipped => TaskState::Skipped,
        },
        upstream: args.upstream,
        downstream: args.downstream,
        past: args.past,
        future: args.future,
        dry_run: args.dry_run,
        reason: args.reason,
    };
    let marked = store.mark_tasks(&args.dag, &args.run_id, &request, &request::who(), now).await?;
    if config.json {
        let rows: Vec<_> = marked
            .iter()
            .map(|row| json!({ "run_id": row.run_id, "task": row.task_id, "map_index": row.map_index }))
            .collect();
        output::json(&json!({ "dry_run": args.dry_run, "state": request.state, "instances": rows }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for row in &marked {
        println!("{} {}", row.run_id, named(&row.task_id, row.map_index));
    }
    let word = if args.dry_run { "would be" } else { "are" };
    println!("{} tasks {word} {}", marked.len(), request.state);
    Ok(ExitCode::SUCCESS)
}

/// Returns the id of the new run.
pub async fn rerun(store: &Store, args: &RerunArgs) -> Result<String> {
    let request = RerunRequest {
        run_id: args.new_run_id.clone(),
        params: request::edits(&args.params)?,
        same_version: args.same_version,
        reason: args.reason.clone(),
    };
    let now = store.clock().await?;
    let run = store.rerun(&args.dag, &args.run_id, &request, &request::who(), now).await?;
    Ok(run.run_id)
}

fn named(task: &str, map_index: i32) -> String {
    if map_index < 0 { task.to_owned() } else { format!("{task}[{map_index}]") }
}
