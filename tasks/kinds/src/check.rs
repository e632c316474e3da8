//! `check`: tests on data. A failing one of severity `error` fails the task, and so holds back what is downstream; `warn` reports.

use crate::env::Env;
use crate::{WAREHOUSE, loaded, models, project, reconcile, with};
use async_trait::async_trait;
use model::task::{Stream, WithProblem};
use model::{CheckResult, CheckStatus, Outcome, Severity, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use transform::RunArgs;
use warehouse::Warehouse;

const SAMPLE_ROWS: usize = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// Folder of a project, from the dags folder; with `tests`.
    #[serde(default)]
    project: Option<String>,
    /// Tests of the project, by name.
    #[serde(default)]
    tests: Vec<String>,
    /// Or a query that returns the rows that should not be there.
    #[serde(default)]
    sql: Option<String>,
    /// For `sql`: the name of the check; the task's id if not said.
    #[serde(default)]
    name: Option<String>,
    /// For `sql`: `error` (holds back what is downstream) or `warn`.
    #[serde(default)]
    severity: Option<String>,
    /// Or topics and the models built from them: lake, staging and model must have the same rows in each hour of the window.
    #[serde(default)]
    reconcile: BTreeMap<String, String>,
}

pub struct Check {
    env: Arc<Env>,
}

impl Check {
    pub fn new(env: Arc<Env>) -> Self {
        Check { env }
    }
}

#[async_trait]
impl Task for Check {
    fn kind(&self) -> &'static str {
        "check"
    }

    fn summary(&self) -> &'static str {
        "Test data: tests of a project, a query that must return no rows, or layers that must agree"
    }

    fn route(&self) -> Option<&'static str> {
        Some(WAREHOUSE)
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        let chosen = ["tests", "sql", "reconcile"].iter().filter(|key| given.get(**key).is_some()).count();
        if chosen != 1 {
            problems.push(with::problem(
                "",
                "give one of `tests` (with `project`), `sql` and `reconcile`",
                None,
            ));
        }
        let severity = given.get("severity").and_then(Value::as_str);
        if severity.is_some_and(|severity| !matches!(severity, "error" | "warn")) {
            problems.push(with::problem("severity", "`error` or `warn`", None));
        }
        problems.extend(project::problems(&self.env, given));
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let warehouse = loaded::warehouse(&self.env)?;
        let work = async {
            match (&with.project, &with.sql) {
                (Some(folder), None) => self.project_tests(&ctx, folder, &with.tests, &*warehouse).await,
                (None, Some(sql)) => Ok(vec![query_check(&ctx, &with, sql, &*warehouse).await?]),
                _ => reconcile::check(&self.env, &ctx, &with.reconcile, &*warehouse).await,
            }
        };
        let results = tokio::select! {
            results = loaded::labelled(&ctx, work) => results?,
            () = ctx.cancel.cancelled() => return Err(TaskError::Cancelled),
        };
        report(&ctx, results)
    }
}

impl Check {
    async fn project_tests(
        &self,
        ctx: &TaskContext,
        folder: &str,
        tests: &[String],
        warehouse: &dyn Warehouse,
    ) -> Result<Vec<CheckResult>, TaskError> {
        let project = project::load_to_run(&self.env, folder).await?;
        let window = ctx.window.map(|window| (window.start, window.end));
        let arguments = RunArgs { window, ..RunArgs::default() };
        let mut results = Vec::new();
        for test in tests {
            let sink = ctx.sink.clone();
            let mut log = move |line: String| sink.log(Stream::System, line);
            let result = project.run(test, &arguments, warehouse, &mut log).await.map_err(models::failed)?;
            results.extend(result.check);
        }
        Ok(results)
    }
}

async fn query_check(
    ctx: &TaskContext,
    with: &With,
    sql: &str,
    warehouse: &dyn Warehouse,
) -> Result<CheckResult, TaskError> {
    let rows = warehouse.query(sql, &[]).await.map_err(loaded::failed)?;
    let severity = if with.severity.as_deref() == Some("warn") { Severity::Warn } else { Severity::Error };
    Ok(CheckResult {
        name: with.name.clone().unwrap_or_else(|| ctx.task_id.clone()),
        subject: ctx.dag_id.clone(),
        severity,
        status: status(severity, rows.is_empty()),
        value: rows.len() as f64,
        bounds: "= 0 rows".to_string(),
        sample: rows.to_objects().into_iter().take(SAMPLE_ROWS).collect(),
        sql: Some(sql.to_string()),
    })
}

pub fn status(severity: Severity, is_fine: bool) -> CheckStatus {
    match (is_fine, severity) {
        (true, _) => CheckStatus::Pass,
        (false, Severity::Warn) => CheckStatus::Warn,
        (false, Severity::Error) => CheckStatus::Fail,
    }
}

/// Every result is stored; then the failing ones decide.
fn report(ctx: &TaskContext, results: Vec<CheckResult>) -> Result<Outcome, TaskError> {
    let mut failed = Vec::new();
    let total = results.len();
    for result in results {
        let line = format!(
            "{:?}: {} on {}: {} ({})",
            result.status, result.name, result.subject, result.value, result.bounds
        );
        ctx.sink.log(Stream::System, line.to_lowercase());
        if result.status == CheckStatus::Fail {
            failed.push(format!("{} is {}, allowed {}", result.name, result.value, result.bounds));
        }
        ctx.sink.check(result);
    }
    if failed.is_empty() {
        return Ok(Outcome::Done { outputs: json!({ "checks": total }) });
    }
    Err(TaskError::Fail(format!("{} of {total} checks failed: {}", failed.len(), failed.join("; "))))
}
