//! The instances of runs counted by part of the dag: a task, a group, or what the page folds together. What comes back is as long as there
//! are parts, however many instances a run has.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::TaskState;
use std::collections::BTreeMap;

/// How the instances of one part of a run stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartState {
    /// `runs.id`.
    pub run: i64,
    pub part: usize,
    pub state: TaskState,
    pub instances: i64,
    pub max_try: i32,
    /// Of the first that began, and of the last that ended.
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

type Counted = (i64, i32, String, i64, i32, Option<DateTime<Utc>>, Option<DateTime<Utc>>);

impl Store {
    /// `part_of` are pairs of a task (its position in the dag version that all of `runs`, `runs.id`, have) and its part; tasks that are
    /// not named are left out.
    pub async fn parts(&self, runs: &[i64], part_of: &[(usize, usize)]) -> Result<Vec<PartState>> {
        let small = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let (tasks, parts): (Vec<i32>, Vec<i32>) =
            part_of.iter().map(|&(task, part)| (small(task), small(part))).unzip();
        let rows: Vec<Counted> = sqlx::query_as(
            "select i.run, p.part, i.state, count(*), max(i.try_number), min(i.started_at), max(i.ended_at)
             from task_instances i
             join unnest($2::int4[], $3::int4[]) as p (task, part) on p.task = i.task
             where i.run = any($1)
             group by i.run, p.part, i.state
             order by i.run, p.part, i.state",
        )
        .bind(runs)
        .bind(tasks)
        .bind(parts)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(run, part, state, instances, max_try, started_at, ended_at)| {
                let part = usize::try_from(part).unwrap_or_default();
                let state = super::parse(&state)?;
                Ok(PartState { run, part, state, instances, max_try, started_at, ended_at })
            })
            .collect()
    }

    /// How many instances of a run (`runs.id`) are in each state.
    pub async fn instance_counts(&self, run: i64) -> Result<BTreeMap<TaskState, i64>> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("select state, count(*) from task_instances where run = $1 group by state")
                .bind(run)
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(|(state, count)| Ok((super::parse(&state)?, count))).collect()
    }
}
