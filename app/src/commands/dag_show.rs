//! `streamify dag show|pause|unpause`.

use super::request::{self, dash, time};
use crate::cli::PauseArgs;
use crate::config::Config;
use crate::{node, output};
use anyhow::{Context, Result};
use model::Dag;
use model::dag::Schedule;
use serde_json::{Value, json};
use std::process::ExitCode;
use store::audit::By;
use store::views::dags::{DagFilter, DagRow};

const RUNS: i64 = 5;

pub async fn show(config: &Config, dag_id: &str) -> Result<ExitCode> {
    let store = node::connect(config).await?;
    let filter = DagFilter {
        dag_id: Some(dag_id.to_owned()),
        include_absent: true,
        recent: RUNS,
        limit: 1,
        ..DagFilter::default()
    };
    let row = store.list_dags(&filter).await?.0.pop();
    let row = row
        .with_context(|| format!("there is no dag `{dag_id}`; `streamify dag list` names those there are"))?;
    if config.json {
        output::json(&as_json(&row))?;
    } else {
        print(&row);
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn pause(config: &Config, args: &PauseArgs, paused: bool) -> Result<ExitCode> {
    let store = node::connect(config).await?;
    let now = store.clock().await?;
    let who = request::who();
    store.set_paused(&args.dag, paused, By { who: &who, reason: &args.reason }, now).await?;
    println!("{} is {}", args.dag, if paused { "paused" } else { "active" });
    Ok(ExitCode::SUCCESS)
}

fn print(row: &DagRow) {
    let dag = &row.dag;
    let state = match (row.present, row.paused) {
        (false, _) => "its file is gone",
        (true, true) => "paused",
        (true, false) => "active",
    };
    println!("{}  {state}", row.dag_id);
    let params: Vec<String> =
        dag.params.iter().map(|(name, param)| format!("{name}: {}", param.r#type)).collect();
    let facts = [
        ("about", dag.description.clone()),
        ("file", row.file.clone()),
        ("version", format!("v{}, since {}", row.version, row.changed_at.format("%F %T UTC"))),
        ("schedule", schedule(dag)),
        ("last tick", time(row.last_tick)),
        ("at once", format!("{} runs, {} tasks of each", dag.max_active_runs, dag.max_active_tasks)),
        ("params", params.join(", ")),
        ("tags", dag.tags.join(", ")),
    ];
    for (name, fact) in facts.into_iter().filter(|(_, fact)| !fact.is_empty() && *fact != dash()) {
        println!("  {name:<10} {}", fact.trim());
    }
    println!();
    let rows = dag.tasks.iter().map(|task| {
        let needs: Vec<&str> = task.needs.iter().map(|need| dag.tasks[*need].id.as_str()).collect();
        let needs = if needs.is_empty() { dash() } else { needs.join(", ") };
        vec![task.id.clone(), task.uses.clone(), needs]
    });
    println!("{}", output::table(&["task", "uses", "needs"], rows));
    if !row.recent.is_empty() {
        println!();
        let rows = row.recent.iter().rev().map(|run| {
            vec![run.run_id.clone(), run.state.to_string(), time(run.started_at), time(run.ended_at)]
        });
        println!("{}", output::table(&["run", "state", "began", "ended"], rows));
    }
}

/// As the file says it.
fn schedule(dag: &Dag) -> String {
    match &dag.schedule {
        Schedule::Manual => "by hand".to_owned(),
        Schedule::Once => "once".to_owned(),
        Schedule::Continuous => "again when a run has ended".to_owned(),
        Schedule::Cron { expressions, timezone } => format!("{} ({timezone})", expressions.join(" and ")),
        Schedule::Every { every } => format!("every {} s", every.as_secs_f64()),
        Schedule::At { instants } => format!("at {} given instants", instants.len()),
        Schedule::Assets { assets, all } => {
            format!("when {} is written: {}", if *all { "each" } else { "any" }, assets.join(", "))
        }
    }
}

fn as_json(row: &DagRow) -> Value {
    let runs: Vec<Value> = row
        .recent
        .iter()
        .rev()
        .map(|run| json!({ "run_id": run.run_id, "state": run.state, "started_at": run.started_at, "ended_at": run.ended_at }))
        .collect();
    json!({
        "dag_id": row.dag_id, "present": row.present, "paused": row.paused, "file": row.file, "version": row.version,
        "changed_at": row.changed_at, "last_tick": row.last_tick, "dag": &*row.dag, "recent_runs": runs,
    })
}
