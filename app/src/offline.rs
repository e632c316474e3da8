//! The kinds without servers: enough to check DAG files, not to run them.

use anyhow::Result;
use kinds::Env;
use lake::Lake;
use model::{Problem, Registry};
use std::path::Path;
use std::sync::Arc;

/// The kinds of the program, and the custom ones of the folder that are fine.
pub fn registry(dags_dir: &Path) -> Result<Registry> {
    Ok(checked(dags_dir)?.0)
}

/// The same, with what is wrong with the custom ones.
pub fn checked(dags_dir: &Path) -> Result<(Registry, Vec<Problem>)> {
    let program = program(dags_dir)?;
    if !dags_dir.is_dir() {
        return Ok((program, Vec::new()));
    }
    let (registry, mut problems) = engine::registry_of(dags_dir, &program)?;
    for problem in &mut problems {
        problem.file = dags_dir.join(&problem.file).display().to_string();
    }
    Ok((registry, problems))
}

fn program(dags_dir: &Path) -> Result<Registry> {
    Ok(kinds::registry(Arc::new(Env {
        program: std::env::current_exe()?,
        dags_dir: dags_dir.to_path_buf(),
        brokers: String::new(),
        kafka_login: Vec::new(),
        lake: Lake::open("memory://")?,
        warehouse: Arc::new(|| Err("files are only checked here".to_string())),
        topic_columns: crate::node::topic_columns(),
        group_lag: crate::node::group_lag(&"".into()),
        venvs_dir: std::env::temp_dir().join("streamify-venvs"),
        clock: Arc::new(crate::clock::SystemClock),
        node: "offline".to_string(),
        http: reqwest::Client::new(),
    })))
}
