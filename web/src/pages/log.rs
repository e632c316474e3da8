//! The log of one attempt as it grows (server-sent events), and as a file.

use super::task;
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::{ansi, ui};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use store::logs::StoredLine;
use store::notify::Ring;
use tokio::sync::broadcast;

/// Lines of one message.
const BATCH: i64 = 500;
/// The net under the bell: how long a line may stay unseen when a ring is lost.
const NET: Duration = Duration::from_secs(2);

pub fn stream_href(base: &str, query: &str, after: i32) -> String {
    format!("{base}/stream?{query}&after={after}")
}

/// One line as a list item, safe whatever the program wrote.
pub fn line_html(line: &StoredLine) -> String {
    let class = match line.stream.as_str() {
        "stderr" => "stderr",
        "system" => "system",
        _ => "stdout",
    };
    format!(
        r#"<li class="{class}"><span class="n">{}</span><span class="at">{}</span><span class="t">{}</span></li>"#,
        line.seq + 1,
        ui::clock(line.at),
        ansi::to_html(&line.line)
    )
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default = "plain")]
    map_index: i32,
    /// Without it, the newest attempt.
    attempt: Option<i64>,
    after: Option<i32>,
}

fn plain() -> i32 {
    -1
}

/// The attempt asked for, if it belongs to this instance.
async fn attempt_id(
    app: &App,
    (dag, run, task): &(String, String, String),
    asked: &Asked,
) -> Result<i64, PageError> {
    let instance = task::find(app, dag, run, task, asked.map_index).await?;
    let known = app.store.attempts_of(instance.run, instance.task, instance.map_index, 1_000).await?;
    let found = match asked.attempt {
        Some(wanted) => known.iter().find(|attempt| attempt.id == wanted),
        None => known.last(),
    };
    found
        .map(|attempt| attempt.id)
        .ok_or_else(|| PageError::NotFound(format!("The task '{task}' has no such attempt.")))
}

struct Follow {
    app: Shared,
    attempt: i64,
    after: i32,
    rings: broadcast::Receiver<Ring>,
    ready: VecDeque<Event>,
    ended: bool,
}

/// New lines as they come. After the end of the attempt and its last line: one `end`, and the stream closes.
pub async fn stream(
    State(app): State<Shared>,
    _viewer: Viewer,
    Path(path): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, PageError> {
    let attempt = attempt_id(&app, &path, &asked).await?;
    // A browser that reconnects says where it was.
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = resumed.or(asked.after).unwrap_or(-1);
    let rings = app.bells.subscribe().await;
    let follow = Follow { app, attempt, after, rings, ready: VecDeque::new(), ended: false };
    Ok(Sse::new(stream::unfold(follow, next_event)).keep_alive(KeepAlive::default()))
}

async fn next_event(mut follow: Follow) -> Option<(Result<Event, Infallible>, Follow)> {
    loop {
        if let Some(event) = follow.ready.pop_front() {
            return Some((Ok(event), follow));
        }
        if follow.ended {
            return None;
        }
        if let Err(error) = look(&mut follow).await {
            tracing::warn!(%error, attempt.id = follow.attempt, "a log cannot be followed");
            return None;
        }
        if follow.ready.is_empty() {
            wait(&mut follow.rings, follow.attempt).await;
        }
    }
}

/// Reads what is new. Whether the attempt lives is asked first: lines written before its end are then surely seen.
async fn look(follow: &mut Follow) -> Result<(), store::Error> {
    let live = follow.app.store.attempt_is_live(follow.attempt).await?;
    let lines = follow.app.store.read_logs(follow.attempt, follow.after, BATCH).await?;
    if let Some(last) = lines.last() {
        follow.after = last.seq;
        let html: String = lines.iter().map(line_html).collect();
        let data = serde_json::Value::String(html).to_string();
        follow.ready.push_back(Event::default().event("lines").id(last.seq.to_string()).data(data));
    }
    if live != Some(true) && (lines.len() as i64) < BATCH {
        follow.ready.push_back(Event::default().event("end").data("no more lines"));
        follow.ended = true;
    }
    Ok(())
}

async fn wait(rings: &mut broadcast::Receiver<Ring>, attempt: i64) {
    let rung = async {
        loop {
            match rings.recv().await {
                Ok(Ring::Log(id)) if id == attempt => return,
                Ok(Ring::Log(_)) => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let _ = tokio::time::timeout(NET, rung).await;
}

/// The whole log as text, read in batches.
pub async fn raw(
    State(app): State<Shared>,
    _viewer: Viewer,
    Path(path): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let attempt = attempt_id(&app, &path, &asked).await?;
    let body = stream::try_unfold((app, -1), move |(app, after)| async move {
        let lines = app.store.read_logs(attempt, after, 5_000).await?;
        let Some(last) = lines.last().map(|line| line.seq) else { return Ok::<_, store::Error>(None) };
        let text: String = lines
            .iter()
            .map(|line| format!("{} {} {}\n", ui::rfc3339(line.at), line.stream, line.line))
            .collect();
        Ok(Some((text, (app, last))))
    });
    let name = format!("attachment; filename=\"attempt-{attempt}.log\"");
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}
