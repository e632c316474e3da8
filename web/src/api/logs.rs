//! `.../logs/{try_number}`: the lines of one try, as JSON with a token to go on, or as NDJSON in one stream.

use super::body::Query;
use super::{ApiError, instances};
use crate::app::Shared;
use crate::auth::Caller;
use crate::ui::rfc3339;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use store::logs::StoredLine;

/// Lines of one JSON answer.
const LINES: i64 = 5_000;

#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default = "plain")]
    map_index: i32,
    /// Where the last answer ended.
    token: Option<String>,
}

fn plain() -> i32 {
    -1
}

fn line(line: &StoredLine) -> Value {
    json!({ "timestamp": rfc3339(line.at), "event": line.line, "stream": line.stream })
}

pub async fn read(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag, run, task, try_number)): Path<(String, String, String, i32)>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let instance = instances::find(&app, &dag, &run, &task, wanted.map_index).await?;
    let attempts = app.store.attempts_of(instance.run, instance.task, instance.map_index, 10_000).await?;
    // The looks of a wait are attempts of one try, read one after the other.
    let ids: Vec<i64> = attempts.iter().filter(|a| a.try_number == try_number).map(|a| a.id).collect();
    if ids.is_empty() {
        return Err(ApiError::NotFound(format!("TaskInstance not found: `{task}` has no try {try_number}")));
    }
    let (at, after) = match &wanted.token {
        None => (0, -1),
        Some(token) => {
            read_token(token).ok_or_else(|| ApiError::Unprocessable("token is not one of ours".into()))?
        }
    };
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/x-ndjson") {
        return Ok(ndjson(app, ids, at, after));
    }
    let mut content = Vec::new();
    let (mut at, mut after) = (at, after);
    while let Some(&id) = ids.get(at) {
        let lines = app.store.read_logs(id, after, LINES - content.len() as i64).await?;
        after = lines.last().map_or(after, |last| last.seq);
        content.extend(lines.iter().map(line));
        let full = content.len() as i64 >= LINES;
        if full || at + 1 == ids.len() {
            break;
        }
        (at, after) = (at + 1, -1);
    }
    // There may be more: the answer is full, or the newest attempt still writes.
    let live = attempts.last().is_some_and(|last| last.is_live() && last.try_number == try_number);
    let token = (content.len() as i64 >= LINES || live).then(|| format!("{at}.{after}"));
    Ok(Json(json!({ "content": content, "continuation_token": token })).into_response())
}

/// Which attempt of the try, and the last line seen of it.
fn read_token(token: &str) -> Option<(usize, i32)> {
    let (at, after) = token.split_once('.')?;
    Some((at.parse().ok()?, after.parse().ok()?))
}

fn ndjson(app: Shared, ids: Vec<i64>, at: usize, after: i32) -> Response {
    let lines = stream::try_unfold((app, ids, at, after), |(app, ids, mut at, mut after)| async move {
        while let Some(&id) = ids.get(at) {
            let lines = app.store.read_logs(id, after, LINES).await?;
            if let Some(last) = lines.last() {
                let text: String = lines.iter().map(|one| format!("{}\n", line(one))).collect();
                after = last.seq;
                return Ok::<_, store::Error>(Some((text, (app, ids, at, after))));
            }
            (at, after) = (at + 1, -1);
        }
        Ok(None)
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}
