//! One step of runs: what ended is judged, `model::decide` says what follows, and all of it is written and claimed by one statement.
//!
//! Nearly every step needs no more than the copies of its runs and that statement (`attempts`); what must read or write in between, such
//! as expanding a mapped task, happens here, in the caller's transaction.

use crate::attempts::Claim;
use crate::claim::ClaimRow;
use crate::copies::Lent;
use crate::ends::{self, End};
use crate::expand::{self, Retry};
use crate::runs::Advanced;
use crate::snapshot::{LockedRun, load_instances};
use crate::stops::{self, Stop};
use crate::writes::Writes;
use crate::{Error, Result, Store, past};
use chrono::{DateTime, Utc};
use model::{Command, RunState, TaskState};
use sqlx::PgConnection;
use std::collections::HashMap;

pub(crate) struct Stepped {
    /// As the runs were given.
    pub runs: Vec<(i64, Advanced)>,
    /// Attempts whose end came with a lost lease.
    pub stale: Vec<i64>,
    /// The runs as they are once this is committed.
    pub copies: Vec<LockedRun>,
}

/// What a decision asks for beyond rows.
#[derive(Default)]
pub(crate) struct Rest {
    stops: Vec<Stop>,
    late: Vec<usize>,
    retries: Vec<Retry>,
}

impl Rest {
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty() && self.late.is_empty() && self.retries.is_empty()
    }
}

impl Store {
    /// `runs` are locked by this transaction, ascending by id.
    pub(crate) async fn step(
        &self,
        conn: &mut PgConnection,
        mut runs: Vec<LockedRun>,
        ends: Vec<End>,
        (now, claim): (DateTime<Utc>, Option<&Claim>),
        lent: &Lent,
    ) -> Result<Stepped> {
        for run in &mut runs {
            if let Some(copy) = lent.take(run.id, Some(run.revision)) {
                run.adopt(copy);
            }
        }
        load_instances(conn, &mut runs).await?;
        past::load(conn, &mut runs).await?;
        let only_looks = ends.is_empty();
        let (ends, stale) = ends::check_leases(conn, ends).await?;
        let mut ended: Vec<Vec<_>> = runs.iter().map(|_| Vec::new()).collect();
        for (end, held) in ends {
            if let Ok(at) = runs.binary_search_by_key(&held.run, |run| run.id) {
                ended[at].push((end, held));
            }
        }
        let (mut all, mut woken) = (Writes::default(), Vec::new());
        let mut advanced = Vec::with_capacity(runs.len());
        for (run, ended) in runs.iter_mut().zip(ended) {
            let mut writes = Writes::default();
            let dag = run.dag.clone();
            let mut wakes_next = only_looks && run.has_past;
            let mut failed_services = Vec::new();
            for (end, held) in ended {
                let def = dag.tasks.get(held.task.unsigned_abs() as usize);
                wakes_next |= def.is_some_and(|def| def.depends_on_past);
                let starts = match def {
                    Some(def) => ends::starts(conn, def, &held).await?,
                    None => Vec::new(),
                };
                ends::apply(run, (held.task, held.map_index), end, starts, &mut writes, now)?;
                let task = held.task.unsigned_abs() as usize;
                let is_service = def.is_some_and(|def| def.service.is_some());
                if is_service && run.find(task, held.map_index)?.state == TaskState::Failed {
                    failed_services.push(task);
                }
            }
            let outcome = decide_until_still(conn, run, &mut writes, now).await?;
            for task in failed_services.into_iter().filter(|_| outcome.finished.is_none()) {
                writes.service_failed(run, task, now)?;
            }
            wakes_next |= run.has_past && outcome.finished.is_some();
            if wakes_next {
                woken.extend(past::next(conn, run.id).await?);
            }
            all.add(writes);
            advanced.push((run.id, outcome));
        }
        for (run, outcome) in &mut advanced {
            if woken.contains(run) && outcome.finished.is_none() {
                outcome.wake_at = Some(now);
                all.ring("runs");
            }
        }
        woken.retain(|run| !advanced.iter().any(|(own, _)| own == run));
        let wakes: Vec<_> = advanced.iter().map(|(_, advanced)| advanced.wake_at).collect();
        let claim = claim.filter(|_| all.queues() || !all.ends.is_empty());
        let rows = all.flush(conn, &mut runs, &wakes, claim, now).await?;
        past::wake(conn, &woken, now).await?;
        self.hand_out(conn, rows, &mut advanced).await?;
        Ok(Stepped { runs: advanced, stale, copies: runs })
    }

    /// Claims after a step. What is claimed may be of another run, if that waited longer or is more urgent.
    pub(crate) async fn hand_out(
        &self,
        conn: &mut PgConnection,
        rows: Vec<ClaimRow>,
        advanced: &mut [(i64, Advanced)],
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let positions: HashMap<i64, usize> =
            advanced.iter().enumerate().map(|(position, (run, _))| (*run, position)).collect();
        for attempt in self.claimed(conn, rows).await? {
            let position = positions.get(&attempt.run).copied().unwrap_or(0);
            advanced[position].1.claimed.push(attempt);
        }
        Ok(())
    }
}

/// Decides until nothing more follows. Commands are applied to the run and noted in `writes`.
async fn decide_until_still(
    conn: &mut PgConnection,
    run: &mut LockedRun,
    writes: &mut Writes,
    now: DateTime<Utc>,
) -> Result<Advanced> {
    let mut advanced = Advanced::default();
    // Each round but the last expands a task, begins a retry, or ends something that was queued.
    for _ in 0..=10 * run.dag.tasks.len() + 1_000 {
        if run.state != RunState::Running {
            return Ok(advanced);
        }
        let rest = take_commands(run, writes, &mut advanced, now)?;
        if rest.is_empty() || !follow(conn, run, writes, rest, now).await? {
            return Ok(advanced);
        }
    }
    Err(Error::Inconsistent {
        table: "runs",
        id: run.id.to_string(),
        column: "state",
        message: "the decision about the run does not come to rest".to_owned(),
    })
}

/// One decision: what is rows is noted, the rest is given back.
pub(crate) fn take_commands(
    run: &mut LockedRun,
    writes: &mut Writes,
    advanced: &mut Advanced,
    now: DateTime<Utc>,
) -> Result<Rest> {
    let mut rest = Rest::default();
    advanced.wake_at = None;
    for command in run.decide(now) {
        match command {
            Command::WakeAt { at } => advanced.wake_at = Some(at),
            Command::FinishRun { state } => {
                run.state = state;
                advanced.finished = Some(state);
                writes.ended(run, state, now)?;
            }
            Command::Queue { task, map_index } => {
                writes.queue(run, task, map_index)?;
                advanced.queued += 1;
            }
            Command::Settle { task, map_index, state, reason } => {
                writes.settle(run, (task, map_index), state, &reason)?;
            }
            Command::Stop { task, map_index, reason } => rest.stops.push(Stop { task, map_index, reason }),
            Command::Expand { task } => rest.late.push(task),
            Command::Retry { group, used, until, reset, late } => {
                rest.retries.push(Retry { group, used, until, reset, late });
            }
        }
    }
    Ok(rest)
}

/// What needs rows of its own, after what was decided so far is written. Returns whether more may follow.
async fn follow(
    conn: &mut PgConnection,
    run: &mut LockedRun,
    writes: &mut Writes,
    rest: Rest,
    now: DateTime<Utc>,
) -> Result<bool> {
    if !writes.is_empty() {
        std::mem::take(writes).flush(conn, std::slice::from_mut(run), &[None], None, now).await?;
    }
    let mut more = false;
    if !rest.stops.is_empty() {
        more |= stops::stop(conn, run, rest.stops, writes, now).await?;
    }
    for task in rest.late {
        expand::expand(conn, run, task, writes, now).await?;
        more = true;
    }
    for retry in rest.retries {
        expand::retry(conn, run, retry).await?;
        writes.retried.push(run.id);
        more = true;
    }
    if more {
        past::load(conn, std::slice::from_mut(run)).await?;
    }
    Ok(more)
}
