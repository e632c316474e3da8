//! `up --once`: wait for the runs of a bounded history, then compare.

use super::{Sources, compare, print};
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use model::RunState;
use std::time::Duration;
use store::Store;
use store::views::runs::{RunFilter, RunRow};
use tokio_util::sync::CancellationToken;

const LOOK_EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const RUNS_MAX: i64 = 1000;

/// Whether every scheduled run succeeded and every figure agrees.
pub async fn once(sources: &Sources<'_>, stop: &CancellationToken) -> Result<bool> {
    let failed = wait_for_runs(sources.store, stop).await?;
    for run in &failed {
        eprintln!("{}/{} ended as {}; `streamify run logs` tells why", run.dag_id, run.run_id, run.state);
    }
    let lines = compare(sources).await?;
    Ok(print(&lines, true) && failed.is_empty())
}

/// Ends when each run of a windowed dag has, or one has failed; returns those that did not succeed.
async fn wait_for_runs(store: &Store, stop: &CancellationToken) -> Result<Vec<RunRow>> {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} runs  {elapsed}") {
        bar.set_style(style);
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (runs, _) = store.list_runs(&RunFilter { limit: RUNS_MAX, ..RunFilter::default() }).await?;
        let failed = runs.iter().filter(|run| run.state.is_final() && run.state != RunState::Success);
        let failed: Vec<RunRow> = failed.cloned().collect();
        // Runs without a window bring the services and the catalogue: they need not end, but must not fail.
        let windowed: Vec<&RunRow> = runs.iter().filter(|run| run.window.is_some()).collect();
        let ended = windowed.iter().filter(|run| run.state.is_final()).count();
        bar.set_length(windowed.len().max(1) as u64);
        bar.set_position(ended as u64);
        if !failed.is_empty() || (!windowed.is_empty() && ended == windowed.len()) {
            bar.finish();
            return Ok(failed);
        }
        if tokio::time::Instant::now() > deadline {
            bail!("{ended} of {} runs ended within {} minutes", windowed.len(), PATIENCE.as_secs() / 60);
        }
        tokio::select! {
            () = stop.cancelled() => bail!("stopped before the runs had ended"),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
