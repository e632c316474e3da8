//! `streamify run logs`: the lines of an attempt; of a mapped task, which items there are.

use super::request::took;
use crate::output;
use anyhow::{Context, Result, bail};
use std::process::ExitCode;
use std::time::Duration;
use store::Store;
use store::notify::Ring;
use store::views::instances::{InstanceFilter, InstanceRow};

/// A lost notification costs at most this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LINES_AT_ONCE: i64 = 1000;
/// Items of a mapped task that are named.
const ITEMS_SHOWN: i64 = 100;

pub async fn logs(
    store: &Store,
    of: (&str, &str, &str),
    map_index: Option<i32>,
    try_number: Option<i32>,
    follow: bool,
) -> Result<ExitCode> {
    let instance = find(store, of, map_index).await?;
    let attempts = store.attempts_of(instance.run, instance.task, instance.map_index, LINES_AT_ONCE).await?;
    let attempt = match try_number {
        Some(number) => attempts.into_iter().find(|attempt| attempt.try_number == number),
        None => attempts.into_iter().max_by_key(|attempt| attempt.id),
    };
    let (dag, run_id, task) = of;
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

/// The instance that is meant; of a mapped task without an index, only one that has no neighbours.
async fn find(
    store: &Store,
    (dag, run_id, task): (&str, &str, &str),
    map_index: Option<i32>,
) -> Result<InstanceRow> {
    let filter = InstanceFilter {
        dag_id: Some(dag.to_owned()),
        run_id: Some(run_id.to_owned()),
        task_id: Some(task.to_owned()),
        map_index,
        limit: ITEMS_SHOWN,
        ..InstanceFilter::default()
    };
    let (mut found, total) = store.list_instances(&filter).await?;
    match (found.len(), map_index) {
        (1, _) => Ok(found.remove(0)),
        (0, Some(index)) => bail!("there is no {dag}/{run_id}/{task} with the map index {index}"),
        (0, None) => {
            bail!("there is no {dag}/{run_id}/{task}; `streamify run show {dag} {run_id}` names its tasks")
        }
        _ => bail!("{}", items(&found, total)),
    }
}

fn items(found: &[InstanceRow], total: i64) -> String {
    let rows = found.iter().map(|item| {
        vec![
            item.map_index.to_string(),
            item.state.to_string(),
            item.try_number.to_string(),
            took(item.started_at, item.ended_at),
        ]
    });
    let table = output::table(&["map index", "state", "tries", "took"], rows);
    let more = if total > found.len() as i64 {
        format!("\nand {} more", total - found.len() as i64)
    } else {
        String::new()
    };
    format!("the task has {total} items; name one with --map-index\n{table}{more}")
}
