//! `streamify dag`: what is known, what is wrong, what comes next.

use crate::cli::DagCommand;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::{node, offline, output};
use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use model::{Clock, Dag, Problem, Registry};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::views::dags::{DagFilter, DagRow};

const DAGS_MAX: i64 = 10_000;

pub async fn run(config: Config, command: DagCommand) -> Result<ExitCode> {
    match command {
        DagCommand::List => list(&config).await,
        DagCommand::Validate { paths } => validate(&config, paths),
        DagCommand::Next { dag, count } => next(&config, &dag, count),
        DagCommand::Ticks { dag, count } => ticks(&config, &dag, count).await,
        DagCommand::Schema => {
            let schema = model::spec::json_schema(&offline::registry(&config.dags_dir())?);
            println!("{}", serde_json::to_string_pretty(&schema)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(config: &Config) -> Result<ExitCode> {
    let store = node::connect(config).await?;
    let filter = DagFilter { recent: 1, limit: DAGS_MAX, ..DagFilter::default() };
    let (dags, total) = store.list_dags(&filter).await?;
    let last = |dag: &DagRow| dag.recent.first().map(|run| run.state);
    if config.json {
        let rows: Vec<_> = dags
            .iter()
            .map(|dag| {
                serde_json::json!({
                    "dag_id": dag.dag_id, "paused": dag.paused, "version": dag.version, "last_run": last(dag), "file": dag.file,
                })
            })
            .collect();
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let shown = dags.len();
    let rows = dags.into_iter().map(|dag| {
        let state = last(&dag).map_or_else(|| "-".to_string(), |state| state.to_string());
        let paused = if dag.paused { "paused" } else { "active" };
        vec![dag.dag_id, paused.to_string(), format!("v{}", dag.version), state, dag.file]
    });
    println!("{}", output::table(&["dag", "", "version", "last run", "file"], rows));
    if (shown as i64) < total {
        println!("{shown} of {total}");
    }
    Ok(ExitCode::SUCCESS)
}

fn validate(config: &Config, paths: Vec<PathBuf>) -> Result<ExitCode> {
    let root = config.dags_dir();
    let registry = offline::registry(&root)?;
    let paths = if paths.is_empty() { vec![root.clone()] } else { paths };
    let mut files = Vec::new();
    for path in &paths {
        if path.is_dir() {
            files.extend(engine::dag_files(path)?);
        } else {
            files.push(path.clone());
        }
    }
    let (mut found, mut problems) = (0, Vec::new());
    for file in &files {
        match read(file, &root, &registry)? {
            Ok(_) => found += 1,
            Err(wrong) => problems.extend(wrong),
        }
    }
    if config.json {
        output::json(&problems)?;
    } else {
        for problem in &problems {
            println!("{problem}");
        }
        println!("{found} fine, {} with problems, {} problems in all", files.len() - found, problems.len());
    }
    Ok(output::status(problems.is_empty()))
}

fn next(config: &Config, dag_id: &str, count: usize) -> Result<ExitCode> {
    let root = config.dags_dir();
    let registry = offline::registry(&root)?;
    let mut dag = None;
    for file in engine::dag_files(&root)? {
        dag = read(&file, &root, &registry)?.ok().filter(|dag| dag.id == dag_id).or(dag);
    }
    let Some(dag) = dag else {
        bail!("no valid dag `{dag_id}` in {}; `streamify dag validate` tells what is wrong", root.display())
    };
    let now = SystemClock.now();
    const FAR: i64 = 366 * 20;
    let ticks = dag.schedule.ticks(now, now + TimeDelta::days(FAR), count);
    if ticks.is_empty() {
        println!("{dag_id} has no further ticks: it runs by hand, or once");
    }
    let rows = ticks.into_iter().map(|tick| {
        let window = model::schedule::window_at(&dag.window, &dag.schedule, tick);
        let window = window
            .map(|window| format!("{} .. {}", window.start.format("%F %R"), window.end.format("%F %R")));
        vec![tick.format("%F %T UTC").to_string(), window.unwrap_or_else(|| "-".to_string())]
    });
    println!("{}", output::table(&["tick", "window"], rows));
    Ok(ExitCode::SUCCESS)
}

async fn ticks(config: &Config, dag: &str, count: i64) -> Result<ExitCode> {
    let store = node::connect(config).await?;
    let ticks = store.ticks(dag, None, count).await?;
    if config.json {
        let rows: Vec<_> = ticks
            .iter()
            .map(|tick| {
                serde_json::json!({
                    "tick": tick.tick_at, "decision": tick.decision, "run_id": tick.run_id, "run_state": tick.run_state,
                    "reason": tick.reason,
                })
            })
            .collect();
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = ticks.into_iter().map(|tick| {
        let came = tick.run_state.or(tick.reason).unwrap_or_else(|| "-".to_string());
        vec![tick.tick_at.format("%F %T UTC").to_string(), tick.decision, came]
    });
    println!("{}", output::table(&["tick", "decision", "came of it"], rows));
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path, root: &Path, registry: &Registry) -> Result<Result<Dag, Vec<Problem>>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let folder = file.parent().unwrap_or(root);
    Ok(model::spec::read(&file.display().to_string(), &bytes, folder, registry))
}
