//! `models`: a SQL project as a group of tasks; `model`: one seed or model of it.

use crate::env::Env;
use crate::expansion::{self, Shared};
use crate::{WAREHOUSE, loaded, project, with};
use async_trait::async_trait;
use model::task::{ExpandedTask, Stream, WithProblem};
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use transform::RunArgs;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "expanded before it runs; the type is its schema")]
struct ModelsWith {
    /// Folder of the project, from the dags folder.
    project: String,
    /// Which nodes, in dbt's selector words; all if not said.
    #[serde(default)]
    select: Option<String>,
    /// Rebuild from all staged history.
    #[serde(default)]
    full_refresh: Option<bool>,
    /// `var()` of the models.
    #[serde(default)]
    vars: Map<String, Value>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelWith {
    /// Folder of the project, from the dags folder.
    project: String,
    /// The seed or model.
    node: String,
    /// Rebuild from all staged history.
    #[serde(default)]
    full_refresh: Option<bool>,
    /// `var()` of the models.
    #[serde(default)]
    vars: BTreeMap<String, Value>,
}

pub struct Models {
    env: Arc<Env>,
}

impl Models {
    pub fn new(env: Arc<Env>) -> Self {
        Models { env }
    }
}

#[async_trait]
impl Task for Models {
    fn kind(&self) -> &'static str {
        "models"
    }

    fn summary(&self) -> &'static str {
        "Bring the SQL models of a project up to date and test them: one task for each model and its tests"
    }

    fn route(&self) -> Option<&'static str> {
        Some(WAREHOUSE)
    }

    fn with_schema(&self) -> Value {
        with::schema::<ModelsWith>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<ModelsWith>(given);
        if given.get("project").is_some_and(with::has_template) {
            problems.push(with::problem(
                "project",
                "the project must be known when the file is loaded: no template here",
                None,
            ));
        }
        problems.extend(project::problems(&self.env, given));
        problems
    }

    fn expand(&self, given: &Value, _dag_dir: &Path) -> Result<Option<Vec<ExpandedTask>>, Vec<WithProblem>> {
        let folder = given.get("project").and_then(Value::as_str).unwrap_or_default();
        let project = project::load(&self.env, folder).map_err(|_| project::problems(&self.env, given))?;
        let chosen = match given.get("select").and_then(Value::as_str) {
            Some(selector) => project
                .select(selector)
                .map_err(|error| vec![with::problem("select", error.to_string(), None)])?,
            None => project.nodes().iter().collect(),
        };
        let handed: Map<String, Value> = given
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| matches!(key.as_str(), "full_refresh" | "vars"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok(Some(expansion::expand(&chosen, &Shared { project: folder, with: &handed })))
    }

    async fn run(&self, _ctx: TaskContext) -> Result<Outcome, TaskError> {
        Err(TaskError::Fail(
            "`models` stands for the tasks of its project and does not run itself".to_string(),
        ))
    }
}

pub struct Model {
    env: Arc<Env>,
}

impl Model {
    pub fn new(env: Arc<Env>) -> Self {
        Model { env }
    }
}

#[async_trait]
impl Task for Model {
    fn kind(&self) -> &'static str {
        "model"
    }

    fn summary(&self) -> &'static str {
        "Bring one seed or SQL model up to date"
    }

    fn route(&self) -> Option<&'static str> {
        Some(WAREHOUSE)
    }

    fn with_schema(&self) -> Value {
        with::schema::<ModelWith>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<ModelWith>(given);
        problems.extend(project::problems(&self.env, given));
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: ModelWith = with::read(&ctx.with)?;
        let project = project::load_to_run(&self.env, &with.project).await?;
        let arguments = RunArgs {
            window: ctx.window.map(|window| (window.start, window.end)),
            full_refresh: with.full_refresh.unwrap_or(false),
            vars: with.vars,
            ..RunArgs::default()
        };
        let warehouse = loaded::warehouse(&self.env)?;
        let sink = ctx.sink.clone();
        let mut log = move |line: String| sink.log(Stream::System, line);
        let result = tokio::select! {
            result = loaded::labelled(&ctx, project.run(&with.node, &arguments, &*warehouse, &mut log)) => {
                result.map_err(failed)?
            },
            () = ctx.cancel.cancelled() => return Err(TaskError::Cancelled),
        };
        Ok(Outcome::Done { outputs: json!({ "rows": result.rows_affected, "hours": result.hours }) })
    }
}

pub fn failed(error: transform::Error) -> TaskError {
    if error.is_retryable() {
        TaskError::Retry(error.to_string())
    } else {
        TaskError::Fail(error.to_string())
    }
}
