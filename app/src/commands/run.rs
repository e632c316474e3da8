//! `streamify run`: trigger, list, logs, cancel; `run_show` and `run_again` have the rest.

use super::request::{self, dash, who};
use super::{run_again, run_show};
use crate::cli::RunCommand;
use crate::config::Config;
use crate::{node, output, retention};
use anyhow::{Context, Result, bail};
use model::RunState;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use store::Store;
use store::notify::Ring;
use store::runs::{NewRun, RunType};
use store::views::runs::RunFilter;

/// A lost notification costs at most this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LINES_AT_ONCE: i64 = 1000;

pub async fn run(mut config: Config, command: RunCommand) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    node::share_settings(&mut config, &store).await?;
    let store = retention::with_archive(&config, store);
    match command {
        RunCommand::Trigger { dag, params, run_id, wait } => {
            trigger(&config, &store, dag, &params, run_id, wait).await
        }
        RunCommand::List { dag, limit } => list(&config, &store, dag, limit).await,
        RunCommand::Logs { dag, run_id, task, try_number, map_index, follow } => {
            logs(&store, &dag, &run_id, &task, map_index, try_number, follow).await
        }
        RunCommand::Cancel { dag, run_id } => {
            store.request_cancel(&dag, &run_id, &who(), store.clock().await?).await?;
            println!("{dag}/{run_id} was asked to stop");
            Ok(ExitCode::SUCCESS)
        }
        RunCommand::Show { dag, run_id, task, limit } => {
            run_show::show(&config, &store, &dag, &run_id, task, limit).await
        }
        RunCommand::Clear(args) => run_again::clear(&config, &store, args).await,
        RunCommand::Mark(args) => run_again::mark(&config, &store, args).await,
        RunCommand::Rerun(args) => {
            let run_id = run_again::rerun(&store, &args).await?;
            started(&config, &store, &args.dag, &run_id, args.wait).await
        }
    }
}

async fn trigger(
    config: &Config,
    store: &Store,
    dag_id: String,
    params: &[String],
    run_id: Option<String>,
    wait: bool,
) -> Result<ExitCode> {
    let now = store.clock().await?;
    let Some((version_id, dag)) = store.current_dag(&dag_id).await? else {
        bail!("there is no dag `{dag_id}`; `streamify dag list` names those there are");
    };
    let given = Value::Object(request::params(params)?);
    let params =
        model::params::check(&dag.params, &given).map_err(|wrong| anyhow::anyhow!(wrong.join("\n")))?;
    let run = store
        .trigger(
            NewRun {
                dag_id: dag_id.clone(),
                run_id: run_id.unwrap_or_else(|| {
                    format!("manual__{}", now.to_rfc3339_opts(chrono::SecondsFormat::Micros, false))
                }),
                version_id,
                run_type: RunType::Manual,
                window: model::schedule::window_at(&dag.window, &dag.schedule, now),
                logical_date: Some(now),
                run_after: now,
                params,
                requested_by: who(),
                note: None,
            },
            now,
        )
        .await?;
    let names =
        serde_json::json!({ "params": given.as_object().map(|given| given.keys().collect::<Vec<_>>()) });
    store.audit(&who(), "run.trigger", &format!("{dag_id}/{}", run.run_id), names, now).await?;
    started(config, store, &dag_id, &run.run_id, wait).await
}

/// Names the run, and waits for its end if that is wanted.
async fn started(config: &Config, store: &Store, dag_id: &str, run_id: &str, wait: bool) -> Result<ExitCode> {
    println!("{dag_id}/{run_id}");
    if !wait {
        return Ok(ExitCode::SUCCESS);
    }
    let state = wait_for_end(store, dag_id, run_id).await?;
    if config.json {
        output::json(&serde_json::json!({ "run_id": run_id, "state": state }))?;
    } else {
        println!("{state}");
    }
    Ok(output::status(state == RunState::Success))
}

async fn wait_for_end(store: &Store, dag: &str, run_id: &str) -> Result<RunState> {
    let mut bell = store.listen().await?;
    loop {
        let run = store.run(dag, run_id).await?.with_context(|| format!("{dag}/{run_id} is gone"))?;
        if run.state.is_final() {
            return Ok(run.state);
        }
        let _ = tokio::time::timeout(LOOK_EVERY, bell.next()).await;
    }
}

async fn list(config: &Config, store: &Store, dag_id: Option<String>, limit: i64) -> Result<ExitCode> {
    let (runs, total) = store.list_runs(&RunFilter { dag_id, limit, ..RunFilter::default() }).await?;
    if config.json {
        let rows: Vec<Value> = runs
            .iter()
            .map(|run| {
                serde_json::json!({
                    "dag_id": run.dag_id, "run_id": run.run_id, "state": run.state, "window": run.window,
                    "started_at": run.started_at, "ended_at": run.ended_at, "requested_by": run.requested_by,
                })
            })
            .collect();
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let shown = runs.len();
    let rows = runs.into_iter().map(|run| {
        let window = run
            .window
            .map(|window| format!("{} .. {}", window.start.format("%m-%d %R"), window.end.format("%R")));
        vec![
            run.dag_id,
            run.run_id,
            run.state.to_string(),
            window.unwrap_or_else(dash),
            request::took(run.started_at, run.ended_at),
        ]
    });
    println!("{}", output::table(&["dag", "run", "state", "window", "took"], rows));
    if (shown as i64) < total {
        println!("{shown} of {total}; --limit shows more");
    }
    Ok(ExitCode::SUCCESS)
}

async fn logs(
    store: &Store,
    dag: &str,
    run_id: &str,
    task: &str,
    map_index: i32,
    try_number: Option<i32>,
    follow: bool,
) -> Result<ExitCode> {
    let instance = store.instance(dag, run_id, task, map_index).await?;
    let instance =
        instance.with_context(|| format!("there is no {dag}/{run_id}/{task} (map index {map_index})"))?;
    let attempts = store.attempts_of(instance.run, instance.task, map_index, LINES_AT_ONCE).await?;
    let attempt = match try_number {
        Some(number) => attempts.into_iter().find(|attempt| attempt.try_number == number),
        None => attempts.into_iter().max_by_key(|attempt| attempt.id),
    };
    let attempt = attempt.with_context(|| format!("{dag}/{run_id}/{task} has no such try yet"))?.id;
    let mut bell = store.listen().await?;
    let mut seen = -1;
    loop {
        let is_live = store.attempt_is_live(attempt).await?.unwrap_or(false);
        let lines = store.read_logs(attempt, seen, LINES_AT_ONCE).await?;
        for line in &lines {
            println!("{} {}", line.at.format("%T%.3f"), line.line);
            seen = line.seq;
        }
        if lines.len() as i64 == LINES_AT_ONCE {
            continue;
        }
        if !follow || !is_live {
            return Ok(ExitCode::SUCCESS);
        }
        let rung = async { while !matches!(bell.next().await, Ring::Log(id) if id == attempt) {} };
        let _ = tokio::time::timeout(LOOK_EVERY, rung).await;
    }
}
