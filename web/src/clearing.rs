//! Clearing as it is asked for by people and programs: in one run, or also in the runs before and after it.

use crate::app::App;
use chrono::{DateTime, Utc};
use store::clear::{ClearRequest, Cleared};
use store::views::runs::{RunFilter, RunOrder, RunRow};
use store::{Error, Result};

/// Runs that one request may touch.
pub const RUNS_MAX: i64 = 1_000;

/// Which runs of a dag are meant.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    /// By their logical dates.
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
}

/// What was cleared in one run, or would be.
pub struct InRun {
    pub run: RunRow,
    pub cleared: Cleared,
}

/// The run, and all earlier or later ones of its dag if they are meant; oldest first.
pub async fn around(app: &App, run: &RunRow, past: bool, future: bool) -> Result<Vec<RunRow>> {
    if !past && !future {
        return Ok(vec![run.clone()]);
    }
    let filter = RunFilter {
        dag_id: Some(run.dag_id.clone()),
        run_after_from: (!past).then_some(run.run_after),
        run_after_to: (!future).then_some(run.run_after),
        ..RunFilter::default()
    };
    let mut runs = listed(app, filter).await?;
    runs.retain(|other| other.id == run.id || other.run_after != run.run_after);
    Ok(runs)
}

/// The runs with a logical date in the range.
pub async fn between(app: &App, dag_id: &str, runs: &Runs) -> Result<Vec<RunRow>> {
    let filter = RunFilter {
        dag_id: Some(dag_id.into()),
        logical_date_from: runs.from,
        logical_date_to: runs.to,
        ..RunFilter::default()
    };
    listed(app, filter).await
}

async fn listed(app: &App, filter: RunFilter) -> Result<Vec<RunRow>> {
    let filter =
        RunFilter { order: RunOrder::RunAfter, ascending: true, limit: RUNS_MAX, offset: 0, ..filter };
    let (runs, total) = app.store.list_runs(&filter).await?;
    if total > RUNS_MAX {
        let message =
            format!("{total} runs would be touched, and {RUNS_MAX} is the limit: take fewer at a time");
        return Err(Error::Refused { message });
    }
    Ok(runs)
}

/// Clears in each run. One run is one transaction; what cannot be cleared in a run that was not named itself (another version lacks the
/// task, it is being cancelled) is passed over.
pub async fn clear(
    app: &App,
    runs: Vec<RunRow>,
    request: &ClearRequest,
    named: Option<i64>,
    who: &str,
) -> Result<Vec<InRun>> {
    let now = app.clock.now();
    let mut done = Vec::new();
    for run in runs {
        match app.store.clear(&run.dag_id, &run.run_id, request, who, now).await {
            Ok(cleared) => done.push(InRun { run, cleared }),
            Err(Error::Refused { .. }) if named.is_some_and(|id| id != run.id) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
