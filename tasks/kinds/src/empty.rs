//! `empty`: does nothing, at once. For joints of a graph, and to measure the engine.

use async_trait::async_trait;
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use serde_json::{Value, json};
use std::path::Path;

pub struct Empty;

#[async_trait]
impl Task for Empty {
    fn kind(&self) -> &'static str {
        "empty"
    }

    fn summary(&self) -> &'static str {
        "Do nothing: a joint that other tasks need"
    }

    fn with_schema(&self) -> Value {
        json!({ "type": "object", "maxProperties": 0 })
    }

    fn check(&self, with: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let keys = with.as_object().into_iter().flat_map(|with| with.keys());
        keys.map(|key| WithProblem {
            key: key.clone(),
            message: "`empty` takes nothing".to_string(),
            hint: Some("remove it".to_string()),
        })
        .collect()
    }

    async fn run(&self, _ctx: TaskContext) -> Result<Outcome, TaskError> {
        Ok(Outcome::Done { outputs: Value::Null })
    }
}
