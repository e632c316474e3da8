//! The YAML of a dag, in any version.

use super::dag_head::{self, DagHead};
use super::shell::Shell;
use super::{Page, show, yaml};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::error::PageError;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "dag_code.html")]
struct CodePage {
    shell: Shell,
    head: DagHead,
    versions: Vec<VersionOption>,
    source: Html,
}

struct VersionOption {
    version: i32,
    label: String,
    selected: bool,
}

#[derive(Deserialize)]
pub struct Asked {
    version: Option<i32>,
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let row = dag_head::find(&app, &dag).await?;
    let wanted = asked.version.unwrap_or(row.version);
    let source = app.store.dag_source(&dag, wanted).await?;
    let source =
        source.ok_or_else(|| PageError::NotFound(format!("The dag '{dag}' has no version {wanted}.")))?;
    let versions = app.store.dag_versions(&dag, 200).await?;
    let shell =
        Shell::new(&app, viewer, "dags", format!("{dag} code"), format!("{}/code", ui::dag_url(&dag)));
    let option = |v: store::views::versions::VersionRow| VersionOption {
        version: v.version,
        label: format!("{} · {} UTC", v.version, v.created_at.format("%Y-%m-%d %H:%M")),
        selected: v.version == wanted,
    };
    show(&CodePage {
        head: DagHead::new(&app, &shell, &row, "code"),
        versions: versions.into_iter().map(option).collect(),
        source: yaml::highlight(&source),
        shell,
    })
}
