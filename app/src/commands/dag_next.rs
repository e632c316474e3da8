//! `streamify dag next`: when a dag fires next, in UTC and in its own time zone, and what its runs will be about.

use super::dag;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::{offline, output};
use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use model::dag::Schedule;
use model::schedule::{upcoming, without_ticks};
use model::{Clock, Dag, Window};
use std::process::ExitCode;

/// A mistyped count must not fill the screen for hours.
const COUNT_MAX: usize = 10_000;

pub fn run(config: &Config, dag_id: &str, count: usize, after: Option<DateTime<Utc>>) -> Result<ExitCode> {
    let dag = find(config, dag_id)?;
    let after = after.unwrap_or_else(|| SystemClock.now());
    let ticks = upcoming(&dag, after, count.min(COUNT_MAX));
    let note = note(&dag, ticks.is_empty() && count > 0);
    if config.json {
        let ticks: Vec<_> = ticks
            .iter()
            .map(|(tick, window)| serde_json::json!({ "tick": tick, "window": window }))
            .collect();
        let zone = dag.schedule.zone().name();
        output::json(
            &serde_json::json!({ "dag_id": dag.id, "timezone": zone, "ticks": ticks, "note": note }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(note) = note {
        println!("{dag_id} {note}");
    }
    if !ticks.is_empty() {
        println!("{}", table(&dag, &ticks));
    }
    Ok(ExitCode::SUCCESS)
}

fn find(config: &Config, dag_id: &str) -> Result<Dag> {
    let root = config.dags_dir();
    let registry = offline::registry(&root)?;
    for file in engine::dag_files(&root)? {
        if let Some(dag) = dag::read(&file, &root, &registry)?.ok().filter(|dag| dag.id == dag_id) {
            return Ok(dag);
        }
    }
    bail!("no valid dag `{dag_id}` in {}; `streamify dag validate` tells what is wrong", root.display())
}

fn note(dag: &Dag, is_empty: bool) -> Option<String> {
    match (&dag.schedule, dag.start) {
        (Schedule::Once, Some(start)) => {
            Some(format!("runs once, when it is first seen, but not before {}", start.format("%F %T UTC")))
        }
        (Schedule::Manual, _) => Some(format!("runs by hand only: streamify run trigger {}", dag.id)),
        (schedule, _) => {
            without_ticks(schedule).or_else(|| is_empty.then(|| "has no further ticks".to_owned()))
        }
    }
}

fn table(dag: &Dag, ticks: &[(DateTime<Utc>, Option<Window>)]) -> String {
    let zone = dag.schedule.zone();
    let local = zone.name() != "UTC";
    let rows = ticks.iter().map(|(tick, window)| {
        let window = window
            .map(|window| format!("{} .. {}", window.start.format("%F %R"), window.end.format("%F %R")));
        let mut row = vec![tick.format("%F %T UTC").to_string()];
        if local {
            row.push(tick.with_timezone(&zone).format("%a %F %R %Z").to_string());
        }
        row.push(window.unwrap_or_else(|| "-".to_string()));
        row
    });
    let header: &[&str] = if local { &["tick", "local", "window"] } else { &["tick", "window"] };
    output::table(header, rows)
}
