//! The pages: a file for each, with its template of the same name.

mod approvals;
mod audit;
mod backfill_form;
mod backfills;
mod checks;
mod dag_calendar;
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
mod lineage;
mod log;
mod login;
mod pager;
mod pools;
mod run;
mod run_actions;
mod run_rerun;
mod run_scope;
mod run_tasks;
mod run_told;
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
        .route("/dags/{dag}/calendar", get(dag_calendar::page))
        .route("/dags/{dag}/code", get(dag_code::page))
        .route("/dags/{dag}/trigger", get(dag_trigger::page).post(dag_trigger::submit))
        .route("/dags/{dag}/pause", post(dags::pause))
        .route("/dags/{dag}/runs/{run}", get(run::page))
        .route("/dags/{dag}/runs/{run}/cancel", post(run_actions::cancel))
        .route("/dags/{dag}/runs/{run}/clear", get(run_actions::clear_page).post(run_actions::clear))
        .route("/dags/{dag}/runs/{run}/mark", get(run_actions::mark_page).post(run_actions::mark))
        .route("/dags/{dag}/runs/{run}/state", post(run_actions::set_state))
        .route("/dags/{dag}/runs/{run}/rerun", get(run_rerun::page).post(run_rerun::submit))
        .route("/dags/{dag}/runs/{run}/tasks/{task}", get(task::page))
        .route("/dags/{dag}/runs/{run}/tasks/{task}/log/stream", get(log::stream))
        .route("/dags/{dag}/runs/{run}/tasks/{task}/log/raw", get(log::raw))
        .route("/services", get(services::page))
        .route("/checks", get(checks::page))
        .route("/dashboard", get(dashboard::page))
        .route("/approvals", get(approvals::page).post(approvals::decide))
        .route("/backfills", get(backfills::page).post(backfill_form::submit))
        .route("/backfills/new", get(backfill_form::page))
        .route("/backfills/{id}", get(backfills::one).post(backfills::change))
        .route("/pools", get(pools::page).post(pools::put))
        .route("/pools/delete", post(pools::delete))
        .route("/lineage", get(lineage::page))
        .route("/lineage/{asset}", get(lineage::one).post(lineage::tell))
        .route("/audit", get(audit::page))
        .route("/health", get(health::page))
        .route("/login", get(login::page).post(login::submit))
        .route("/logout", post(login::logout))
}

type Page = Result<Response, PageError>;

fn show(template: &impl Template) -> Page {
    use axum::response::IntoResponse;
    Ok(axum::response::Html(template.render()?).into_response())
}
