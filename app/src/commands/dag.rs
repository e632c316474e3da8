//! `streamify dag`: what is known, what is wrong, what comes next.

use crate::cli::DagCommand;
use crate::config::Config;
use crate::{node, offline, output};
use anyhow::{Context, Result};
use model::{Dag, Problem, Registry};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::views::dags::{DagFilter, DagRow};

const DAGS_MAX: i64 = 10_000;

pub async fn run(config: Config, command: DagCommand) -> Result<ExitCode> {
    match command {
        DagCommand::List => list(&config).await,
        DagCommand::Show { dag } => super::dag_show::show(&config, &dag).await,
        DagCommand::Pause(args) => super::dag_show::pause(&config, &args, true).await,
        DagCommand::Unpause(args) => super::dag_show::pause(&config, &args, false).await,
        DagCommand::Validate { paths } => validate(&config, paths),
        DagCommand::Next { dag, count, after } => super::dag_next::run(&config, &dag, count, after),
        DagCommand::Test { paths } => super::dag_test::run(&config, paths),
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
    let (registry, mut problems) = offline::checked(&root)?;
    let paths = if paths.is_empty() { vec![root.clone()] } else { paths };
    let mut files = Vec::new();
    for path in &paths {
        if path.is_dir() {
            files.extend(engine::dag_files(path)?);
        } else {
            files.push(path.clone());
        }
    }
    // Custom kinds are checked already, whatever is asked for.
    files.retain(|file| file.parent() != Some(&root.join("kinds")));
    let wrong_kinds: std::collections::BTreeSet<&str> =
        problems.iter().map(|problem| problem.file.as_str()).collect();
    let wrong_kinds = wrong_kinds.len();
    let mut found = 0;
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
        println!(
            "{found} fine, {} with problems, {} problems in all",
            files.len() - found + wrong_kinds,
            problems.len()
        );
    }
    Ok(output::status(problems.is_empty()))
}

async fn ticks(config: &Config, dag: &str, count: i64) -> Result<ExitCode> {
    let store = node::connect(config).await?;
    let ticks = store.ticks(dag, None, count).await?;
    if config.json {
        let rows: Vec<_> = ticks
            .iter()
            .map(|tick| {
                serde_json::json!({
                    "tick": tick.tick_at, "first": tick.first_at, "ticks": tick.ticks, "decision": tick.decision, "run_id": tick.run_id, "run_state": tick.run_state,
                    "reason": tick.reason,
                })
            })
            .collect();
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = ticks.into_iter().map(|tick| {
        let came = tick.run_state.or(tick.reason).unwrap_or_else(|| "-".to_string());
        let last = tick.tick_at.format("%F %T UTC").to_string();
        let (at, decision) = match tick.first_at {
            Some(first) => (
                format!("{} .. {last}", first.format("%F %T")),
                format!("{} {} ticks", tick.decision, tick.ticks),
            ),
            None => (last, tick.decision),
        };
        vec![at, decision, came]
    });
    println!("{}", output::table(&["tick", "decision", "came of it"], rows));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn read(file: &Path, root: &Path, registry: &Registry) -> Result<Result<Dag, Vec<Problem>>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let folder = file.parent().unwrap_or(root);
    Ok(model::spec::read(&file.display().to_string(), &bytes, folder, registry))
}
