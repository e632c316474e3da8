//! Dags whose next run starts when the one before has ended.

use crate::assets::{after, default_params, window_of};
use crate::runs::{NewRun, RunType, insert_runs};
use crate::ticks::{TickDecision, insert_ticks};
use crate::tx::{in_tx, ring};
use crate::{Result, Store};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// Between two starts of one dag: a run of nothing must not fill the history.
const DISTANCE: TimeDelta = TimeDelta::seconds(1);

/// What became of one dag.
enum Made {
    Run,
    /// Its next run may start only then.
    Later(DateTime<Utc>),
    /// Somebody else was faster, or it may not run.
    Nothing,
}

/// Dags whose next run may be due.
pub(crate) const CONTINUOUS: &str = "
select d.dag_id from dags d
where d.present and d.schedule_kind = 'continuous' and not d.paused
   and not exists (select 1 from runs r where r.dag_id = d.dag_id and r.state = 'queued')
   and not exists (select 1 from runs r where r.dag_id = d.dag_id and r.state = 'running')
order by d.dag_id";

impl Store {
    /// Makes a run, and its row in the ledger, of each present dag on `@continuous` that is not paused and has no open run. At most one a
    /// second of each dag. Returns how many were made, and the next instant at which one will be due.
    pub async fn continuous_due(&self, now: DateTime<Utc>) -> Result<(usize, Option<DateTime<Utc>>)> {
        let dags = sqlx::query_scalar::<_, String>(CONTINUOUS).fetch_all(&self.pool).await?;
        let (mut made, mut next) = (0, None::<DateTime<Utc>>);
        for dag_id in dags {
            match in_tx("continuous due", || self.make_continuous(&dag_id, now)).await? {
                Made::Run => made += 1,
                Made::Later(at) => next = Some(next.map_or(at, |next| next.min(at))),
                Made::Nothing => {}
            }
        }
        Ok((made, next))
    }

    async fn make_continuous(&self, dag_id: &str, now: DateTime<Utc>) -> Result<Made> {
        let mut tx = self.begin().await?;
        sqlx::query("select 1 from dags where dag_id = $1 for no key update")
            .bind(dag_id)
            .execute(&mut *tx)
            .await?;
        // A statement of its own: it sees the run that was made while the lock was waited for.
        let due = sqlx::query_as::<_, (i64, Option<DateTime<Utc>>)>(
            "select version_id, (select max(tick_at) from ticks t where t.dag_id = d.dag_id) from dags d
             where dag_id = $1 and present and not paused and schedule_kind = 'continuous' and version_id is not null
                and not exists (select 1 from runs r where r.dag_id = d.dag_id and r.state = 'queued')
                and not exists (select 1 from runs r where r.dag_id = d.dag_id and r.state = 'running')",
        )
        .bind(dag_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((version_id, last_tick)) = due else { return Ok(Made::Nothing) };
        let dag = self.version_on(&mut tx, version_id).await?;
        let tick = after(last_tick, now, DISTANCE).max(dag.start.unwrap_or(now));
        if tick > now {
            return Ok(Made::Later(tick));
        }
        let run = NewRun {
            dag_id: dag_id.to_owned(),
            run_id: format!("continuous__{}", tick.to_rfc3339_opts(SecondsFormat::Micros, false)),
            version_id,
            run_type: RunType::Scheduled,
            window: window_of(&dag, last_tick, tick),
            logical_date: Some(tick),
            run_after: tick,
            params: default_params(&dag),
            requested_by: "schedule".to_owned(),
            note: None,
        };
        let made = insert_runs(&mut tx, std::slice::from_ref(&run), now).await?;
        insert_ticks(&mut tx, dag_id, &[&(tick, TickDecision::Ran(run))], now).await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok(if made.is_empty() { Made::Nothing } else { Made::Run })
    }
}
