//! The SQL project that a task names, read afresh: what runs is what lies in the folder.

use crate::env::Env;
use crate::with;
use model::task::WithProblem;
use model::{Problem, TaskError};
use serde_json::Value;
use std::path::Path;
use transform::Project;

/// Where models live in the warehouse.
const SCHEMA: &str = "prod";

pub fn load(env: &Env, folder: &str) -> Result<Project, Vec<Problem>> {
    Project::load(&env.dags_dir.join(folder), SCHEMA)
}

/// For a run: all problems in one message.
pub async fn load_to_run(env: &Env, folder: &str) -> Result<Project, TaskError> {
    let path = env.dags_dir.join(folder);
    let loaded = tokio::task::spawn_blocking(move || Project::load(&path, SCHEMA)).await;
    let loaded = loaded.map_err(|error| TaskError::Retry(format!("reading the project: {error}")))?;
    loaded.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        TaskError::Fail(lines.join("\n"))
    })
}

/// For a check of the DAG file: the project's own problems, each named with its file and line.
pub fn problems(env: &Env, given: &Value) -> Vec<WithProblem> {
    let Some(folder) = given.get("project").and_then(Value::as_str).filter(|text| !text.contains("{{"))
    else {
        return Vec::new();
    };
    if !env.dags_dir.join(folder).is_dir() {
        let hint = format!("paths start at {}", env.dags_dir.display());
        return vec![with::problem("project", format!("there is no folder {folder}"), Some(hint))];
    }
    match load(env, folder) {
        Ok(_) => Vec::new(),
        Err(found) => found.into_iter().map(|problem| told(env, &problem)).collect(),
    }
}

fn told(env: &Env, problem: &Problem) -> WithProblem {
    let file = Path::new(&problem.file);
    let file = file.strip_prefix(&env.dags_dir).unwrap_or(file);
    with::problem(
        "project",
        format!("{}:{}: {}", file.display(), problem.line, problem.message),
        problem.hint.clone(),
    )
}
