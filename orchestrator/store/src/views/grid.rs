//! The grid: the newest runs of a dag and the state of each task in each.

use super::runs::{RunFilter, RunRow};
use crate::{Result, Store};
use model::TaskState;

#[derive(Debug, Clone)]
pub struct GridCell {
    /// `runs.id`.
    pub run: i64,
    pub task_id: String,
    pub state: TaskState,
    /// Instances of the task in this state; more than one only for a mapped task.
    pub instances: i64,
    pub max_try: i32,
}

#[derive(Debug, Clone)]
pub struct Grid {
    /// Oldest first.
    pub runs: Vec<RunRow>,
    /// One for each run, task and state that occurs.
    pub cells: Vec<GridCell>,
    pub total_runs: i64,
}

impl Store {
    /// `limit` runs, counted from the newest after leaving out `offset`.
    pub async fn grid(&self, dag_id: &str, limit: i64, offset: i64) -> Result<Grid> {
        let filter = RunFilter { dag_id: Some(dag_id.into()), limit, offset, ..RunFilter::default() };
        let (mut runs, total_runs) = self.list_runs(&filter).await?;
        runs.reverse();
        let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
        Ok(Grid { cells: self.cells(&ids).await?, runs, total_runs })
    }

    /// The states of all tasks of some runs.
    pub async fn cells(&self, runs: &[i64]) -> Result<Vec<GridCell>> {
        let rows: Vec<(i64, String, String, i64, i32)> = sqlx::query_as(
            "select run, task_id, state, count(*), max(try_number)
             from task_instances
             where run = any($1)
             group by run, task_id, state
             order by run, task_id, state limit 100000",
        )
        .bind(runs)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(run, task_id, state, instances, max_try)| {
                Ok(GridCell { run, task_id, state: super::parse(&state)?, instances, max_try })
            })
            .collect()
    }
}
