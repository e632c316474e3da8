//! Live attempts: claimed under a lease, finished exactly once.

use crate::copies::{Lent, Place};
use crate::ends;
pub use crate::ends::{End, OUTPUTS_MAX_BYTES};
use crate::runs::Advanced;
use crate::snapshot::LockedRun;
use crate::step::take_commands;
use crate::tx::in_tx;
use crate::writes::Writes;
use crate::{Error, Result, Store};
use chrono::{DateTime, Utc};
use model::{Dag, Ending, Window};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// What a node can take now.
#[derive(Debug, Clone)]
pub struct Claim {
    pub node: Uuid,
    pub queues: Vec<String>,
    /// What this node owns, such as `warehouse`.
    pub routes: Vec<String>,
    /// Free slots for tasks.
    pub slots: usize,
    /// Free slots for services: they do not end, so they have their own.
    pub service_slots: usize,
}

/// An attempt that this node now holds.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub attempt_id: i64,
    /// The fencing token: each write for the attempt must show it.
    pub lease: i64,
    pub run: i64,
    pub dag: Arc<Dag>,
    pub dag_id: String,
    pub run_id: String,
    /// Position in `Dag::tasks`.
    pub task: usize,
    pub map_index: i32,
    pub try_number: i32,
    pub window: Option<Window>,
    pub logical_date: Option<DateTime<Utc>>,
    pub run_type: String,
    pub params: Value,
    pub requested_by: String,
    /// Outputs of the tasks that this one needs (directly or not), by task id; a mapped task's are an array.
    /// Empty if none of its templates names any.
    pub outputs: Value,
    /// Of `for_each`, whenever it became known.
    pub item: Option<Value>,
    /// When the first poke or this try began.
    pub first_started_at: DateTime<Utc>,
}

/// What a batch of ends brought.
#[derive(Debug, Default)]
pub struct Finished {
    /// One for each run that an attempt of the batch belongs to.
    pub runs: Vec<(i64, Advanced)>,
    /// Attempts whose lease was lost; nothing changed for them.
    pub stale: Vec<i64>,
}

impl Store {
    /// Takes queued attempts, by priority then age, `skip locked`. A node that is given up or never registered gets none.
    pub async fn claim(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Vec<Claimed>> {
        in_tx("claim", || async {
            let mut tx = self.begin().await?;
            let claimed = self.claim_on(&mut tx, claim, now).await?;
            tx.commit().await?;
            Ok(claimed)
        })
        .await
    }

    /// Ends an attempt: history row, next state by `model::ending::after`, then one step of the run, all in one transaction.
    /// A lost lease is `Error::Stale` and changes nothing.
    #[expect(clippy::too_many_arguments, reason = "one call an attempt's end, every part needed")]
    pub async fn finish(
        &self,
        attempt_id: i64,
        lease: i64,
        ending: Ending,
        outputs: Option<Value>,
        message: Option<String>,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Advanced> {
        let end = End { attempt_id, lease, ending, outputs, message };
        let finished = self.finish_batch(vec![end], now, claim).await?;
        match (finished.stale.is_empty(), finished.runs.into_iter().next()) {
            (true, Some((_, advanced))) => Ok(advanced),
            _ => Err(Error::Stale { what: format!("attempt {attempt_id}") }),
        }
    }

    /// Ends many attempts, of any runs, in one transaction with as many statements as one end has. An end with a lost lease changes
    /// nothing and is named in the answer; the others count.
    pub async fn finish_batch(
        &self,
        ends: Vec<End>,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Finished> {
        if ends.is_empty() {
            return Ok(Finished::default());
        }
        let places = self.copies.places(ends.iter().map(|end| end.attempt_id));
        let runs = places.iter().flatten().map(|(run, ..)| *run).collect();
        let lent = self.copies.lend(runs).await;
        let ids: Vec<i64> = ends.iter().map(|end| end.attempt_id).collect();
        let finished = match self.finish_at_once(&ends, places, (now, claim), &lent).await {
            Some(finished) => finished,
            None => in_tx("finish", || self.finish_once(ends.clone(), now, claim, &lent)).await?,
        };
        self.copies.ended(ids);
        Ok(finished)
    }

    /// With good copies of all runs, and nothing to look up, a step is one statement. `None`: it was not, and nothing has changed (or the
    /// reply was lost, which the longer way finds out).
    async fn finish_at_once(
        &self,
        ends: &[End],
        places: Option<Vec<Place>>,
        (now, claim): (DateTime<Utc>, Option<&Claim>),
        lent: &Lent,
    ) -> Option<Finished> {
        let places = places?;
        let mut copies: BTreeMap<i64, LockedRun> = BTreeMap::new();
        for (run, ..) in &places {
            if !copies.contains_key(run)
                && let Some(copy) = lent.take(*run, None)
            {
                copies.insert(*run, copy);
            }
        }
        let is_plain = |(run, task, _): &Place| {
            let Some(run) = copies.get(run) else { return false };
            let def = usize::try_from(*task).ok().and_then(|task| run.dag.tasks.get(task));
            def.is_some_and(|def| def.service.is_none()) && !run.has_past
        };
        if !places.iter().all(is_plain) {
            copies.into_values().for_each(|copy| lent.give_back(copy));
            return None;
        }
        let (mut writes, mut advanced) = (Writes::default(), Vec::new());
        for (end, (run, task, map_index)) in ends.iter().zip(&places) {
            let run = copies.get_mut(run)?;
            ends::apply(run, (*task, *map_index), end.clone(), Vec::new(), &mut writes, now).ok()?;
        }
        let mut runs: Vec<LockedRun> = copies.into_values().collect();
        for run in &mut runs {
            let mut outcome = Advanced::default();
            let rest = take_commands(run, &mut writes, &mut outcome, now).ok()?;
            if !rest.is_empty() {
                return None;
            }
            advanced.push((run.id, outcome));
        }
        let wakes: Vec<_> = advanced.iter().map(|(_, advanced)| advanced.wake_at).collect();
        let mut conn = self.pool.acquire().await.ok()?;
        let rows = writes.flush(&mut conn, &mut runs, &wakes, claim, now).await.ok()?;
        self.copies.keep(lent, runs);
        if let Err(error) = self.hand_out(&mut conn, rows, &mut advanced).await {
            // Committed all the same: the node's heartbeat finds what it holds and does not run.
            tracing::error!(%error, "what was claimed after these ends could not be read");
        }
        Some(Finished { runs: advanced, stale: Vec::new() })
    }

    async fn finish_once(
        &self,
        ends: Vec<End>,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
        lent: &Lent,
    ) -> Result<Finished> {
        let attempts: Vec<i64> = ends.iter().map(|end| end.attempt_id).collect();
        let mut tx = self.begin().await?;
        let runs = self.lock_runs_of(&mut tx, &attempts).await?;
        if runs.is_empty() {
            return Ok(Finished { runs: Vec::new(), stale: attempts });
        }
        let stepped = self.step(&mut tx, runs, ends, (now, claim), lent).await?;
        if stepped.stale.len() == attempts.len() {
            // Nothing of this batch counts, so nothing may change.
            return Ok(Finished { runs: Vec::new(), stale: attempts });
        }
        tx.commit().await?;
        self.copies.keep(lent, stepped.copies);
        Ok(Finished { runs: stepped.runs, stale: stepped.stale })
    }

    /// The service is ready; what needs it may start.
    pub async fn mark_ready(
        &self,
        attempt_id: i64,
        lease: i64,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Advanced> {
        let places = self.copies.places([attempt_id]).unwrap_or_default();
        let lent = self.copies.lend(places.into_iter().map(|(run, ..)| run).collect()).await;
        in_tx("mark ready", || self.mark_ready_once((attempt_id, lease), now, claim, &lent)).await
    }

    async fn mark_ready_once(
        &self,
        (attempt_id, lease): (i64, i64),
        now: DateTime<Utc>,
        claim: Option<&Claim>,
        lent: &Lent,
    ) -> Result<Advanced> {
        let mut tx = self.begin().await?;
        let runs = self.lock_runs_of(&mut tx, &[attempt_id]).await?;
        let ready = sqlx::query_as::<_, (i64, i32, i32)>(
            "update attempts set ready_at = coalesce(ready_at, $3) where id = $1 and lease = $2 and state = 'running'
             returning run, task, map_index",
        )
        .bind(attempt_id)
        .bind(lease)
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((run, task, map_index)) = ready else {
            return Err(Error::Stale { what: format!("attempt {attempt_id}") });
        };
        lent.change(run, |copy| {
            copy.find(task.unsigned_abs() as usize, map_index).map(|instance| instance.ready = true)
        });
        let stepped = self.step(&mut tx, runs, Vec::new(), (now, claim), lent).await?;
        tx.commit().await?;
        self.copies.keep(lent, stepped.copies);
        Ok(stepped.runs.into_iter().next().map(|(_, advanced)| advanced).unwrap_or_default())
    }

    /// The newest figures that a service told of itself.
    pub async fn put_status(
        &self,
        attempt_id: i64,
        lease: i64,
        status: &Value,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let done = sqlx::query(
            "insert into service_status (attempt_id, run, task, map_index, status, at)
             select id, run, task, map_index, $3::json, $4 from attempts where id = $1 and lease = $2 and state = 'running'
             on conflict (attempt_id) do update set status = excluded.status, at = excluded.at",
        )
        .bind(attempt_id)
        .bind(lease)
        .bind(status.to_string())
        .bind(now)
        .execute(&self.pool)
        .await?;
        match done.rows_affected() {
            0 => Err(Error::Stale { what: format!("attempt {attempt_id}") }),
            _ => Ok(()),
        }
    }
}
