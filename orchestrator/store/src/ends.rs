//! Ends of attempts: checked against the lease and judged by `model::ending::after`.

use crate::rows::{clean, no_outputs};
use crate::snapshot::{Counts, LockedRun, chosen};
use crate::writes::{EndRow, Writes};
use crate::{Error, Result};
use chrono::{DateTime, SubsecRound, Utc};
use model::TaskState;
use model::dag::TaskDef;
use model::decide::TaskSnapshot;
use model::ending::{self, Ending, History, Next};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
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

/// A running attempt, and where its instance stands.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Held {
    pub id: i64,
    pub run: i64,
    pub task: i32,
    pub map_index: i32,
    pub lease: i64,
    pub started_at: DateTime<Utc>,
}

/// Parts the ends of locked runs into those whose lease is held and those that are stale: nothing changes for these.
pub(crate) async fn check_leases(
    conn: &mut PgConnection,
    ends: Vec<End>,
) -> Result<(Vec<(End, Held)>, Vec<i64>)> {
    if ends.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let rows = sqlx::query_as::<_, Held>(
        "select id, run, task, map_index, lease, started_at from attempts where id = any($1) and state = 'running'",
    )
    .bind(ends.iter().map(|end| end.attempt_id).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let mut held: HashMap<i64, Held> = rows.into_iter().map(|row| (row.id, row)).collect();
    let (mut good, mut stale) = (Vec::with_capacity(ends.len()), Vec::new());
    for end in ends {
        if held.get(&end.attempt_id).is_some_and(|row| row.lease == end.lease) {
            good.extend(held.remove(&end.attempt_id).map(|row| (end, row)));
        } else {
            stale.push(end.attempt_id);
        }
    }
    Ok((good, stale))
}

/// When the newest tries of a service began, lost ones not counted; empty for a task.
pub(crate) async fn starts(
    conn: &mut PgConnection,
    task: &TaskDef,
    held: &Held,
) -> Result<Vec<DateTime<Utc>>> {
    let Some(service) = &task.service else { return Ok(Vec::new()) };
    let mut starts = sqlx::query_scalar::<_, DateTime<Utc>>(
        "select started_at from attempt_history
         where run = $1 and task = $2 and map_index = $3 and ending <> 'lost' and started_at is not null
         order by id desc limit $4",
    )
    .bind(held.run)
    .bind(held.task)
    .bind(held.map_index)
    .bind(i64::from(service.budget))
    .fetch_all(conn)
    .await?;
    starts.push(held.started_at);
    Ok(starts)
}

/// The same for an instance for ever, different for its neighbours (FNV-1a).
fn seed(run: i64, task: i32, map_index: i32) -> u64 {
    let bytes = run.to_le_bytes().into_iter().chain(task.to_le_bytes()).chain(map_index.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Ends an attempt of a loaded run: its instance moves, and what is to be written is noted.
pub(crate) fn apply(
    run: &mut LockedRun,
    (task, map_index): (i32, i32),
    end: End,
    starts: Vec<DateTime<Utc>>,
    writes: &mut Writes,
    now: DateTime<Utc>,
) -> Result<()> {
    let position = run.position(task.unsigned_abs() as usize, map_index)?;
    let dag = run.dag.clone();
    let def = dag.tasks.get(task.unsigned_abs() as usize).ok_or_else(|| not_in_dag(run.id, task))?;
    let (id, cancelled) = (run.id, run.cancel_requested);
    let (instance, counts) = run.at(position);
    let End { attempt_id, lease, mut ending, mut outputs, mut message } = end;
    let mut text = outputs.as_ref().filter(|outputs| !no_outputs(outputs)).map(Value::to_string);
    if let Some(size) = text.as_ref().map(String::len).filter(|size| *size > OUTPUTS_MAX_BYTES) {
        ending = Ending::FailedForGood;
        message = Some(format!(
            "the outputs have {size} bytes, {OUTPUTS_MAX_BYTES} are possible: write them to the lake or a table and give their place"
        ));
        (text, outputs) = (None, None);
    }
    let history = History {
        try_number: instance.try_number,
        failures: counts.failures.unsigned_abs(),
        losses: counts.losses.unsigned_abs(),
        starts,
        drained: instance.stopping || cancelled,
    };
    let next = ending::after(&ending, def, &history, now, seed(id, task, map_index));
    // Queued and running are not told apart in a copy; the statement that writes this tells.
    if !instance.state.is_live() || !TaskState::Running.may_become(next.state) {
        return Err(Error::Inconsistent {
            table: "task_instances",
            id: format!("run {id} task {} map index {map_index}", def.id),
            column: "state",
            message: format!("{} with a live attempt may not become {}", instance.state, next.state),
        });
    }
    move_on(instance, counts, &ending, &next, now);
    if def.branch && next.state == TaskState::Success {
        instance.chosen = outputs.as_ref().and_then(chosen);
    }
    let (Counts { failures, losses }, next_at, position) = (*counts, instance.next_at, instance.task);
    if next.state == TaskState::Success {
        writes.wrote(&run.run_id, &dag, (id, position, map_index));
    }
    let message = message.map(|message| shortened(&clean(&message)));
    let reason = match &message {
        Some(message) => format!("{message} ({})", next.reason),
        None => next.reason,
    };
    let row = EndRow {
        id: attempt_id,
        lease,
        ending: ending.as_str(),
        next_state: next.state.as_str(),
        message,
        output: text.map(|text| writes.text(text)),
        failures,
        losses,
        next_at,
        reason: clean(&reason).into_owned(),
    };
    writes.ends.push(row);
    Ok(())
}

fn not_in_dag(run: i64, task: i32) -> Error {
    Error::Inconsistent {
        table: "task_instances",
        id: format!("run {run} task {task}"),
        column: "task",
        message: "the run's dag version has no such task".to_owned(),
    }
}

fn move_on(
    instance: &mut TaskSnapshot,
    counts: &mut Counts,
    ending: &Ending,
    next: &Next,
    now: DateTime<Utc>,
) {
    match ending {
        Ending::Failed | Ending::FailedForGood | Ending::TimedOut => {
            counts.failures = counts.failures.saturating_add(1)
        }
        Ending::Lost => counts.losses = counts.losses.saturating_add(1),
        Ending::Done | Ending::Skipped | Ending::Poke { .. } | Ending::Cancelled => {}
    }
    instance.state = next.state;
    // As Postgres keeps it, so that what is answered now is what will be read later.
    instance.next_at = (!next.state.is_final()).then(|| next.next_at.unwrap_or(now).trunc_subsecs(6));
    (instance.ready, instance.stopping) = (false, false);
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_MAX_CHARS) {
        Some((end, _)) => format!("{} ... (the log has all)", &text[..end]),
        None => text.to_owned(),
    }
}
