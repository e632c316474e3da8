//! Services: of each dag that has some, those of its active runs, or of its newest run when none is active.

use super::instances::InstanceRow;
use super::runs::{RunFilter, RunRow};
use crate::views::instances::InstanceFilter;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{Dag, RunState, TaskState};
use serde_json::Value;

/// Most active runs of one dag whose services are shown.
const RUNS_OF_A_DAG: i64 = 5;
/// Most services of one run that are shown.
const OF_A_RUN: i64 = 200;

#[derive(Debug, Clone)]
pub struct ServiceRow {
    pub instance: InstanceRow,
    /// How often it was started again in this run.
    pub restarts: i64,
    pub live_since: Option<DateTime<Utc>>,
    /// The newest figures it gave, and when.
    pub status: Option<(Value, DateTime<Utc>)>,
}

impl ServiceRow {
    /// Since when the process that runs now is ready. What the one before it said does not count while its restart is waited for.
    pub fn ready_at(&self) -> Option<DateTime<Utc>> {
        self.instance.ready_at.filter(|_| self.instance.state == TaskState::Running)
    }
}

impl Store {
    pub async fn services(&self) -> Result<Vec<ServiceRow>> {
        let dags: Vec<(String, i64)> = sqlx::query_as(
            "select dag_id, version_id from dags where present and version_id is not null order by dag_id",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut services = Vec::new();
        for (dag_id, version_id) in dags {
            if positions(&*self.dag_version(version_id).await?).is_empty() {
                continue;
            }
            for run in self.runs_with_services(&dag_id).await? {
                services.extend(self.services_of(&run).await?);
            }
        }
        Ok(services)
    }

    async fn runs_with_services(&self, dag_id: &str) -> Result<Vec<RunRow>> {
        let newest = RunFilter { dag_id: Some(dag_id.into()), limit: 1, ..RunFilter::default() };
        let active = RunFilter { states: vec![RunState::Running], limit: RUNS_OF_A_DAG, ..newest.clone() };
        let (active, _) = self.list_runs(&active).await?;
        if active.is_empty() { Ok(self.list_runs(&newest).await?.0) } else { Ok(active) }
    }

    async fn services_of(&self, run: &RunRow) -> Result<Vec<ServiceRow>> {
        let of_run = InstanceFilter {
            dag_id: Some(run.dag_id.clone()),
            run_id: Some(run.run_id.clone()),
            tasks: positions(&*self.dag_version(run.version_id).await?),
            limit: OF_A_RUN,
            ..InstanceFilter::default()
        };
        let mut services = Vec::new();
        if !of_run.tasks.is_empty() {
            for instance in self.list_instances(&of_run).await?.0 {
                services.push(self.service(instance).await?);
            }
        }
        Ok(services)
    }

    async fn service(&self, instance: InstanceRow) -> Result<ServiceRow> {
        let (ended, live, live_since): (i64, bool, Option<DateTime<Utc>>) = sqlx::query_as(
            "select (select count(*) from attempt_history h where (h.run, h.task, h.map_index) = ($1, $2, $3)),
                    exists (select from attempts a where (a.run, a.task, a.map_index) = ($1, $2, $3)),
                    (select a.started_at from attempts a where (a.run, a.task, a.map_index) = ($1, $2, $3))",
        )
        .bind(instance.run)
        .bind(instance.task)
        .bind(instance.map_index)
        .fetch_one(&self.pool)
        .await?;
        let status = sqlx::query_as(
            "select status, at from service_status where (run, task, map_index) = ($1, $2, $3) order by attempt_id desc limit 1",
        )
        .bind(instance.run)
        .bind(instance.task)
        .bind(instance.map_index)
        .fetch_optional(&self.pool)
        .await?;
        let restarts = (ended + i64::from(live) - 1).max(0);
        Ok(ServiceRow { instance, restarts, live_since, status })
    }

    /// The newest figures that one attempt gave.
    pub async fn service_status(&self, attempt_id: i64) -> Result<Option<(Value, DateTime<Utc>)>> {
        let sql = "select status, at from service_status where attempt_id = $1";
        Ok(sqlx::query_as(sql).bind(attempt_id).fetch_optional(&self.pool).await?)
    }
}

/// The tasks that are services.
fn positions(dag: &Dag) -> Vec<i32> {
    (0..).zip(&dag.tasks).filter(|(_, task)| task.service.is_some()).map(|(position, _)| position).collect()
}
