//! Ends of attempts: checked against the lease, judged by `model::ending::after`, and written in one statement a batch.

use crate::rows::{clean, no_outputs};
use crate::snapshot::{Instance, Live, LockedRun};
use crate::{Error, Result};
use chrono::{DateTime, SubsecRound, Utc};
use model::dag::TaskDef;
use model::ending::{self, Ending, History, Next};
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::HashMap;

/// The end of an attempt, as the worker or the reaper reports it.
#[derive(Debug, Clone)]
pub struct End {
    pub attempt_id: i64,
    pub lease: i64,
    pub ending: Ending,
    pub outputs: Option<Value>,
    pub message: Option<String>,
}

/// Larger outputs belong into the lake or a table; this is what later tasks' templates see.
pub const OUTPUTS_MAX_BYTES: usize = 1 << 20;
const MESSAGE_MAX_CHARS: usize = 8_000;

/// The rows of one statement, column by column.
#[derive(Default)]
struct Batch {
    attempts: Vec<i64>,
    leases: Vec<i64>,
    endings: Vec<&'static str>,
    next_states: Vec<&'static str>,
    messages: Vec<Option<String>>,
    outputs: Vec<Option<String>>,
    failures: Vec<i32>,
    losses: Vec<i32>,
    next_ats: Vec<Option<DateTime<Utc>>>,
    reasons: Vec<String>,
}

/// Ends attempts of locked and loaded runs. Returns those whose lease was lost; nothing changes for them.
pub(crate) async fn apply(
    conn: &mut PgConnection,
    runs: &mut [LockedRun],
    ends: Vec<End>,
    now: DateTime<Utc>,
) -> Result<Vec<i64>> {
    let mut held = held(runs);
    let mut batch = Batch::default();
    let mut stale = Vec::new();
    for end in ends {
        let Some((run, at)) = held.remove(&(end.attempt_id, end.lease)) else {
            stale.push(end.attempt_id);
            continue;
        };
        let run = &mut runs[run];
        let dag = run.dag.clone();
        let instance = &run.instances[at];
        let task = dag.tasks.get(instance.task as usize).ok_or_else(|| not_in_dag(run.id, instance))?;
        let starts = starts(conn, run.id, instance, task).await?;
        batch.add(run, at, task, starts, end, now)?;
    }
    if !batch.attempts.is_empty() {
        batch.write(conn, now).await?;
    }
    Ok(stale)
}

/// Where each running attempt is, by attempt and lease: the run's and the instance's position.
fn held(runs: &[LockedRun]) -> HashMap<(i64, i64), (usize, usize)> {
    let instances = runs.iter().enumerate().flat_map(|(run, locked)| {
        locked.instances.iter().enumerate().map(move |(at, instance)| (run, at, instance))
    });
    instances
        .filter_map(|(run, at, instance)| {
            let live = instance.live.as_ref()?;
            Some(((live.attempt_id, live.lease?), (run, at)))
        })
        .collect()
}

fn not_in_dag(run: i64, instance: &Instance) -> Error {
    Error::Inconsistent {
        table: "task_instances",
        id: format!("run {run} task {}", instance.task),
        column: "task",
        message: "the run's dag version has no such task".to_owned(),
    }
}

/// When the newest tries of a service began, lost ones not counted; empty for a task.
async fn starts(
    conn: &mut PgConnection,
    run: i64,
    instance: &Instance,
    task: &TaskDef,
) -> Result<Vec<DateTime<Utc>>> {
    let Some(service) = &task.service else { return Ok(Vec::new()) };
    let mut starts = sqlx::query_scalar::<_, DateTime<Utc>>(
        "select started_at from attempt_history
         where run = $1 and task = $2 and map_index = $3 and ending <> 'lost' and started_at is not null
         order by id desc limit $4",
    )
    .bind(run)
    .bind(instance.task)
    .bind(instance.map_index)
    .bind(i64::from(service.budget))
    .fetch_all(conn)
    .await?;
    starts.extend(instance.live.as_ref().and_then(|live| live.started_at));
    Ok(starts)
}

/// The same for an instance for ever, different for its neighbours (FNV-1a).
fn seed(run: i64, task: i32, map_index: i32) -> u64 {
    let bytes = run.to_le_bytes().into_iter().chain(task.to_le_bytes()).chain(map_index.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Batch {
    fn add(
        &mut self,
        run: &mut LockedRun,
        at: usize,
        task: &TaskDef,
        starts: Vec<DateTime<Utc>>,
        end: End,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let (run_id, cancelled) = (run.id, run.cancel_requested);
        let instance = &mut run.instances[at];
        let End { attempt_id, lease, mut ending, outputs, mut message } = end;
        let mut outputs = outputs.filter(|outputs| !no_outputs(outputs)).map(|outputs| outputs.to_string());
        if let Some(size) = outputs.as_ref().map(String::len).filter(|size| *size > OUTPUTS_MAX_BYTES) {
            ending = Ending::FailedForGood;
            message = Some(format!(
                "the outputs have {size} bytes, {OUTPUTS_MAX_BYTES} are possible: write them to the lake or a table and give their place"
            ));
            outputs = None;
        }
        let stopping = instance.live.as_ref().is_some_and(|live| live.stopping);
        let history = History {
            try_number: instance.try_number,
            failures: instance.failures.unsigned_abs(),
            losses: instance.losses.unsigned_abs(),
            starts,
            drained: stopping || cancelled,
        };
        let next =
            ending::after(&ending, task, &history, now, seed(run_id, instance.task, instance.map_index));
        if !instance.state.may_become(next.state) {
            return Err(Error::Inconsistent {
                table: "task_instances",
                id: format!("run {run_id} task {} map index {}", task.id, instance.map_index),
                column: "state",
                message: format!("{} with a live attempt may not become {}", instance.state, next.state),
            });
        }
        instance.end(&ending, &next, now);
        let message = message.map(|message| shortened(&clean(&message)));
        self.attempts.push(attempt_id);
        self.leases.push(lease);
        self.endings.push(name(&ending));
        self.next_states.push(next.state.as_str());
        self.reasons.push(match &message {
            Some(message) => format!("{message} ({})", next.reason),
            None => next.reason,
        });
        self.messages.push(message);
        self.outputs.push(outputs);
        self.failures.push(instance.failures);
        self.losses.push(instance.losses);
        self.next_ats.push(instance.next_at);
        Ok(())
    }

    async fn write(self, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
        let expected = self.attempts.len() as i64;
        let (ended, moved) = sqlx::query_as::<_, (i64, i64)>(
            "with e as (
                select * from unnest($1::int8[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int4[], $8::int4[],
                    $9::timestamptz[], $10::text[])
                    as e(id, lease, ending, next_state, message, outputs, failures, losses, next_at, reason)
             ), ended as (
                delete from attempts a using e where a.id = e.id and a.lease = e.lease and a.state = 'running' returning a.*
             ), kept as (
                insert into attempt_history (id, run, task, map_index, try_number, is_service, node, node_name, lease, queued_at,
                    started_at, ready_at, stop_requested_at, ended_at, ending, next_state, message, outputs)
                select a.id, a.run, a.task, a.map_index, a.try_number, a.is_service, a.node,
                    (select n.name from nodes n where n.id = a.node), a.lease, a.queued_at,
                    a.started_at, a.ready_at, a.stop_requested_at, $11, e.ending, e.next_state, e.message, e.outputs::json
                from ended a join e using (id)
             ), moved as (
                update task_instances i set
                    state = e.next_state, failures = e.failures, losses = e.losses, next_at = e.next_at, message = e.reason,
                    ended_at = case when e.next_at is null then $11 end,
                    outputs = case when e.next_state in ('success', 'skipped') then e.outputs::json end
                from ended a join e using (id)
                where i.run = a.run and i.task = a.task and i.map_index = a.map_index and task_may_become(i.state, e.next_state)
                returning 1
             )
             select (select count(*) from ended), (select count(*) from moved)",
        )
        .bind(self.attempts)
        .bind(self.leases)
        .bind(self.endings)
        .bind(self.next_states)
        .bind(self.messages)
        .bind(self.outputs)
        .bind(self.failures)
        .bind(self.losses)
        .bind(self.next_ats)
        .bind(self.reasons)
        .bind(now)
        .fetch_one(conn)
        .await?;
        if (ended, moved) == (expected, expected) {
            return Ok(());
        }
        Err(Error::Stale {
            what: format!("an attempt ({ended} ended and {moved} instances moved of {expected})"),
        })
    }
}

impl Instance {
    fn end(&mut self, ending: &Ending, next: &Next, now: DateTime<Utc>) {
        match ending {
            Ending::Failed | Ending::FailedForGood | Ending::TimedOut => {
                self.failures = self.failures.saturating_add(1)
            }
            Ending::Lost => self.losses = self.losses.saturating_add(1),
            Ending::Done | Ending::Skipped | Ending::Poke { .. } | Ending::Cancelled => {}
        }
        self.state = next.state;
        // As Postgres keeps it, so that what is answered now is what will be read later.
        self.next_at = (!next.state.is_final()).then(|| next.next_at.unwrap_or(now).trunc_subsecs(6));
        self.live = None::<Live>;
    }
}

fn name(ending: &Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Skipped => "skipped",
        Ending::Poke { .. } => "poke",
        Ending::Failed => "failed",
        Ending::FailedForGood => "failed_for_good",
        Ending::TimedOut => "timed_out",
        Ending::Cancelled => "cancelled",
        Ending::Lost => "lost",
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_MAX_CHARS) {
        Some((end, _)) => format!("{} ... (the log has all)", &text[..end]),
        None => text.to_owned(),
    }
}
