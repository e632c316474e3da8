//! `/metrics`, for Prometheus: this node's own counters, and what the database says of all nodes now. Whoever may look at pages may read it.

mod engine;
mod http;
mod store_figures;
mod text;

pub use http::{HttpFigures, count};

use crate::api::ApiError;
use crate::app::Shared;
use crate::auth::Caller;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use text::Exposition;

const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub async fn page(State(app): State<Shared>, _caller: Caller) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let mut out = Exposition::default();
    out.gauge("streamify_build_info", "The version of this node.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    engine::write(&mut out, &(app.stats)());
    store_figures::write(&mut out, &app.store.health(now).await?, &app.store.live_figures().await?, now);
    app.http.write(&mut out);
    Ok(([(header::CONTENT_TYPE, TYPE)], out.finish()).into_response())
}
