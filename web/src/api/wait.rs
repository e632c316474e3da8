//! `.../wait`: the state of a run as one line of JSON each time it is looked at, until it is final.

use super::body::Query;
use super::{ApiError, runs, shapes};
use crate::app::{App, Shared};
use crate::auth::Caller;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use store::views::instances::InstanceFilter;
use store::views::runs::RunRow;

/// Whoever waits longer asks again.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const SHORTEST_INTERVAL: f64 = 0.1;
/// Outputs that are told with the last line.
const RESULTS: i64 = 10_000;

#[derive(Deserialize)]
pub struct Wanted {
    /// Seconds between two looks.
    interval: f64,
}

enum Step {
    Look { begun: tokio::time::Instant, first: bool },
    Done,
}

pub async fn wait(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    runs::find(&app, &dag_id, &run_id).await?;
    if !wanted.interval.is_finite() || wanted.interval <= 0.0 {
        return Err(ApiError::Unprocessable("interval must be a positive number of seconds".into()));
    }
    let interval = Duration::from_secs_f64(wanted.interval.clamp(SHORTEST_INTERVAL, 3600.0));
    let results = super::paging::repeated(raw.as_deref(), "result");
    let begun = tokio::time::Instant::now();
    let lines = stream::unfold(Step::Look { begun, first: true }, move |step| {
        let (app, dag_id, run_id, results) = (app.clone(), dag_id.clone(), run_id.clone(), results.clone());
        async move {
            let Step::Look { begun, first } = step else { return None };
            if !first {
                tokio::time::sleep(interval).await;
            }
            let (line, over) = look(&app, &dag_id, &run_id, &results).await;
            let next = if over || begun.elapsed() > LONGEST {
                Step::Done
            } else {
                Step::Look { begun, first: false }
            };
            Some((Ok::<Bytes, Infallible>(line), next))
        }
    });
    let head =
        [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store, no-transform")];
    Ok((head, Body::from_stream(lines)).into_response())
}

/// The line, and whether it is the last: the run is final, or gone. A store that does not answer is looked at again.
async fn look(app: &App, dag_id: &str, run_id: &str, results: &[String]) -> (Bytes, bool) {
    let (line, over) = match app.store.run_row(dag_id, run_id).await {
        Ok(Some(run)) if run.state.is_final() => (last_line(app, &run, results).await, true),
        Ok(Some(run)) => (json!({ "state": shapes::run_state(run.state) }), false),
        Ok(None) => (json!({ "detail": "the run was removed" }), true),
        Err(error) => {
            tracing::warn!(%error, "a run that is waited for cannot be read now");
            (json!({ "state": null }), false)
        }
    };
    (Bytes::from(format!("{line}\n")), over)
}

/// With the outputs of the tasks asked for: one value for a plain task, a list for a mapped one.
async fn last_line(app: &App, run: &RunRow, results: &[String]) -> Value {
    let mut line = json!({ "state": shapes::run_state(run.state) });
    for task in results {
        let filter = InstanceFilter {
            dag_id: Some(run.dag_id.clone()),
            run_id: Some(run.run_id.clone()),
            task_id: Some(task.clone()),
            limit: RESULTS,
            ..InstanceFilter::default()
        };
        let Ok((rows, _)) = app.store.list_instances(&filter).await else { continue };
        let value = match rows.as_slice() {
            [one] if one.map_index < 0 => one.outputs.clone().unwrap_or(Value::Null),
            many => many.iter().map(|row| row.outputs.clone().unwrap_or(Value::Null)).collect(),
        };
        line["results"][task.as_str()] = value;
    }
    line
}
