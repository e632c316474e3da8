//! `streamify backfill`: the plan first, then the runs.

use super::request::{self, dash, time, window};
use crate::cli::{BackfillArgs, BackfillCommand};
use crate::config::Config;
use crate::{node, output};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::process::ExitCode;
use store::Store;
use store::backfills::{Action, BackfillRequest, PlannedTick};
use store::views::backfills::{BackfillFilter, BackfillRow};
use store::views::runs::RunFilter;

/// Ticks that a plan shows people; JSON has all.
const TICKS_SHOWN: usize = 100;

pub async fn run(config: Config, command: BackfillCommand) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    let now = store.clock().await?;
    match command {
        BackfillCommand::Plan(args) => {
            let plan = store.plan_backfill(&wanted(args)?, now).await?;
            print_plan(&config, None, &plan)?;
        }
        BackfillCommand::Create(args) => {
            let (id, plan) = store.create_backfill(&wanted(args)?, &request::who(), now).await?;
            print_plan(&config, Some(id), &plan)?;
        }
        BackfillCommand::List { dag, open, limit } => list(&config, &store, dag, open, limit).await?,
        BackfillCommand::Show { id, limit } => show(&config, &store, id, limit).await?,
        BackfillCommand::Pause(of) => {
            store.pause_backfill(of.id, true, &request::who(), &of.reason, now).await?;
            println!("backfill {} starts no further run", of.id);
        }
        BackfillCommand::Unpause(of) => {
            store.pause_backfill(of.id, false, &request::who(), &of.reason, now).await?;
            println!("backfill {} goes on", of.id);
        }
        BackfillCommand::Cancel(of) => {
            let runs = store.cancel_backfill(of.id, &request::who(), &of.reason, now).await?;
            println!("backfill {} is cancelled, and with it {runs} runs that were open", of.id);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(args: BackfillArgs) -> Result<BackfillRequest> {
    Ok(BackfillRequest {
        dag_id: args.dag,
        from: args.from,
        to: args.to,
        reprocess: args.reprocess,
        run_backwards: args.backwards,
        max_active_runs: args.max_active_runs,
        params: request::edits(&args.params)?.unwrap_or(Value::Null),
        reason: args.reason,
    })
}

fn print_plan(config: &Config, id: Option<i64>, plan: &[PlannedTick]) -> Result<()> {
    let count = |action| plan.iter().filter(|tick| tick.action == action).count();
    let counts = [Action::Create, Action::Rerun, Action::Skip].map(count);
    if config.json {
        return output::json(&json!({
            "id": id, "create": counts[0], "rerun": counts[1], "skip": counts[2], "ticks": plan,
        }));
    }
    let rows = plan.iter().take(TICKS_SHOWN).map(|tick| {
        vec![
            format!("{} UTC", tick.tick.format("%F %T")),
            window(tick.window),
            tick.action.as_str().to_owned(),
            tick.run_id.clone().unwrap_or_else(dash),
            tick.reason.clone(),
        ]
    });
    println!("{}", output::table(&["tick", "window", "action", "run", "why"], rows));
    if plan.len() > TICKS_SHOWN {
        println!("{TICKS_SHOWN} of {} ticks; --json has all", plan.len());
    }
    let [create, rerun, skip] = counts;
    match id {
        None => println!("{create} to create, {rerun} to run again, {skip} to skip; nothing was changed"),
        Some(id) => println!("backfill {id}: {create} created, {rerun} run again, {skip} skipped"),
    }
    Ok(())
}

fn row(backfill: &BackfillRow) -> Vec<String> {
    let done = backfill.success + backfill.failed + backfill.cancelled;
    vec![
        backfill.id.to_string(),
        backfill.dag_id.clone(),
        backfill.state.clone(),
        format!("{} .. {}", backfill.from_at.format("%F %R"), backfill.to_at.format("%F %R")),
        format!("{done}/{}", done + backfill.queued + backfill.running),
        backfill.failed.to_string(),
        backfill.runs_taken.to_string(),
        backfill.requested_by.clone(),
        if backfill.reason.is_empty() { dash() } else { backfill.reason.clone() },
    ]
}

const HEADER: [&str; 9] = ["id", "dag", "state", "ticks", "done", "failed", "taken over", "by", "reason"];

async fn list(config: &Config, store: &Store, dag_id: Option<String>, open: bool, limit: i64) -> Result<()> {
    let filter = BackfillFilter { dag_id, open, limit, ..BackfillFilter::default() };
    let (rows, total) = store.list_backfills(&filter).await?;
    if config.json {
        return output::json(&rows);
    }
    println!("{}", output::table(&HEADER, rows.iter().map(row)));
    if (rows.len() as i64) < total {
        println!("{} of {total}; --limit shows more", rows.len());
    }
    Ok(())
}

async fn show(config: &Config, store: &Store, id: i64, limit: i64) -> Result<()> {
    let backfill = store.backfill(id).await?.with_context(|| format!("there is no backfill {id}"))?;
    let filter = RunFilter { backfill: Some(id), ascending: true, limit, ..RunFilter::default() };
    let (runs, total) = store.list_runs(&filter).await?;
    if config.json {
        let runs: Vec<Value> = runs
            .iter()
            .map(|run| json!({ "run_id": run.run_id, "state": run.state, "logical_date": run.logical_date, "window": run.window }))
            .collect();
        return output::json(&json!({ "backfill": backfill, "runs": runs }));
    }
    println!("{}", output::table(&HEADER, [row(&backfill)]));
    let about = [
        format!("reprocess {}", backfill.reprocess),
        format!("at most {} runs at once", backfill.max_active_runs),
        if backfill.run_backwards { "newest first".to_owned() } else { "oldest first".to_owned() },
        format!("params {}", backfill.params),
    ];
    println!("{}\n", about.join(", "));
    let shown = runs.len() as i64;
    let rows = runs.into_iter().map(|run| {
        vec![
            run.run_id,
            run.state.to_string(),
            time(Some(run.run_after)),
            time(run.started_at),
            time(run.ended_at),
        ]
    });
    println!("{}", output::table(&["run", "state", "tick", "began", "ended"], rows));
    if shown < total {
        println!("{shown} of {total}; --limit shows more");
    }
    Ok(())
}
