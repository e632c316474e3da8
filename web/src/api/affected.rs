//! The task instances that a request changed, or would change, as Airflow tells them.

use super::{ApiError, shapes};
use crate::app::App;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use store::views::instances::InstanceFilter;

/// Instances that are told one by one; all are counted.
const SHOWN: usize = 1_000;
/// Instances of one run that are looked through for them.
const READ: i64 = 10_000;

/// (run id, task id, map index)
pub type Name = (String, String, i32);

pub async fn tell(app: &App, dag_id: &str, names: Vec<Name>) -> Result<Value, ApiError> {
    let total = names.len();
    let mut by_run: BTreeMap<String, HashSet<(String, i32)>> = BTreeMap::new();
    for (run, task, map_index) in names.into_iter().take(SHOWN) {
        by_run.entry(run).or_default().insert((task, map_index));
    }
    let mut shown = Vec::new();
    for (run_id, meant) in by_run {
        let run = super::runs::find(app, dag_id, &run_id).await?;
        let dag = app.store.dag_version(run.version_id).await?;
        let one = if meant.len() == 1 { meant.iter().next() } else { None };
        let filter = InstanceFilter {
            dag_id: Some(dag_id.into()),
            run_id: Some(run_id),
            task_id: one.map(|(task, _)| task.clone()),
            limit: READ,
            ..InstanceFilter::default()
        };
        let (rows, _) = app.store.list_instances(&filter).await?;
        let is_meant = |task: &str, map_index: i32| meant.contains(&(task.to_string(), map_index));
        let rows = rows.iter().filter(|row| is_meant(&row.task_id, row.map_index));
        shown.extend(rows.map(|row| shapes::instance(row, &dag, Some(&run))));
    }
    Ok(json!({ "total_entries": total, "task_instances": shown }))
}
