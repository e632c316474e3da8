//! System health: nodes, duties, the queue, the invariants of the engine, and the size of its tables.

use crate::retention::Pruning;
use crate::{Result, Store};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Debug, Clone, serde::Serialize)]
pub struct Health {
    pub nodes: Vec<NodeHealth>,
    pub duties: Vec<DutyHealth>,
    pub queue: QueueHealth,
    pub invariants: Invariants,
    pub tables: Vec<TableHealth>,
    /// Why the server takes no writes, if it does not: a standby, or a setting.
    pub read_only: Option<&'static str>,
    /// What was removed for its age so far; `passes` counts the looks for it.
    pub pruned: Vec<Pruning>,
    /// The server's clock minus the caller's, in milliseconds: nodes decide by their own clocks.
    pub clock_skew_ms: i64,
    /// How long ago the oldest transaction began whose snapshot keeps dead rows from being removed; 0 if there is none. A client that forgets
    /// a transaction makes every claim dearer.
    pub oldest_snapshot_seconds: f64,
}

#[derive(Debug, Clone, FromRow, serde::Serialize)]
pub struct NodeHealth {
    pub id: Uuid,
    pub name: String,
    pub host: String,
    pub pid: i32,
    pub version: String,
    pub http_url: Option<String>,
    pub registered_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    /// `None` while it is live.
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_reason: Option<String>,
    /// Counted from live attempts, never kept in a counter.
    pub used_slots: i64,
    pub used_service_slots: i64,
    /// What it offers; `None`: a node of a version that does not say it.
    pub task_slots: Option<i32>,
    pub service_slots: Option<i32>,
}

#[derive(Debug, Clone, FromRow, serde::Serialize)]
pub struct DutyHealth {
    pub name: String,
    pub node: Uuid,
    pub node_name: Option<String>,
    pub term: i64,
    pub expires_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, FromRow, serde::Serialize)]
pub struct QueueHealth {
    pub queued_runs: i64,
    pub running_runs: i64,
    pub queued_attempts: i64,
    pub running_attempts: i64,
    pub oldest_queued_at: Option<DateTime<Utc>>,
    /// Of the queued ones, those that only some nodes may take.
    pub routed_attempts: i64,
}

/// Each count is 0 in a healthy system; a moment after a node died, `attempts_without_live_node` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow, serde::Serialize)]
pub struct Invariants {
    pub attempts_without_live_node: i64,
    /// Nothing could ever move them on.
    pub running_runs_without_open_instances: i64,
    /// Instances that are final and yet have a live attempt: a terminal state that changed.
    pub final_instances_with_attempt: i64,
    /// Instances that say queued or running without the attempt that stands for it, or the other way round.
    pub live_instances_without_attempt: i64,
    /// Dags with more running runs than `max_active_runs` (also after the limit was lowered).
    pub dags_over_their_limit: i64,
}

#[derive(Debug, Clone, PartialEq, FromRow, serde::Serialize)]
pub struct TableHealth {
    pub name: String,
    /// As the statistics have them.
    pub rows: i64,
    pub dead_rows: i64,
    pub bytes: i64,
}

impl Invariants {
    pub fn hold(&self) -> bool {
        *self == Invariants::default()
    }
}

/// Nodes shown: all live ones and those that ended last.
const NODES_MAX: i64 = 200;

impl Store {
    pub async fn health(&self, now: DateTime<Utc>) -> Result<Health> {
        let server_now =
            sqlx::query_scalar::<_, DateTime<Utc>>("select clock_timestamp()").fetch_one(&self.pool).await?;
        Ok(Health {
            nodes: self.node_health().await?,
            duties: self.duty_health().await?,
            queue: self.queue_health().await?,
            invariants: self.invariants().await?,
            tables: self.table_health().await?,
            read_only: self.read_only().await?,
            pruned: self.prunings().await?,
            oldest_snapshot_seconds: self.oldest_snapshot_seconds().await?,
            clock_skew_ms: TimeDelta::num_milliseconds(&(server_now - now)),
        })
    }

    async fn read_only(&self) -> Result<Option<&'static str>> {
        let (standby, by_setting): (bool, bool) =
            sqlx::query_as("select pg_is_in_recovery(), current_setting('transaction_read_only')::bool")
                .fetch_one(&self.pool)
                .await?;
        Ok(match (standby, by_setting) {
            (true, _) => Some("it is a standby"),
            (false, true) => Some("default_transaction_read_only is on"),
            (false, false) => None,
        })
    }

    async fn oldest_snapshot_seconds(&self) -> Result<f64> {
        let seconds = sqlx::query_scalar(
            "select coalesce(extract(epoch from clock_timestamp() - min(xact_start))::float8, 0) from pg_stat_activity
             where backend_xmin is not null and datname = current_database() and pid <> pg_backend_pid()",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(seconds)
    }

    async fn node_health(&self) -> Result<Vec<NodeHealth>> {
        let nodes = sqlx::query_as(
            "select n.id, n.name, n.host, n.pid, n.version, n.http_url, n.registered_at, n.last_seen_at, n.ended_at, n.ended_reason,
                coalesce(u.tasks, 0) as used_slots, coalesce(u.services, 0) as used_service_slots,
                n.task_slots, n.service_slots
             from nodes n
             left join (
                select node, count(*) filter (where not is_service) as tasks, count(*) filter (where is_service) as services
                from attempts where state = 'running' group by node
             ) u on u.node = n.id
             order by n.ended_at desc nulls first, n.name limit $1",
        )
        .bind(NODES_MAX)
        .fetch_all(&self.pool)
        .await?;
        Ok(nodes)
    }

    async fn duty_health(&self) -> Result<Vec<DutyHealth>> {
        let duties = sqlx::query_as(
            "select d.name, d.node, n.name as node_name, d.term, d.expires_at
             from duties d left join nodes n on n.id = d.node order by d.name limit 100",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(duties)
    }

    async fn queue_health(&self) -> Result<QueueHealth> {
        let queue = sqlx::query_as(
            "select (select count(*) from runs where state = 'queued') as queued_runs,
                (select count(*) from runs where state = 'running') as running_runs,
                count(*) filter (where state = 'queued') as queued_attempts,
                count(*) filter (where state = 'running') as running_attempts,
                min(queued_at) filter (where state = 'queued') as oldest_queued_at,
                count(*) filter (where state = 'queued' and route is not null) as routed_attempts
             from attempts",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(queue)
    }

    /// Looks only at what is live or running, so its cost does not grow with history.
    pub async fn invariants(&self) -> Result<Invariants> {
        let invariants = sqlx::query_as(
            "with open as (
                select r.id, i.task, i.map_index, i.state from runs r left join task_instances i on i.run = r.id
                where r.state = 'running'
             )
             select
                (select count(*) from attempts a where a.state = 'running'
                    and not exists (select 1 from nodes n where n.id = a.node and n.ended_at is null)) as attempts_without_live_node,
                (select count(*) from (select id from open group by id
                    having bool_and(state is null or state in ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled'))) stuck)
                    as running_runs_without_open_instances,
                (select count(*) from attempts a join task_instances i using (run, task, map_index)
                    where i.ended_at is not null) as final_instances_with_attempt,
                (select count(*) from open o full join attempts a on a.run = o.id and a.task = o.task and a.map_index = o.map_index
                    where (o.state in ('queued', 'running') and a.id is null)
                        or (a.id is not null and a.state is distinct from o.state)) as live_instances_without_attempt,
                (select count(*) from (select dag_id, count(*) as active from runs where state = 'running' and backfill is null group by dag_id) r
                    join dags d using (dag_id) where r.active > d.max_active_runs) as dags_over_their_limit",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(invariants)
    }

    async fn table_health(&self) -> Result<Vec<TableHealth>> {
        // The partitions of the logs count as one table.
        let tables = sqlx::query_as(
            "select case when c.relispartition then 'logs' else c.relname::text end as name,
                sum(coalesce(s.n_live_tup, 0))::int8 as rows, sum(coalesce(s.n_dead_tup, 0))::int8 as dead_rows,
                sum(pg_total_relation_size(c.oid))::int8 as bytes
             from pg_class c left join pg_stat_user_tables s on s.relid = c.oid
             where c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace
             group by 1 order by bytes desc, name limit 100",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(tables)
    }
}
