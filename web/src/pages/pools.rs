//! Pools: how many slots each has, and what takes or waits for them.

use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::error::PageError;
use crate::svg::share;
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use store::auth::Role;
use store::views::pools::PoolRow;

#[derive(Template)]
#[template(path = "pools.html")]
struct PoolsPage {
    shell: Shell,
    may_edit: bool,
    rows: Vec<PoolLine>,
}

struct PoolLine {
    name: String,
    key: String,
    /// `None`: tasks name it, and it does not exist.
    slots: Option<i32>,
    description: String,
    used: i64,
    queued: i64,
    share: Html,
    changed: Html,
}

pub async fn page(State(app): State<Shared>, viewer: Viewer) -> Page {
    let now = app.clock.now();
    let rows = app.store.list_pools().await?;
    show(&PoolsPage {
        may_edit: viewer.may(Role::Admin),
        shell: Shell::new(&app, viewer, "pools", "Pools", "/pools"),
        rows: rows.into_iter().map(|row| line(row, now)).collect(),
    })
}

fn line(row: PoolRow, now: DateTime<Utc>) -> PoolLine {
    let free = (i64::from(row.slots.unwrap_or(0)) - row.running).max(0);
    PoolLine {
        key: row.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect(),
        slots: row.slots,
        description: row.description,
        used: row.running,
        queued: row.queued,
        share: share::bar(&[("running", row.running), ("none", free)]),
        changed: row.changed_at.map_or_else(ui::dash, |at| ui::ago(at, now)),
        name: row.name,
    }
}

#[derive(Deserialize)]
pub struct Change {
    csrf: String,
    name: String,
    slots: u32,
    #[serde(default)]
    description: String,
    #[serde(default)]
    reason: String,
}

pub async fn put(
    State(app): State<Shared>,
    viewer: Viewer,
    Form(change): Form<Change>,
) -> Result<Redirect, PageError> {
    viewer.check_admin(&change.csrf)?;
    app.store
        .put_pool(
            change.name.trim(),
            change.slots,
            change.description.trim(),
            &viewer.name,
            change.reason.trim(),
            app.clock.now(),
        )
        .await?;
    Ok(Redirect::to("/pools"))
}

#[derive(Deserialize)]
pub struct Delete {
    csrf: String,
    name: String,
}

pub async fn delete(
    State(app): State<Shared>,
    viewer: Viewer,
    Form(form): Form<Delete>,
) -> Result<Redirect, PageError> {
    viewer.check_admin(&form.csrf)?;
    app.store.delete_pool(&form.name, &viewer.name, "", app.clock.now()).await?;
    Ok(Redirect::to("/pools"))
}
