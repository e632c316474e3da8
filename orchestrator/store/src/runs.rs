//! Runs: created, promoted, advanced, finished.

use crate::attempts::{Claim, Claimed};
use crate::audit::{self, By};
use crate::copies::Lent;
use crate::past;
use crate::rows::{clean, parse, parse_json};
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store};
use chrono::{DateTime, Utc};
use model::{RunState, Window};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunType {
    Scheduled,
    Manual,
    Backfill,
    AssetTriggered,
}

/// A run to be; it starts `queued`.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub dag_id: String,
    /// `scheduled__2026-11-22T10:05:00+00:00`, `manual__...`, or the caller's own.
    pub run_id: String,
    pub version_id: i64,
    pub run_type: RunType,
    pub window: Option<Window>,
    /// The tick, or the date that who asked for it gave. What people know as the logical date is the start of the window, if it has one.
    pub logical_date: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    /// Checked against the dag's params by the caller (`model::params`).
    pub params: Value,
    pub requested_by: String,
    pub note: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Run {
    pub id: i64,
    pub dag_id: String,
    pub run_id: String,
    pub version_id: i64,
    pub run_type: RunType,
    pub state: RunState,
    pub window: Option<Window>,
    pub logical_date: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub params: Value,
    pub requested_by: String,
    pub note: Option<String>,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub cancel_requested_at: Option<DateTime<Utc>>,
}

/// What one step of a run brought.
#[derive(Debug, Default)]
pub struct Advanced {
    /// Attempts queued by this step.
    pub queued: usize,
    /// Attempts claimed by this node in the same transaction.
    pub claimed: Vec<Claimed>,
    pub finished: Option<RunState>,
    /// When the run must be looked at again (retry, poke) if nothing happens before.
    pub wake_at: Option<DateTime<Utc>>,
}

impl RunType {
    pub fn as_str(self) -> &'static str {
        match self {
            RunType::Scheduled => "scheduled",
            RunType::Manual => "manual",
            RunType::Backfill => "backfill",
            RunType::AssetTriggered => "asset_triggered",
        }
    }
}

impl std::str::FromStr for RunType {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [RunType::Scheduled, RunType::Manual, RunType::Backfill, RunType::AssetTriggered]
            .into_iter()
            .find(|run_type| run_type.as_str() == text)
            .ok_or_else(|| format!("'{text}' is no run type (scheduled, manual, backfill, asset_triggered)"))
    }
}

#[derive(FromRow)]
pub(crate) struct RunRow {
    id: i64,
    dag_id: String,
    run_id: String,
    version_id: i64,
    run_type: String,
    state: String,
    window_start: Option<DateTime<Utc>>,
    window_end: Option<DateTime<Utc>>,
    logical_date: Option<DateTime<Utc>>,
    run_after: DateTime<Utc>,
    params: String,
    requested_by: String,
    note: Option<String>,
    queued_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    cancel_requested_at: Option<DateTime<Utc>>,
}

impl RunRow {
    pub(crate) fn into_run(self) -> Result<Run> {
        Ok(Run {
            run_type: parse("runs", "run_type", self.id, &self.run_type)?,
            state: parse("runs", "state", self.id, &self.state)?,
            window: self.window_start.zip(self.window_end).map(|(start, end)| Window { start, end }),
            params: parse_json("runs", "params", self.id, &self.params)?,
            id: self.id,
            dag_id: self.dag_id,
            run_id: self.run_id,
            version_id: self.version_id,
            logical_date: self.logical_date,
            run_after: self.run_after,
            requested_by: self.requested_by,
            note: self.note,
            queued_at: self.queued_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
            cancel_requested_at: self.cancel_requested_at,
        })
    }
}

impl Store {
    /// Creates a run and rings the bell. The same run id of the same dag twice is `Error::Duplicate`.
    pub async fn trigger(&self, run: NewRun, now: DateTime<Utc>) -> Result<Run> {
        let mut tx = self.begin().await?;
        let made = trigger_on(&mut tx, &run, now).await?;
        tx.commit().await?;
        Ok(made)
    }

    pub async fn run(&self, dag_id: &str, run_id: &str) -> Result<Option<Run>> {
        let row =
            sqlx::query_as::<_, RunRow>(BY_NAME).bind(dag_id).bind(run_id).fetch_optional(&self.pool).await?;
        row.map(RunRow::into_run).transpose()
    }

    /// By its internal number.
    pub async fn run_by_number(&self, run: i64) -> Result<Option<Run>> {
        let row = sqlx::query_as::<_, RunRow>(BY_NUMBER).bind(run).fetch_optional(&self.pool).await?;
        row.map(RunRow::into_run).transpose()
    }

    /// Whether a task of the run has failed so far.
    pub async fn has_failures(&self, run: i64) -> Result<bool> {
        let failed = sqlx::query_scalar(
            "select exists (select 1 from task_instances where run = $1 and state in ('failed', 'upstream_failed'))",
        );
        Ok(failed.bind(run).fetch_one(&self.pool).await?)
    }

    /// The newest run of the dag with exactly this window, or with this logical date: the start of its window, or without one its own.
    pub async fn run_for(
        &self,
        dag_id: &str,
        window: Option<Window>,
        logical_date: Option<DateTime<Utc>>,
    ) -> Result<Option<(String, RunState)>> {
        let found = sqlx::query_as::<_, (i64, String, String)>(
            "(select id, run_id, state from runs where dag_id = $1 and window_start = $2 and window_end = $3 order by id desc limit 1)
             union all
             (select id, run_id, state from runs where dag_id = $1 and window_start = $4 order by id desc limit 1)
             union all
             (select id, run_id, state from runs where dag_id = $1 and logical_date = $4 and window_start is null order by id desc limit 1)
             order by id desc limit 1",
        )
        .bind(dag_id)
        .bind(window.map(|window| window.start))
        .bind(window.map(|window| window.end))
        .bind(logical_date)
        .fetch_optional(&self.pool)
        .await?;
        found.map(|(id, run_id, state)| Ok((run_id, parse("runs", "state", id, &state)?))).transpose()
    }

    /// Asks for the end of a run; a queued one is cancelled at once. Final runs: `Error::Refused`.
    pub async fn request_cancel(
        &self,
        dag_id: &str,
        run_id: &str,
        by: impl Into<By<'_>>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let by = by.into();
        in_tx("request cancel", || self.request_cancel_once(dag_id, run_id, by, now)).await
    }

    async fn request_cancel_once(
        &self,
        dag_id: &str,
        run_id: &str,
        by: By<'_>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let (id, state) = lock_named(&mut tx, dag_id, run_id).await?;
        match state {
            RunState::Queued => cancel_queued(&mut tx, &[id], None, now).await?,
            RunState::Running => request_cancels(&mut tx, &[id], now).await?,
            state => {
                let message = format!(
                    "run '{run_id}' of dag '{dag_id}' has ended already ({state}): nothing to cancel"
                );
                return Err(Error::Refused { message });
            }
        }
        let subject = format!("{dag_id}/{run_id}");
        let details = audit::because(serde_json::json!({ "state": state }), by.reason);
        audit::record(&mut tx, by.who, "run.cancel", &subject, &details, now).await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok(())
    }

    /// One step of one run: lock, snapshot, `model::decide`, apply, and claim what fits, in one transaction. A run that is not running is left
    /// alone.
    pub async fn advance(&self, run: i64, now: DateTime<Utc>, claim: Option<&Claim>) -> Result<Advanced> {
        let lent = self.copies.lend([run].into()).await;
        in_tx("advance", || self.advance_once(run, now, claim, &lent)).await
    }

    async fn advance_once(
        &self,
        run: i64,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
        lent: &Lent,
    ) -> Result<Advanced> {
        let mut tx = self.begin().await?;
        let mut runs = self.lock_runs(&mut tx, &[run]).await?;
        runs.retain(|run| run.state == RunState::Running);
        if runs.is_empty() {
            return Ok(Advanced::default());
        }
        let stepped = self.step(&mut tx, runs, Vec::new(), (now, claim), lent).await?;
        tx.commit().await?;
        self.copies.keep(lent, stepped.copies);
        Ok(stepped.runs.into_iter().next().map(|(_, advanced)| advanced).unwrap_or_default())
    }

    /// Running runs that have something due (retry or poke time come, cancel requested), and the next instant at which one will have. An end
    /// needs no following up: it is one transaction with the step after it.
    pub async fn due_runs(
        &self,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<(Vec<i64>, Option<DateTime<Utc>>)> {
        let due = sqlx::query_scalar::<_, i64>(
            "select id from runs where wake_at <= $1 order by wake_at, id limit $2",
        )
        .bind(now)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let next = sqlx::query_scalar::<_, Option<DateTime<Utc>>>(
            "select min(wake_at) from runs where wake_at > $1",
        )
        .bind(now)
        .fetch_one(&self.pool)
        .await?;
        Ok((due, next))
    }

    /// The next `run_after` of a queued run in the future, for the timer.
    pub async fn next_run_after(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let next =
            sqlx::query_scalar("select min(run_after) from runs where state = 'queued' and run_after > $1")
                .bind(now)
                .fetch_one(&self.pool)
                .await?;
        Ok(next)
    }
}

const BY_ID: &str = "
select id, dag_id, run_id, version_id, run_type, state, window_start, window_end, logical_date, run_after, params::text as params,
    requested_by, note, queued_at, started_at, ended_at, cancel_requested_at
from runs where id = $1";

/// Those of these ids.
pub(crate) const BY_IDS: &str = "
select id, dag_id, run_id, version_id, run_type, state, window_start, window_end, logical_date, run_after, params::text as params,
    requested_by, note, queued_at, started_at, ended_at, cancel_requested_at
from runs where id = any($1)";

const BY_NAME: &str = "
select id, dag_id, run_id, version_id, run_type, state, window_start, window_end, logical_date, run_after, params::text as params,
    requested_by, note, queued_at, started_at, ended_at, cancel_requested_at
from runs where dag_id = $1 and run_id = $2";

const BY_NUMBER: &str = "
select id, dag_id, run_id, version_id, run_type, state, window_start, window_end, logical_date, run_after, params::text as params,
    requested_by, note, queued_at, started_at, ended_at, cancel_requested_at
from runs where id = $1";

pub(crate) async fn trigger_on(conn: &mut PgConnection, run: &NewRun, now: DateTime<Utc>) -> Result<Run> {
    let known = sqlx::query_scalar::<_, bool>(
        "select exists (select 1 from dag_versions where id = $1 and dag_id = $2)",
    )
    .bind(run.version_id)
    .bind(&run.dag_id)
    .fetch_one(&mut *conn)
    .await?;
    if !known {
        let what = format!("version {} of dag '{}'", run.version_id, run.dag_id);
        return Err(Error::NotFound { what });
    }
    let id = insert_runs(conn, std::slice::from_ref(run), now).await?.into_iter().next();
    let Some((id, _)) = id else {
        let what = format!("run '{}' of dag '{}'", run.run_id, run.dag_id);
        return Err(Error::Duplicate { what });
    };
    ring(conn, "runs").await?;
    let row = sqlx::query_as::<_, RunRow>(BY_ID).bind(id).fetch_one(conn).await?;
    row.into_run()
}

/// Locks a run by its public name.
pub(crate) async fn lock_named(
    conn: &mut PgConnection,
    dag_id: &str,
    run_id: &str,
) -> Result<(i64, RunState)> {
    let row = sqlx::query_as::<_, (i64, String)>(
        "select id, state from runs where dag_id = $1 and run_id = $2 for no key update",
    )
    .bind(dag_id)
    .bind(run_id)
    .fetch_optional(conn)
    .await?;
    let (id, state) =
        row.ok_or_else(|| Error::NotFound { what: format!("run '{run_id}' of dag '{dag_id}'") })?;
    Ok((id, parse("runs", "state", id, &state)?))
}

/// Inserts queued runs with one statement; a run id that the dag has already is left alone. Returns (id, run id) of the new ones.
pub(crate) async fn insert_runs(
    conn: &mut PgConnection,
    runs: &[NewRun],
    now: DateTime<Utc>,
) -> Result<Vec<(i64, String)>> {
    let column = |value: fn(&NewRun) -> Option<DateTime<Utc>>| runs.iter().map(value).collect::<Vec<_>>();
    let rows = sqlx::query_as(
        "insert into runs (dag_id, run_id, version_id, run_type, state, window_start, window_end, logical_date, run_after, params,
            requested_by, note, queued_at)
         select dag_id, run_id, version_id, run_type, 'queued', window_start, window_end, logical_date, run_after, params::json,
            requested_by, note, $12
         from unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[], $9::text[], $10::text[], $11::text[]) with ordinality
            as r(dag_id, run_id, version_id, run_type, window_start, window_end, logical_date, run_after, params, requested_by, note, position)
         order by position
         on conflict (dag_id, run_id) do nothing
         returning id, run_id",
    )
    .bind(runs.iter().map(|run| run.dag_id.as_str()).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| clean(&run.run_id).into_owned()).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.version_id).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.run_type.as_str()).collect::<Vec<_>>())
    .bind(column(|run| run.window.map(|window| window.start)))
    .bind(column(|run| run.window.map(|window| window.end)))
    .bind(column(|run| run.logical_date))
    .bind(column(|run| Some(run.run_after)))
    .bind(runs.iter().map(|run| run.params.to_string()).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| clean(&run.requested_by).into_owned()).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.note.as_deref().map(|note| clean(note).into_owned())).collect::<Vec<_>>())
    .bind(now)
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Cancels runs that have not begun, and what a clear left open in them.
pub(crate) async fn cancel_queued(
    conn: &mut PgConnection,
    runs: &[i64],
    note: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "with ended as (
            update runs set state = 'cancelled', ended_at = $2, note = concat_ws(E'\\n', note, $3), revision = revision + 1
            where id = any($1) and state = 'queued' returning id
         )
         update task_instances i set state = 'cancelled', ended_at = $2, next_at = null, message = 'the run is cancelled'
         from ended e where i.run = e.id and task_may_become(i.state, 'cancelled')",
    )
    .bind(runs)
    .bind(now)
    .bind(note)
    .execute(&mut *conn)
    .await?;
    // What waits for its past may wait for nothing now: items that a clear had put back are no more.
    past::wake_after(conn, runs, now).await
}

/// Asks running runs to end; the next step of each stops what is live.
pub(crate) async fn request_cancels(conn: &mut PgConnection, runs: &[i64], now: DateTime<Utc>) -> Result<()> {
    sqlx::query(
        "update runs set cancel_requested_at = $2, wake_at = $2, revision = revision + 1
         where id = any($1) and state = 'running' and cancel_requested_at is null",
    )
    .bind(runs)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
