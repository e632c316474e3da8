//! `streamify run`: trigger, list, cancel; `run_show`, `run_logs`, `run_wait` and `run_again` have the rest.

use super::request::{self, dash, who};
use super::{run_again, run_logs, run_show, run_wait};
use crate::cli::RunCommand;
use crate::config::Config;
use crate::{node, output, retention};
use anyhow::{Result, bail};
use model::RunState;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use store::Store;
use store::audit::{By, because};
use store::runs::{NewRun, RunType};
use store::views::runs::RunFilter;

pub async fn run(mut config: Config, command: RunCommand) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    node::share_settings(&mut config, &store).await?;
    let store = retention::with_archive(&config, store);
    match command {
        RunCommand::Trigger { dag, params, run_id, wait, timeout, reason } => {
            let run_id = trigger(&store, &dag, &params, run_id, &reason).await?;
            started(&config, &store, &dag, &run_id, (wait, timeout)).await
        }
        RunCommand::List { dag, limit } => list(&config, &store, dag, limit).await,
        RunCommand::Logs { dag, run_id, task, try_number, map_index, follow } => {
            run_logs::logs(
                &store,
                (dag.as_str(), run_id.as_str(), task.as_str()),
                map_index,
                try_number,
                follow,
            )
            .await
        }
        RunCommand::Cancel { dag, run_id, reason } => {
            let who = who();
            let by = By { who: &who, reason: &reason };
            store.request_cancel(&dag, &run_id, by, store.clock().await?).await?;
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
            started(&config, &store, &args.dag, &run_id, (args.wait, args.timeout)).await
        }
    }
}

/// Returns the id of the run.
async fn trigger(
    store: &Store,
    dag_id: &str,
    params: &[String],
    run_id: Option<String>,
    reason: &str,
) -> Result<String> {
    let now = store.clock().await?;
    let Some((version_id, dag)) = store.current_dag(dag_id).await? else {
        bail!("there is no dag `{dag_id}`; `streamify dag list` names those there are");
    };
    let given = Value::Object(request::params(params)?);
    let params =
        model::params::check(&dag.params, &given).map_err(|wrong| anyhow::anyhow!(wrong.join("\n")))?;
    let run = store
        .trigger(
            NewRun {
                dag_id: dag_id.to_owned(),
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
    let subject = format!("{dag_id}/{}", run.run_id);
    store.audit(&who(), "run.trigger", &subject, because(names, reason), now).await?;
    Ok(run.run_id)
}

/// Names the run, and waits for its end if that is wanted.
async fn started(
    config: &Config,
    store: &Store,
    dag_id: &str,
    run_id: &str,
    (wait, timeout): (bool, Option<Duration>),
) -> Result<ExitCode> {
    println!("{dag_id}/{run_id}");
    if !wait {
        return Ok(ExitCode::SUCCESS);
    }
    let Some(state) = run_wait::until_end(store, dag_id, run_id, timeout).await? else {
        eprintln!("{dag_id}/{run_id} has not ended within the time that --timeout gives; it goes on");
        return Ok(ExitCode::from(run_wait::TIMED_OUT));
    };
    if config.json {
        output::json(&serde_json::json!({ "run_id": run_id, "state": state }))?;
    } else {
        println!("{state}");
    }
    Ok(output::status(state == RunState::Success))
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
