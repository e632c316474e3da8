//! The kinds without servers: enough to check DAG files, not to run them.

use anyhow::Result;
use kinds::Env;
use lake::Lake;
use model::Registry;
use std::path::Path;
use std::sync::Arc;

pub fn registry(dags_dir: &Path) -> Result<Registry> {
    Ok(kinds::registry(Arc::new(Env {
        program: std::env::current_exe()?,
        dags_dir: dags_dir.to_path_buf(),
        brokers: String::new(),
        lake: Lake::open("memory://")?,
        warehouse: Arc::new(|| Err("files are only checked here".to_string())),
        topic_columns: crate::node::topic_columns(),
        group_lag: crate::node::group_lag(""),
        venvs_dir: std::env::temp_dir().join("streamify-venvs"),
        clock: Arc::new(crate::clock::SystemClock),
        node: "offline".to_string(),
        http: reqwest::Client::new(),
    })))
}
