//! A run asked for by a person or a program: checked here once, for the form and for the API.

use crate::app::App;
use chrono::{DateTime, SecondsFormat, Utc};
use model::Window;
use model::schedule::window_at;
use serde_json::Value;
use store::audit::because;
use store::runs::{NewRun, Run, RunType};

#[derive(Debug, Default)]
pub struct Wish {
    pub run_id: Option<String>,
    pub logical_date: Option<DateTime<Utc>>,
    pub window: Option<Window>,
    pub run_after: Option<DateTime<Utc>>,
    /// Checked against the dag's parameters.
    pub params: Value,
    pub note: Option<String>,
    /// Why, for the audit log.
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is no dag '{0}'")]
    NoDag(String),
    /// All that is wrong with the wish.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    #[error(transparent)]
    Store(#[from] store::Error),
}

const LONGEST_ID: usize = 250;

/// Creates the run; without an id it gets one of its own, without a window the last that was complete at its logical date.
pub async fn trigger(app: &App, dag_id: &str, wish: Wish, who: &str) -> Result<Run, Refusal> {
    let now = app.clock.now();
    let (version_id, dag) =
        app.store.current_dag(dag_id).await?.ok_or_else(|| Refusal::NoDag(dag_id.into()))?;
    let mut problems = Vec::new();
    let params = model::params::check(&dag.params, &wish.params).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        Value::Null
    });
    if let Some(id) = &wish.run_id {
        problems.extend(run_id_problem(id));
    }
    if wish.window.is_some_and(|window| window.start >= window.end) {
        problems.push("the window must start before it ends".into());
    }
    if !problems.is_empty() {
        return Err(Refusal::Invalid(problems));
    }
    let about = wish.logical_date.unwrap_or(now);
    let window = wish.window.or_else(|| window_at(&dag.window, &dag.schedule, about));
    let run = NewRun {
        dag_id: dag_id.into(),
        run_id: wish.run_id.unwrap_or_else(|| new_run_id(about)),
        version_id,
        run_type: RunType::Manual,
        window,
        logical_date: wish.logical_date,
        run_after: wish.run_after.unwrap_or(now),
        params,
        requested_by: who.into(),
        note: wish.note.filter(|note| !note.trim().is_empty()),
    };
    let run = app.store.trigger(run, now).await?;
    let subject = format!("{dag_id}/{}", run.run_id);
    let details = because(serde_json::json!({ "params": run.params }), wish.reason.trim());
    app.store.audit(who, "run.trigger", &subject, details, now).await?;
    Ok(run)
}

/// `manual__2026-11-22T10:05:00.123456+00:00_1f9a03bc`: the end keeps two wishes of one instant apart.
fn new_run_id(at: DateTime<Utc>) -> String {
    format!("manual__{}_{:08x}", at.to_rfc3339_opts(SecondsFormat::Micros, false), rand::random::<u32>())
}

pub fn run_id_problem(id: &str) -> Option<String> {
    let fits = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "_.~:+-".contains(c));
    if !fits {
        return Some("a run id has only letters, digits and _ . ~ : + -".into());
    }
    (id.len() > LONGEST_ID).then(|| format!("a run id has at most {LONGEST_ID} characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_those_that_airflow_allows() {
        assert_eq!(run_id_problem("scheduled__2026-11-22T10:05:00+00:00"), None);
        assert!(
            run_id_problem("").is_some()
                && run_id_problem("a/b").is_some()
                && run_id_problem(&"x".repeat(251)).is_some()
        );
        assert_eq!(run_id_problem(&new_run_id(Utc::now())), None);
    }
}
