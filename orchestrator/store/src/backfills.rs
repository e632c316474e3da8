//! Backfills: past ticks run (again) by plan, with a budget of their own.
//!
//! Not here: the plan (`backfill_plan`), and starting their runs, which is part of promoting.

pub use crate::backfill_plan::{Action, BackfillRequest, PlannedTick, Reprocess, TICKS_MAX};

use crate::backfill_plan::Plan;
use crate::rows::{clean, parse_json};
use crate::runs::{NewRun, RunType, cancel_queued, insert_runs, request_cancels};
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store, audit, clear};
use chrono::{DateTime, SecondsFormat, Utc};
use model::Dag;
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::sync::Arc;

/// Rows of one statement.
const STEP: usize = 500;

/// Only open backfills and open runs are looked at.
pub(crate) const COMPLETE: &str = "
update backfills b set state = 'completed', ended_at = $1
where b.ended_at is null
   and not exists (select 1 from runs r where r.dag_id = b.dag_id and r.state = 'queued' and r.backfill = b.id)
   and not exists (select 1 from runs r where r.dag_id = b.dag_id and r.state = 'running' and r.backfill = b.id)";

impl Store {
    /// Carries the plan of this instant out: makes runs for gaps, clears what is run again on the newest version. Nothing to do is refused.
    pub async fn create_backfill(
        &self,
        request: &BackfillRequest,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<(i64, Vec<PlannedTick>)> {
        in_tx("create backfill", || self.create_backfill_once(request, who, now)).await
    }

    async fn create_backfill_once(
        &self,
        request: &BackfillRequest,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<(i64, Vec<PlannedTick>)> {
        let mut tx = self.begin().await?;
        lock_dag(&mut tx, &request.dag_id).await?;
        let plan = self.plan_on(&mut tx, request, now).await?;
        let planned = plan.ticks.iter().filter(|tick| tick.action != Action::Skip).count();
        if planned == 0 {
            let why = plan.ticks.first().map(|tick| tick.reason.clone()).unwrap_or_default();
            let message = format!(
                "nothing to do: none of its {} ticks is to be run (the first: {why})",
                plan.ticks.len()
            );
            return Err(Error::Refused { message });
        }
        let id = insert(&mut tx, request, planned, who, now).await?;
        let dag = self.version_on(&mut tx, plan.version_id).await?;
        self.create_runs(&mut tx, id, request, &plan, &dag, who, now).await?;
        self.rerun_runs(&mut tx, id, request, &plan, &dag, now).await?;
        let details = json!({
            "dag": request.dag_id, "from": request.from, "to": request.to, "reprocess": request.reprocess.as_str(), "runs": planned,
            "run_backwards": request.run_backwards, "max_active_runs": request.max_active_runs,
        });
        let subject = format!("{}/backfill/{id}", request.dag_id);
        let details = audit::because(details, &request.reason);
        audit::record(&mut tx, who, "backfill.create", &subject, &details, now).await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok((id, plan.ticks))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    async fn create_runs(
        &self,
        conn: &mut PgConnection,
        id: i64,
        request: &BackfillRequest,
        plan: &Plan,
        dag: &Arc<Dag>,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let params = request.params_for(dag, &Value::Null)?;
        let gaps: Vec<&PlannedTick> =
            plan.ticks.iter().filter(|tick| tick.action == Action::Create).collect();
        for gaps in gaps.chunks(STEP) {
            let runs: Vec<NewRun> = gaps
                .iter()
                .map(|gap| NewRun {
                    dag_id: request.dag_id.clone(),
                    run_id: format!("backfill__{}", gap.tick.to_rfc3339_opts(SecondsFormat::AutoSi, false)),
                    version_id: plan.version_id,
                    run_type: RunType::Backfill,
                    window: gap.window,
                    logical_date: Some(gap.tick),
                    run_after: gap.tick,
                    params: params.clone(),
                    requested_by: who.to_owned(),
                    note: None,
                })
                .collect();
            let made = insert_runs(conn, &runs, now).await?;
            belong(conn, id, &made.into_iter().map(|(run, _)| run).collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    async fn rerun_runs(
        &self,
        conn: &mut PgConnection,
        id: i64,
        request: &BackfillRequest,
        plan: &Plan,
        dag: &Arc<Dag>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let ticks = plan.ticks.iter().filter(|tick| tick.action == Action::Rerun);
        let mut runs: Vec<(i64, i64)> = ticks
            .filter_map(|tick| plan.existing.get(&tick.tick))
            .map(|run| (run.id, run.version_id))
            .collect();
        runs.sort_unstable();
        for runs in runs.chunks(STEP) {
            let ids: Vec<i64> = runs.iter().map(|(run, _)| *run).collect();
            let locked = lock_ended(conn, &ids).await?;
            for (run, params) in &locked {
                let version_id =
                    runs.iter().find(|(id, _)| id == run).map_or(plan.version_id, |(_, version)| *version);
                if version_id != plan.version_id {
                    self.move_to_newest(conn, &request.dag_id, *run, version_id).await?;
                }
                let old: Value = parse_json("runs", "params", *run, params)?;
                let params = request.params_for(dag, &old)?;
                if params != old {
                    clear::set_params(conn, *run, &params).await?;
                }
            }
            let ids: Vec<i64> = locked.into_iter().map(|(run, _)| run).collect();
            clear::reset_all(conn, &ids).await?;
            clear::forget_items(conn, &ids, None).await?;
            clear::requeue(conn, &ids, now).await?;
            belong(conn, id, &ids).await?;
        }
        Ok(())
    }

    /// A paused backfill starts no further run; those that run go on.
    pub async fn pause_backfill(
        &self,
        id: i64,
        paused: bool,
        who: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let (dag_id, state) = lock_backfill(&mut tx, id).await?;
        let (to, action) =
            if paused { ("paused", "backfill.pause") } else { ("running", "backfill.unpause") };
        if state != "paused" && state != "running" {
            return Err(Error::Refused { message: format!("backfill {id} is {state} already") });
        }
        sqlx::query("update backfills set state = $2 where id = $1")
            .bind(id)
            .bind(to)
            .execute(&mut *tx)
            .await?;
        let subject = format!("{dag_id}/backfill/{id}");
        audit::record(&mut tx, who, action, &subject, &audit::because(json!({ "was": state }), reason), now)
            .await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Cancels what of it waits, and asks what of it runs to end. Returns how many runs that were.
    pub async fn cancel_backfill(
        &self,
        id: i64,
        who: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<usize> {
        in_tx("cancel backfill", || self.cancel_backfill_once(id, who, reason, now)).await
    }

    async fn cancel_backfill_once(
        &self,
        id: i64,
        who: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<usize> {
        let mut tx = self.begin().await?;
        let (dag_id, state) = lock_backfill(&mut tx, id).await?;
        if state != "paused" && state != "running" {
            return Err(Error::Refused { message: format!("backfill {id} is {state} already") });
        }
        let open = sqlx::query_scalar::<_, i64>(
            "select id from runs where backfill = $1 and state in ('queued', 'running') order by id for no key update",
        )
        .bind(id)
        .fetch_all(&mut *tx)
        .await?;
        cancel_queued(&mut tx, &open, Some("its backfill was cancelled"), now).await?;
        request_cancels(&mut tx, &open, now).await?;
        sqlx::query("update backfills set state = 'cancelled', ended_at = $2 where id = $1")
            .bind(id)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        let details = audit::because(json!({ "runs": open.len() }), reason);
        audit::record(&mut tx, who, "backfill.cancel", &format!("{dag_id}/backfill/{id}"), &details, now)
            .await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok(open.len())
    }

    /// Backfills without an open run are completed. Returns how many were.
    pub async fn complete_backfills(&self, now: DateTime<Utc>) -> Result<usize> {
        let done = sqlx::query(COMPLETE).bind(now).execute(&self.pool).await?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
    }
}

async fn lock_dag(conn: &mut PgConnection, dag_id: &str) -> Result<()> {
    sqlx::query("select 1 from dags where dag_id = $1 for no key update").bind(dag_id).execute(conn).await?;
    Ok(())
}

/// The dag first, as everywhere. Returns the dag and the state.
async fn lock_backfill(conn: &mut PgConnection, id: i64) -> Result<(String, String)> {
    let unknown = || Error::NotFound { what: format!("backfill {id}") };
    let dag_id = sqlx::query_scalar::<_, String>("select dag_id from backfills where id = $1")
        .bind(id)
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(unknown)?;
    lock_dag(conn, &dag_id).await?;
    let state = sqlx::query_scalar::<_, String>("select state from backfills where id = $1 for update")
        .bind(id)
        .fetch_optional(conn)
        .await?
        .ok_or_else(unknown)?;
    Ok((dag_id, state))
}

async fn insert(
    conn: &mut PgConnection,
    request: &BackfillRequest,
    planned: usize,
    who: &str,
    now: DateTime<Utc>,
) -> Result<i64> {
    let params = if request.params.is_null() { json!({}) } else { request.params.clone() };
    let id = sqlx::query_scalar(
        "insert into backfills (dag_id, from_at, to_at, reprocess, max_active_runs, run_backwards, params, state, requested_by, reason,
            runs_planned, created_at)
         values ($1, $2, $3, $4, $5, $6, $7::json, 'running', $8, $9, $10, $11) returning id",
    )
    .bind(&request.dag_id)
    .bind(request.from)
    .bind(request.to)
    .bind(request.reprocess.as_str())
    .bind(i32::try_from(request.max_active_runs).unwrap_or(i32::MAX))
    .bind(request.run_backwards)
    .bind(params.to_string())
    .bind(clean(who))
    .bind(clean(&request.reason))
    .bind(i32::try_from(planned).unwrap_or(i32::MAX))
    .bind(now)
    .fetch_one(conn)
    .await?;
    Ok(id)
}

/// Locks runs, ascending by id; those that have moved on since the plan was made are left out.
async fn lock_ended(conn: &mut PgConnection, runs: &[i64]) -> Result<Vec<(i64, String)>> {
    let locked = sqlx::query_as(
        "select id, params::text from runs where id = any($1) and state in ('success', 'failed', 'cancelled') order by id for no key update",
    )
    .bind(runs)
    .fetch_all(conn)
    .await?;
    Ok(locked)
}

/// The runs are of this backfill from now on; those that were of another one are told there as taken over.
async fn belong(conn: &mut PgConnection, id: i64, runs: &[i64]) -> Result<()> {
    sqlx::query(
        "with taken as (
            update backfills b set runs_taken = b.runs_taken + o.runs
            from (select backfill, count(*)::int4 as runs from runs where id = any($2) and backfill <> $1 group by backfill) o
            where b.id = o.backfill
         )
         update runs set backfill = $1, run_type = 'backfill', revision = revision + 1 where id = any($2)",
    )
    .bind(id)
    .bind(runs)
    .execute(conn)
    .await?;
    Ok(())
}
