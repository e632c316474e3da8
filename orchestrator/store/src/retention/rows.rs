//! Rows that are old by themselves: ticks, notifications, asset events, the audit log, backfills whose runs are gone.

use super::runs::next_dag;
use super::{BEGINNING, Mode, Policy, Position, Pruned, STEP_ROWS, Stage, Step, before, count};
use crate::{Result, Store};
use chrono::{DateTime, Utc};

/// A table whose ids grow with time.
pub(super) struct Table {
    stage: Stage,
    what: &'static str,
    /// (id, at, goes) of rows after id $1, at most $2, in order; $3 is the instant before which rows are old.
    page: &'static str,
    delete: &'static str,
}

pub(super) const NOTIFICATIONS: Table = Table {
    stage: Stage::Notifications,
    what: "notifications",
    page: "select id, created_at, state <> 'waiting' and created_at < $3 from notifications where id > $1 order by id limit $2",
    delete: "delete from notifications where id = any($1) and state <> 'waiting'",
};

/// The newest event of an asset stays, and so does what a dag still waits with.
pub(super) const ASSET_EVENTS: Table = Table {
    stage: Stage::AssetEvents,
    what: "asset_events",
    page: "select e.id, e.at, e.at < $3 and not exists (select 1 from asset_queue q where q.event = e.id)
                and exists (select 1 from asset_events n where n.asset = e.asset and n.id > e.id)
           from asset_events e where e.id > $1 order by e.id limit $2",
    delete: "delete from asset_events e where e.id = any($1) and not exists (select 1 from asset_queue q where q.event = e.id)",
};

pub(super) const AUDIT: Table = Table {
    stage: Stage::Audit,
    what: "audit_log",
    page: "select id, at, at < $3 from audit_log where id > $1 order by id limit $2",
    delete: "delete from audit_log where id = any($1)",
};

pub(super) const BACKFILLS: Table = Table {
    stage: Stage::Backfills,
    what: "backfills",
    page: "select b.id, b.created_at, coalesce(b.ended_at < $3, false) and not exists (select 1 from runs r where r.backfill = b.id)
           from backfills b where b.id > $1 order by b.id limit $2",
    delete: "delete from backfills b where b.id = any($1) and not exists (select 1 from runs r where r.backfill = b.id)",
};

/// Rows of the ledger whose run is gone or never was. The newest row of a dag is where the planner goes on.
pub(crate) const TICKS: &str = "
select t.tick_at, t.run is null from ticks t
where t.dag_id = $1 and t.tick_at > $2 and t.tick_at < $3 and t.tick_at < (select max(m.tick_at) from ticks m where m.dag_id = $1)
order by t.tick_at limit $4";

/// Dags looked at by one step in which nothing is to be removed.
const DAGS_MAX: usize = 200;

impl Store {
    pub(super) async fn prune_rows(
        &self,
        table: &Table,
        cutoff: Option<DateTime<Utc>>,
        at: &Position,
        mode: Mode,
        now: DateTime<Utc>,
    ) -> Result<Step> {
        let Some(cutoff) = cutoff else { return Ok(Step::over(table.stage, Pruned::new())) };
        let page = sqlx::query_as::<_, (i64, DateTime<Utc>, bool)>(table.page)
            .bind(at.after.map_or(0, |(_, id)| id))
            .bind(STEP_ROWS)
            .bind(cutoff)
            .fetch_all(&self.pool)
            .await?;
        let going: Vec<i64> = page.iter().filter(|(_, _, goes)| *goes).map(|(id, ..)| *id).collect();
        let pruned = match mode {
            _ if going.is_empty() => Pruned::new(),
            Mode::Count => Pruned::from([(table.what, rows(going.len()))]),
            Mode::Remove => {
                let mut tx = self.begin().await?;
                let done = sqlx::query(table.delete).bind(&going).execute(&mut *tx).await?;
                let removed = i64::try_from(done.rows_affected()).unwrap_or(i64::MAX);
                let pruned = Pruned::from([(table.what, removed)]);
                count(&mut tx, &pruned, now).await?;
                tx.commit().await?;
                pruned
            }
        };
        Ok(match page.last() {
            Some((id, last_at, _)) if page.len() as i64 == STEP_ROWS && *last_at < cutoff => {
                let next = Position { after: Some((*last_at, *id)), ..at.clone() };
                Step::on(pruned, next)
            }
            _ => Step::over(table.stage, pruned),
        })
    }

    pub(super) async fn prune_ticks(
        &self,
        policy: &Policy,
        at: &Position,
        mode: Mode,
        now: DateTime<Utc>,
    ) -> Result<Step> {
        let Some(cutoff) = before(now, policy.ticks_days) else {
            return Ok(Step::over(Stage::Ticks, Pruned::new()));
        };
        let mut at = at.clone();
        for _ in 0..DAGS_MAX {
            if at.after.is_none() {
                let Some(dag) = next_dag(&mut *self.pool.acquire().await?, &at.dag).await? else {
                    return Ok(Step::over(Stage::Ticks, Pruned::new()));
                };
                at = Position { dag, after: Some((BEGINNING, 0)), ..at };
            }
            let page = sqlx::query_as::<_, (DateTime<Utc>, bool)>(TICKS)
                .bind(&at.dag)
                .bind(at.after.map_or(BEGINNING, |(tick, _)| tick))
                .bind(cutoff)
                .bind(STEP_ROWS)
                .fetch_all(&self.pool)
                .await?;
            let next = match page.last() {
                Some((tick, _)) if page.len() as i64 == STEP_ROWS => {
                    Position { after: Some((*tick, 0)), ..at.clone() }
                }
                _ => Position::after_dag(Stage::Ticks, at.dag.clone()),
            };
            let going: Vec<DateTime<Utc>> =
                page.into_iter().filter(|(_, goes)| *goes).map(|(tick, _)| tick).collect();
            if !going.is_empty() {
                let pruned = match mode {
                    Mode::Count => Pruned::from([("ticks", rows(going.len()))]),
                    Mode::Remove => self.remove_ticks(&at.dag, &going, now).await?,
                };
                return Ok(Step::on(pruned, next));
            }
            at = next;
        }
        Ok(Step::on(Pruned::new(), at))
    }

    async fn remove_ticks(
        &self,
        dag_id: &str,
        ticks: &[DateTime<Utc>],
        now: DateTime<Utc>,
    ) -> Result<Pruned> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("delete from ticks where dag_id = $1 and tick_at = any($2) and run is null")
            .bind(dag_id)
            .bind(ticks)
            .execute(&mut *tx)
            .await?;
        let pruned = Pruned::from([("ticks", i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))]);
        count(&mut tx, &pruned, now).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

fn rows(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
