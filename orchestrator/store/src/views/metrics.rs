//! What `/metrics` tells beside health. Each query reads what is live now, so its cost does not grow with history.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;

#[derive(Debug, Clone)]
pub struct LiveFigures {
    pub queues: Vec<QueueFigures>,
    /// Runs that are not final, by state.
    pub runs: Vec<(String, i64)>,
    /// Task instances of running runs, by state.
    pub instances: Vec<(String, i64)>,
    pub pools: Vec<PoolFigures>,
    pub services: Vec<ServiceFigures>,
    pub waiting: WaitingFigures,
    /// Dags that are not paused and whose newest ended run failed.
    pub failing_dags: Vec<String>,
    pub connections: Connections,
}

/// What waits besides attempts.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct WaitingFigures {
    /// The instant from which the oldest queued run could have run.
    pub oldest_run_after: Option<DateTime<Utc>>,
    /// Notices that nobody has taken yet.
    pub notices: i64,
    /// Questions to people.
    pub approvals: i64,
    /// What is wrong in dag files.
    pub problems: i64,
}

/// The asking node's own pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    pub used: usize,
    pub idle: usize,
    pub limit: u32,
}

/// Live attempts of one queue and class.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct QueueFigures {
    pub queue: String,
    pub is_service: bool,
    pub queued: i64,
    pub running: i64,
    pub oldest_queued_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PoolFigures {
    pub name: String,
    pub slots: i32,
    /// Taken by running attempts.
    pub used: i64,
    /// Slots that queued attempts wait for.
    pub wanted: i64,
}

#[derive(Debug, Clone, FromRow)]
pub struct ServiceFigures {
    pub dag_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub running: bool,
    pub ready: bool,
    pub restarts: i32,
    pub status: Option<Value>,
}

/// Lines of each kind; more queues, pools or services than this are not told.
const LINES_MAX: i64 = 1_000;

impl Store {
    pub async fn live_figures(&self) -> Result<LiveFigures> {
        let queues = sqlx::query_as(
            "select queue, is_service, count(*) filter (where state = 'queued') as queued,
                    count(*) filter (where state = 'running') as running,
                    min(queued_at) filter (where state = 'queued') as oldest_queued_at
             from attempts group by queue, is_service order by queue, is_service limit $1",
        )
        .bind(LINES_MAX)
        .fetch_all(&self.pool)
        .await?;
        let runs = sqlx::query_as(
            "select 'queued', count(*) from runs where state = 'queued'
             union all select 'running', count(*) from runs where state = 'running'",
        )
        .fetch_all(&self.pool)
        .await?;
        let instances = sqlx::query_as(
            "select i.state, count(*) from runs r join task_instances i on i.run = r.id where r.state = 'running'
             group by i.state order by i.state",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(LiveFigures {
            queues,
            runs,
            instances,
            pools: self.pool_figures().await?,
            services: self.service_figures().await?,
            waiting: self.waiting_figures().await?,
            failing_dags: self.failing_dags().await?,
            connections: self.connections(),
        })
    }

    async fn waiting_figures(&self) -> Result<WaitingFigures> {
        Ok(sqlx::query_as(
            "select (select min(run_after) from runs where state = 'queued') as oldest_run_after,
                    (select count(*) from notifications where state = 'waiting') as notices,
                    (select count(*) from approvals where decision is null) as approvals,
                    (select count(*) from dag_problems) as problems",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// One look at an index for each dag.
    async fn failing_dags(&self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "select d.dag_id from dags d cross join lateral (
                select state from runs r where r.dag_id = d.dag_id and r.state in ('success', 'failed')
                order by run_after desc, id desc limit 1
             ) newest
             where d.present and not d.paused and newest.state = 'failed' order by d.dag_id limit $1",
        )
        .bind(LINES_MAX)
        .fetch_all(&self.pool)
        .await?)
    }

    fn connections(&self) -> Connections {
        let (open, idle) = (self.pool.size() as usize, self.pool.num_idle());
        let limit = self.pool.options().get_max_connections();
        Connections { used: open.saturating_sub(idle), idle, limit }
    }

    async fn pool_figures(&self) -> Result<Vec<PoolFigures>> {
        Ok(sqlx::query_as(
            "select p.name, p.slots, coalesce(sum(a.pool_slots) filter (where a.state = 'running'), 0)::int8 as used,
                    coalesce(sum(a.pool_slots) filter (where a.state = 'queued'), 0)::int8 as wanted
             from pools p left join attempts a on a.pool = p.name
             group by p.name, p.slots order by p.name limit $1",
        )
        .bind(LINES_MAX)
        .fetch_all(&self.pool)
        .await?)
    }

    async fn service_figures(&self) -> Result<Vec<ServiceFigures>> {
        Ok(sqlx::query_as(
            "select r.dag_id, i.task_id, i.map_index, a.state = 'running' as running, a.ready_at is not null as ready,
                    greatest(a.try_number - 1, 0) as restarts, s.status
             from attempts a
             join runs r on r.id = a.run
             join task_instances i on (i.run, i.task, i.map_index) = (a.run, a.task, a.map_index)
             left join service_status s on s.attempt_id = a.id
             where a.is_service
             order by r.dag_id, i.task_id, i.map_index limit $1",
        )
        .bind(LINES_MAX)
        .fetch_all(&self.pool)
        .await?)
    }
}
