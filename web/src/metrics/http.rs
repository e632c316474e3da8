//! Requests that this server answered: how many, with which status, and how long they took. Counted by route, not by address, so that
//! there are as many series as there are routes.

use super::text::Exposition;
use crate::app::Shared;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Upper bounds in seconds.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Default)]
pub struct HttpFigures {
    routes: Mutex<BTreeMap<(String, String), Route>>,
}

#[derive(Default)]
struct Route {
    by_status: BTreeMap<u16, u64>,
    /// Requests within each bound, not cumulated.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

/// Streams (logs, waits) count when their head is sent.
pub async fn count(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_string();
    let method = named(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    app.http.record(method, route, response.status().as_u16(), begun.elapsed());
    response
}

/// A method of somebody's own invention makes no series of its own.
fn named(method: &Method) -> String {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    if known.contains(method) { method.to_string() } else { "other".into() }
}

impl HttpFigures {
    fn record(&self, method: String, route: String, status: u16, took: Duration) {
        let mut routes = self.routes.lock().expect("counting does not panic");
        let route = routes.entry((route, method)).or_default();
        let seconds = took.as_secs_f64();
        *route.by_status.entry(status).or_default() += 1;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            route.buckets[bucket] += 1;
        }
        route.count += 1;
        route.seconds += seconds;
    }

    pub fn write(&self, out: &mut Exposition) {
        let routes = self.routes.lock().expect("counting does not panic");
        let mut requests =
            out.counter("streamify_http_requests_total", "Requests answered, by route and status.");
        for ((route, method), figures) in &*routes {
            for (status, count) in &figures.by_status {
                let labels = [("route", route), ("method", method), ("status", &status.to_string())];
                requests.sample(&labels.map(|(name, text)| (name, text.as_str())), *count as f64);
            }
        }
        let mut latency =
            out.histogram("streamify_http_request_duration_seconds", "Time to answer, by route.");
        for ((route, method), figures) in &*routes {
            let labels = [("route", route.as_str()), ("method", method.as_str())];
            let mut within = 0;
            for (bound, count) in BUCKETS.iter().zip(figures.buckets) {
                within += count;
                let bound = bound.to_string();
                latency.sample_of("_bucket", &[labels[0], labels[1], ("le", &bound)], within as f64);
            }
            latency.sample_of("_bucket", &[labels[0], labels[1], ("le", "+Inf")], figures.count as f64);
            latency.sample_of("_sum", &labels, figures.seconds);
            latency.sample_of("_count", &labels, figures.count as f64);
        }
    }
}
