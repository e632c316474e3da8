//! What the decisions about all runs of a step come to, and the one statement that writes it.

use crate::attempts::Claim;
use crate::claim::ClaimRow;
use crate::rows::clean;
use crate::snapshot::LockedRun;
use crate::{Error, Result};
use chrono::{DateTime, Utc};
use model::dag::TaskDef;
use model::decide::TaskSnapshot;
use model::{RunState, TaskState};
use serde::Serialize;
use sqlx::PgConnection;

const TAKE_STEP: &str = "select * from take_step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36::json, $37::json, $38::json, $39, $40, $41, $42, $43,
    $44)";

/// Rows of `take_step` (migrations), in the order in which they are written.
#[derive(Default)]
pub(crate) struct Writes {
    pub ends: Vec<EndRow>,
    settled: Vec<SettledRow>,
    queued: Vec<QueuedRow>,
    pub stops: Vec<StopRow>,
    pub events: Vec<EventRow>,
    pub notices: Vec<NoticeRow>,
    pub texts: Vec<String>,
    pub rings: Vec<&'static str>,
    /// Runs whose ledger of retries has changed.
    pub retried: Vec<i64>,
}

pub(crate) struct EndRow {
    pub id: i64,
    pub lease: i64,
    pub ending: &'static str,
    pub next_state: &'static str,
    pub message: Option<String>,
    /// Position in the texts, from 1.
    pub output: Option<i32>,
    pub failures: i32,
    pub losses: i32,
    pub next_at: Option<DateTime<Utc>>,
    pub reason: String,
}

struct SettledRow {
    run: i64,
    task: i32,
    map_index: i32,
    state: &'static str,
    reason: String,
}

struct QueuedRow {
    run: i64,
    task: i32,
    map_index: i32,
    try_number: i32,
    /// Whether a new try begins; a poke goes on with the old one.
    fresh: bool,
    queue: String,
    route: Option<String>,
    priority: i32,
    is_service: bool,
    pool: Option<String>,
    pool_slots: i32,
    limit_key: Option<String>,
    limit_slots: Option<i32>,
}

#[derive(Serialize)]
pub(crate) struct StopRow {
    pub run: i64,
    pub task: usize,
    pub map_index: i32,
    pub reason: String,
}

#[derive(Serialize)]
pub(crate) struct EventRow {
    pub asset: String,
    pub run: i64,
    pub task: usize,
    pub map_index: i32,
    pub who: String,
}

#[derive(Serialize)]
pub(crate) struct NoticeRow {
    pub event: &'static str,
    pub run: i64,
    /// Positions in the texts, from 1.
    pub target: i32,
    pub body: i32,
}

impl Writes {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
            && self.settled.is_empty()
            && self.queued.is_empty()
            && self.stops.is_empty()
            && self.retried.is_empty()
    }

    pub fn queues(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Takes in what belongs to another run.
    pub fn add(&mut self, mut other: Writes) {
        let texts = position(self.texts.len());
        other.ends.iter_mut().for_each(|row| row.output = row.output.map(|at| at + texts));
        for row in &mut other.notices {
            row.target += texts;
            row.body += texts;
        }
        self.ends.append(&mut other.ends);
        self.settled.append(&mut other.settled);
        self.queued.append(&mut other.queued);
        self.stops.append(&mut other.stops);
        self.events.append(&mut other.events);
        self.notices.append(&mut other.notices);
        self.texts.append(&mut other.texts);
        self.retried.append(&mut other.retried);
        other.rings.into_iter().for_each(|ring| self.ring(ring));
    }

    /// Position of a text, from 1.
    pub fn text(&mut self, text: String) -> i32 {
        self.texts.push(text);
        position(self.texts.len())
    }

    pub fn settle(
        &mut self,
        run: &mut LockedRun,
        (task, map_index): (usize, i32),
        state: TaskState,
        reason: &str,
    ) -> Result<()> {
        let id = run.id;
        let instance = run.find(task, map_index)?;
        instance.state = state;
        instance.next_at = None;
        let reason = clean(reason).into_owned();
        self.settled.push(SettledRow {
            run: id,
            task: position(task),
            map_index,
            state: state.as_str(),
            reason,
        });
        Ok(())
    }

    pub fn queue(&mut self, run: &mut LockedRun, task: usize, map_index: i32) -> Result<()> {
        let (id, dag) = (run.id, run.dag.clone());
        let instance = run.find(task, map_index)?;
        let fresh = instance.state != TaskState::UpForReschedule;
        instance.try_number += i32::from(fresh);
        instance.state = TaskState::Queued;
        instance.next_at = None;
        (instance.ready, instance.stopping) = (false, false);
        self.queued.push(QueuedRow::new(id, &dag.id, &dag.tasks[task], instance, fresh));
        Ok(())
    }

    /// Writes all, and claims if a node is given. The runs' revisions grow by one.
    pub async fn flush(
        self,
        conn: &mut PgConnection,
        runs: &mut [LockedRun],
        wakes: &[Option<DateTime<Utc>>],
        claim: Option<&Claim>,
        now: DateTime<Utc>,
    ) -> Result<Vec<ClaimRow>> {
        let retries = |run: &LockedRun| {
            let retries = self.retried.contains(&run.id).then(|| serde_json::to_string(&run.retries));
            retries.transpose().map_err(|error| unwritable(run.id, &error))
        };
        let retries = runs.iter().map(retries).collect::<Result<Vec<_>>>()?;
        let none: &[String] = &[];
        let (ends, settled, queued) = (&self.ends, &self.settled, &self.queued);
        let rows = sqlx::query_as::<_, ClaimRow>(TAKE_STEP)
            .bind(now)
            .bind(runs.iter().map(|run| run.id).collect::<Vec<_>>())
            .bind(runs.iter().map(|run| run.revision).collect::<Vec<_>>())
            .bind(runs.iter().map(|run| run.state.as_str()).collect::<Vec<_>>())
            .bind(wakes)
            .bind(retries)
            .bind(&self.texts)
            .bind(column(ends, |row| row.id))
            .bind(column(ends, |row| row.lease))
            .bind(column(ends, |row| row.ending))
            .bind(column(ends, |row| row.next_state))
            .bind(column(ends, |row| row.message.as_deref()))
            .bind(column(ends, |row| row.output))
            .bind(column(ends, |row| row.failures))
            .bind(column(ends, |row| row.losses))
            .bind(column(ends, |row| row.next_at))
            .bind(column(ends, |row| row.reason.as_str()))
            .bind(column(settled, |row| row.run))
            .bind(column(settled, |row| row.task))
            .bind(column(settled, |row| row.map_index))
            .bind(column(settled, |row| row.state))
            .bind(column(settled, |row| row.reason.as_str()))
            .bind(column(queued, |row| row.run))
            .bind(column(queued, |row| row.task))
            .bind(column(queued, |row| row.map_index))
            .bind(column(queued, |row| row.try_number))
            .bind(column(queued, |row| row.fresh))
            .bind(column(queued, |row| row.queue.as_str()))
            .bind(column(queued, |row| row.route.as_deref()))
            .bind(column(queued, |row| row.priority))
            .bind(column(queued, |row| row.is_service))
            .bind(column(queued, |row| row.pool.as_deref()))
            .bind(column(queued, |row| row.pool_slots))
            .bind(column(queued, |row| row.limit_key.as_deref()))
            .bind(column(queued, |row| row.limit_slots))
            .bind(json(&self.stops)?)
            .bind(json(&self.events)?)
            .bind(json(&self.notices)?)
            .bind(&self.rings)
            .bind(claim.map(|claim| claim.node))
            .bind(claim.map_or(none, |claim| &claim.queues))
            .bind(claim.map_or(none, |claim| &claim.routes))
            .bind(claim.map_or(0, |claim| i64::try_from(claim.slots).unwrap_or(i64::MAX)))
            .bind(claim.map_or(0, |claim| i64::try_from(claim.service_slots).unwrap_or(i64::MAX)))
            .fetch_all(conn)
            .await
            .map_err(refusal)?;
        for (run, wake_at) in runs.iter_mut().zip(wakes) {
            run.revision += 1;
            run.wake_at = if run.state == RunState::Running { *wake_at } else { None };
        }
        Ok(rows)
    }
}

impl QueuedRow {
    fn new(run: i64, dag_id: &str, def: &TaskDef, instance: &TaskSnapshot, fresh: bool) -> Self {
        let text = |text: &String| clean(text).into_owned();
        QueuedRow {
            run,
            task: position(instance.task),
            map_index: instance.map_index,
            try_number: instance.try_number,
            fresh,
            queue: text(&def.queue),
            route: def.route.as_ref().map(text),
            priority: def.priority,
            is_service: def.service.is_some(),
            pool: def.pool.as_ref().map(text),
            pool_slots: i32::try_from(def.pool_slots.max(1)).unwrap_or(i32::MAX),
            limit_key: def.max_active.map(|_| clean(&format!("{dag_id}/{}", def.id)).into_owned()),
            limit_slots: def.max_active.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)),
        }
    }
}

fn column<'r, T, V>(rows: &'r [T], value: impl Fn(&'r T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

fn position(position: usize) -> i32 {
    i32::try_from(position).unwrap_or(i32::MAX)
}

/// No rows are no argument: the function passes over them.
fn json<T: Serialize>(rows: &[T]) -> Result<Option<String>> {
    if rows.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(rows).map(Some).map_err(|error| unwritable(0, &error))
}

fn unwritable(run: i64, error: &serde_json::Error) -> Error {
    Error::Inconsistent { table: "runs", id: run.to_string(), column: "retries", message: error.to_string() }
}

/// What `take_step` raises: the runs, or what was to move in them, are not as they were when it was decided.
fn refusal(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(db) if db.code().as_deref() == Some("SF001") => {
            Error::Stale { what: format!("a run ({})", db.message()) }
        }
        sqlx::Error::Database(db) if db.code().as_deref() == Some("SF002") => {
            Error::Stale { what: format!("an attempt or instance ({})", db.message()) }
        }
        _ => error.into(),
    }
}
