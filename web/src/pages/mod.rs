//! The pages: a file for each, with its template of the same name.

mod checks;
mod dag_code;
mod dag_graph;
mod dag_grid;
mod dag_head;
mod dag_runs;
mod dag_ticks;
mod dag_trigger;
mod dags;
mod dashboard;
mod figures;
mod health;
mod log;
mod login;
mod pager;
mod run;
mod services;
mod shell;
mod status;
mod task;
mod yaml;

pub(crate) use dag_head::next_tick;

use crate::app::Shared;
use crate::error::PageError;
use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};

pub fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(dags::page))
        .route("/dags", get(dags::to_root))
        .route("/dags/{dag}", get(dag_grid::page))
        .route("/dags/{dag}/graph", get(dag_graph::page))
        .route("/dags/{dag}/runs", get(dag_runs::page))
        .route("/dags/{dag}/ticks", get(dag_ticks::page))
        .route("/dags/{dag}/code", get(dag_code::page))
        .route("/dags/{dag}/trigger", get(dag_trigger::page).post(dag_trigger::submit))
        .route("/dags/{dag}/pause", post(dags::pause))
        .route("/dags/{dag}/runs/{run}", get(run::page))
        .route("/dags/{dag}/runs/{run}/cancel", post(run::cancel))
        .route("/dags/{dag}/runs/{run}/clear", post(run::clear))
        .route("/dags/{dag}/runs/{run}/tasks/{task}", get(task::page))
        .route("/dags/{dag}/runs/{run}/tasks/{task}/log/stream", get(log::stream))
        .route("/dags/{dag}/runs/{run}/tasks/{task}/log/raw", get(log::raw))
        .route("/services", get(services::page))
        .route("/checks", get(checks::page))
        .route("/dashboard", get(dashboard::page))
        .route("/health", get(health::page))
        .route("/login", get(login::page).post(login::submit))
        .route("/logout", post(login::logout))
}

type Page = Result<Response, PageError>;

fn show(template: &impl Template) -> Page {
    use axum::response::IntoResponse;
    Ok(axum::response::Html(template.render()?).into_response())
}
