//! The form of a new backfill: first what each tick of the range would become and why, then the order to do it.

use super::dag_head;
use super::dag_trigger::{self, Field, Typed};
use super::shell::Shell;
use super::show;
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use model::dag::Param;
use serde_json::{Map, Value};
use store::backfills::{Action, BackfillRequest, PlannedTick};

/// Ticks that a preview lists; all are counted.
const LISTED: usize = 500;

#[derive(Template)]
#[template(path = "backfill_form.html")]
struct FormPage {
    shell: Shell,
    dag: String,
    dag_href: String,
    schedule: String,
    may_write: bool,
    typed: Typed,
    fields: Vec<Field>,
    hidden: Vec<(String, String)>,
    problem: Option<String>,
    plan: Option<Plan>,
}

impl FormPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.get(name).map_or("", String::as_str)
    }
}

struct Plan {
    counts: Vec<(Html, usize)>,
    meant: String,
    is_empty: bool,
    lines: Vec<PlanLine>,
    more: usize,
}

struct PlanLine {
    tick: Html,
    action: Html,
    run: Option<(String, String)>,
    reason: String,
}

/// Shows the plan as soon as a range is given.
pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Query(typed): Query<Typed>,
) -> Result<Response, PageError> {
    form(&app, viewer, typed, None).await
}

async fn form(
    app: &App,
    viewer: Viewer,
    mut typed: Typed,
    refused: Option<String>,
) -> Result<Response, PageError> {
    let dag_id = typed.get("dag").cloned().unwrap_or_default();
    let row = dag_head::find(app, &dag_id).await?;
    let path = format!("/backfills/new?dag={}", ui::enc(&dag_id));
    let shell = Shell::new(app, viewer, "backfills", format!("Backfill {dag_id}"), path);
    let (mut plan, mut problem) = (None, refused);
    if typed.contains_key("from") && problem.is_none() {
        match planned(app, &row.dag, &typed).await {
            Ok(ticks) => plan = Some(shown(&dag_id, &ticks)),
            Err(message) => problem = Some(message),
        }
    }
    let hidden = typed.iter().filter(|(name, _)| *name != "csrf" && *name != "reason");
    let hidden = hidden.map(|(name, value)| (name.clone(), value.clone())).collect();
    typed.entry("max_active_runs".into()).or_insert_with(|| "3".into());
    // An empty field leaves a param as the run had it, or as the dag says.
    let fields =
        row.dag.params.iter().filter(|(_, param)| param.r#type != "boolean" || !param.allowed.is_empty());
    let fields = fields.map(|(name, param)| {
        let shown = Param { default: None, ..param.clone() };
        let mut field = dag_trigger::field(name, &shown, Some(&typed));
        field.hint = format!("{} ({}). Empty: as usual.", param.description, param.r#type);
        field.allowed.insert(0, String::new());
        if param.allowed.is_empty() {
            field.allowed.clear();
        }
        field
    });
    show(&FormPage {
        fields: fields.collect(),
        dag_href: ui::dag_url(&dag_id),
        schedule: crate::schedule_words::of(&row.dag.schedule),
        may_write: shell.may_write(),
        dag: dag_id,
        hidden,
        problem,
        plan,
        typed,
        shell,
    })
}

async fn planned(app: &App, dag: &model::Dag, typed: &Typed) -> Result<Vec<PlannedTick>, String> {
    let request = request(dag, typed)?;
    app.store.plan_backfill(&request, app.clock.now()).await.map_err(|error| error.to_string())
}

fn shown(dag: &str, ticks: &[PlannedTick]) -> Plan {
    let count = |action: Action| ticks.iter().filter(|tick| tick.action == action).count();
    let counts = [
        (Action::Create, "s-success", "+"),
        (Action::Rerun, "s-running", "↻"),
        (Action::Skip, "s-skipped", "»"),
    ];
    let badge = |action: Action| {
        let (_, class, sign) =
            counts.iter().find(|(known, ..)| *known == action).copied().unwrap_or(counts[2]);
        let word = action.as_str();
        Html(format!(r#"<span class="badge {class}"><i aria-hidden="true">{sign}</i>{word}</span>"#))
    };
    let meant = ticks.len() - count(Action::Skip);
    Plan {
        counts: counts.iter().map(|(action, ..)| (badge(*action), count(*action))).collect(),
        meant: ui::plural(meant, "run", "runs"),
        is_empty: meant == 0,
        lines: ticks
            .iter()
            .take(LISTED)
            .map(|tick| PlanLine {
                tick: ui::minute(tick.tick),
                action: badge(tick.action),
                run: tick.run_id.clone().map(|id| (ui::run_url(dag, &id), id)),
                reason: tick.reason.clone(),
            })
            .collect(),
        more: ticks.len().saturating_sub(LISTED),
    }
}

pub async fn submit(
    State(app): State<Shared>,
    viewer: Viewer,
    Form(typed): Form<Typed>,
) -> Result<Response, PageError> {
    viewer.check_write(typed.get("csrf").map_or("", String::as_str))?;
    let row = dag_head::find(&app, typed.get("dag").map_or("", String::as_str)).await?;
    let problem = match request(&row.dag, &typed) {
        Err(problem) => problem,
        Ok(request) => match app.store.create_backfill(&request, &viewer.name, app.clock.now()).await {
            Ok((id, _)) => return Ok(Redirect::to(&format!("/backfills/{id}")).into_response()),
            Err(error @ store::Error::Refused { .. }) => error.to_string(),
            Err(error) => return Err(error.into()),
        },
    };
    let page = form(&app, viewer, typed, Some(problem)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

fn request(dag: &model::Dag, typed: &Typed) -> Result<BackfillRequest, String> {
    let filled = |name: &str| typed.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let instant = |name: &str| {
        let text = filled(name).ok_or_else(|| format!("give both ends of the range: '{name}' is missing"))?;
        dag_trigger::read_instant(text, name)
    };
    let mut params = Map::new();
    for (name, param) in &dag.params {
        let text = filled(&format!("p.{name}"));
        if let Some(value) = text.map_or(Ok(None), |text| dag_trigger::value_of(name, param, Some(text)))? {
            params.insert(name.clone(), value);
        }
    }
    let most = filled("max_active_runs").unwrap_or("3");
    Ok(BackfillRequest {
        dag_id: dag.id.clone(),
        from: instant("from")?,
        to: instant("to")?,
        reprocess: filled("reprocess").unwrap_or("none").parse()?,
        run_backwards: filled("run_backwards") == Some("true"),
        max_active_runs: most
            .parse()
            .map_err(|_| format!("runs at once must be a whole number, not '{most}'"))?,
        params: if params.is_empty() { Value::Null } else { Value::Object(params) },
        reason: filled("reason").unwrap_or_default().to_string(),
    })
}
