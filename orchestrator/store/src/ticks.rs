//! The tick ledger: each time a dag should fire is in exactly one row; many that are skipped for the same reason share one.

use crate::runs::{NewRun, insert_runs};
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::HashMap;

#[derive(Debug, Clone)]
pub enum TickDecision {
    Ran(NewRun),
    Skipped {
        reason: String,
    },
    /// This tick and those before it from `first` on, `count` in all.
    SkippedMany {
        first: DateTime<Utc>,
        count: u64,
        reason: String,
    },
    /// Taken together with a later tick.
    Merged {
        into: DateTime<Utc>,
    },
}

impl Store {
    /// Writes ledger rows and the runs that they ask for in one transaction. Ticks not after the newest that has a row are left alone, so
    /// two planners do no harm. Returns the runs created (internal ids). A run id that exists already (a person was faster) is not made
    /// twice: the tick names that run. The same holds of a tick that a backfill was faster to run.
    pub async fn record_ticks(
        &self,
        dag_id: &str,
        ticks: &[(DateTime<Utc>, TickDecision)],
        now: DateTime<Utc>,
    ) -> Result<Vec<i64>> {
        if ticks.is_empty() {
            return Ok(Vec::new());
        }
        in_tx("record ticks", || self.record_ticks_once(dag_id, ticks, now)).await
    }

    async fn record_ticks_once(
        &self,
        dag_id: &str,
        ticks: &[(DateTime<Utc>, TickDecision)],
        now: DateTime<Utc>,
    ) -> Result<Vec<i64>> {
        let mut tx = self.begin().await?;
        let mut new: Vec<_> = lock_and_find_new(&mut tx, dag_id, ticks).await?.into_iter().cloned().collect();
        name_what_is_filled_in(&mut tx, dag_id, &mut new).await?;
        let runs: Vec<NewRun> = new.iter().filter_map(|(_, decision)| decision.run()).cloned().collect();
        if let Some(stray) = runs.iter().find(|run| run.dag_id != dag_id) {
            let message = format!("a tick of dag '{dag_id}' may not start a run of dag '{}'", stray.dag_id);
            return Err(Error::Refused { message });
        }
        let created = if runs.is_empty() { Vec::new() } else { insert_runs(&mut tx, &runs, now).await? };
        insert_ticks(&mut tx, dag_id, &new.iter().collect::<Vec<_>>(), now).await?;
        if !created.is_empty() {
            ring(&mut tx, "runs").await?;
        }
        tx.commit().await?;
        Ok(created.into_iter().map(|(id, _)| id).collect())
    }
}

impl TickDecision {
    fn run(&self) -> Option<&NewRun> {
        match self {
            TickDecision::Ran(run) => Some(run),
            TickDecision::Skipped { .. } | TickDecision::SkippedMany { .. } | TickDecision::Merged { .. } => {
                None
            }
        }
    }

    /// The first tick that the row stands for, if there are several, and how many there are.
    fn span(&self) -> (Option<DateTime<Utc>>, i64) {
        match self {
            TickDecision::SkippedMany { first, count, .. } => {
                (Some(*first), i64::try_from(*count).unwrap_or(i64::MAX))
            }
            TickDecision::Ran(_) | TickDecision::Skipped { .. } | TickDecision::Merged { .. } => (None, 1),
        }
    }
}

/// Locks the dag, so that planners come one after the other, and returns the ticks after the newest that has a row. The ledger grows at
/// its end only: an older tick, or a span that begins earlier, is the plan of somebody who knew less.
async fn lock_and_find_new<'a>(
    conn: &mut PgConnection,
    dag_id: &str,
    ticks: &'a [(DateTime<Utc>, TickDecision)],
) -> Result<Vec<&'a (DateTime<Utc>, TickDecision)>> {
    let locked = sqlx::query("select 1 from dags where dag_id = $1 for no key update")
        .bind(dag_id)
        .fetch_optional(&mut *conn)
        .await?;
    if locked.is_none() {
        return Err(Error::NotFound { what: format!("dag '{dag_id}'") });
    }
    let begins = ticks.iter().map(|(at, decision)| decision.span().0.unwrap_or(*at));
    let instants: Vec<DateTime<Utc>> = begins.collect();
    let new = sqlx::query_scalar::<_, i64>(
        "select min(w.position) from unnest($2::timestamptz[]) with ordinality as w(tick_at, position)
         where not exists (select 1 from ticks t where t.dag_id = $1 and t.tick_at >= w.tick_at)
         group by w.tick_at order by w.tick_at",
    )
    .bind(dag_id)
    .bind(instants)
    .fetch_all(conn)
    .await?;
    Ok(new.into_iter().filter_map(|position| ticks.get(usize::try_from(position - 1).ok()?)).collect())
}

/// A tick that had come but had no row yet when a backfill was made has its run from that: it is not run twice.
async fn name_what_is_filled_in(
    conn: &mut PgConnection,
    dag_id: &str,
    ticks: &mut [(DateTime<Utc>, TickDecision)],
) -> Result<()> {
    let ran = ticks.iter().filter(|(_, decision)| decision.run().is_some());
    let instants: Vec<DateTime<Utc>> = ran.map(|(at, _)| *at).collect();
    if instants.is_empty() {
        return Ok(());
    }
    let filled_in: HashMap<DateTime<Utc>, String> = sqlx::query_as::<_, (DateTime<Utc>, String)>(
        "select logical_date, run_id from runs where dag_id = $1 and logical_date = any($2) and run_type = 'backfill' order by id",
    )
    .bind(dag_id)
    .bind(instants)
    .fetch_all(conn)
    .await?
    .into_iter()
    .collect();
    for (at, decision) in ticks {
        if let (TickDecision::Ran(run), Some(run_id)) = (decision, filled_in.get(at)) {
            run.run_id.clone_from(run_id);
        }
    }
    Ok(())
}

pub(crate) async fn insert_ticks(
    conn: &mut PgConnection,
    dag_id: &str,
    ticks: &[&(DateTime<Utc>, TickDecision)],
    now: DateTime<Utc>,
) -> Result<()> {
    let instants: Vec<DateTime<Utc>> = ticks.iter().map(|(at, _)| *at).collect();
    let decisions = ticks.iter().map(|(_, decision)| match decision {
        TickDecision::Ran(_) => "ran",
        TickDecision::Skipped { .. } | TickDecision::SkippedMany { .. } => "skipped",
        TickDecision::Merged { .. } => "merged",
    });
    let reasons = ticks.iter().map(|(_, decision)| match decision {
        TickDecision::Skipped { reason } | TickDecision::SkippedMany { reason, .. } => Some(reason.as_str()),
        TickDecision::Ran(_) | TickDecision::Merged { .. } => None,
    });
    let merged_into = ticks.iter().map(|(_, decision)| match decision {
        TickDecision::Merged { into } => Some(*into),
        TickDecision::Ran(_) | TickDecision::Skipped { .. } | TickDecision::SkippedMany { .. } => None,
    });
    let (firsts, counts): (Vec<_>, Vec<_>) = ticks.iter().map(|(_, decision)| decision.span()).unzip();
    let run_ids = ticks.iter().map(|(_, decision)| decision.run().map(|run| run.run_id.as_str()));
    sqlx::query(
        "insert into ticks (dag_id, tick_at, decision, run, reason, merged_into, decided_at, first_at, ticks)
         select $1, t.tick_at, t.decision, (select r.id from runs r where r.dag_id = $1 and r.run_id = t.run_id), t.reason,
            t.merged_into, $7, t.first_at, t.ticks
         from unnest($2::timestamptz[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $8::timestamptz[], $9::int8[])
            as t(tick_at, decision, reason, merged_into, run_id, first_at, ticks)",
    )
    .bind(dag_id)
    .bind(instants)
    .bind(decisions.collect::<Vec<_>>())
    .bind(reasons.collect::<Vec<_>>())
    .bind(merged_into.collect::<Vec<_>>())
    .bind(run_ids.collect::<Vec<_>>())
    .bind(now)
    .bind(firsts)
    .bind(counts)
    .execute(conn)
    .await?;
    Ok(())
}
