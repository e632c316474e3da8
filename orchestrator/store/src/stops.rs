//! Attempts that should stop: one that nobody has claimed ends at once, of a running one its node is told.

use crate::Result;
use crate::rows::clean;
use crate::snapshot::LockedRun;
use crate::writes::{StopRow, Writes};
use chrono::{DateTime, Utc};
use model::TaskState;
use sqlx::PgConnection;
use std::collections::HashSet;

pub(crate) struct Stop {
    pub task: usize,
    pub map_index: i32,
    pub reason: String,
}

/// Ends those that are queued; the others are noted in `writes`. Returns whether one has ended: more may follow from that.
pub(crate) async fn stop(
    conn: &mut PgConnection,
    run: &mut LockedRun,
    stops: Vec<Stop>,
    writes: &mut Writes,
    now: DateTime<Utc>,
) -> Result<bool> {
    let tasks: Vec<i32> = stops.iter().map(|stop| i32::try_from(stop.task).unwrap_or(i32::MAX)).collect();
    let map_indexes: Vec<i32> = stops.iter().map(|stop| stop.map_index).collect();
    let reasons: Vec<String> = stops.iter().map(|stop| clean(&stop.reason).into_owned()).collect();
    let ended = sqlx::query_as::<_, (i32, i32)>(
        "with w as (
            select * from unnest($2::int4[], $3::int4[], $4::text[]) as w(task, map_index, reason)
         ), ended as (
            delete from attempts a using w
            where a.run = $1 and a.task = w.task and a.map_index = w.map_index and a.state = 'queued' returning a.*, w.reason
         ), kept as (
            insert into attempt_history (id, run, task, map_index, try_number, is_service, queued_at, stop_requested_at, ended_at, ending,
                next_state, message)
            select id, run, task, map_index, try_number, is_service, queued_at, $5, $5, 'cancelled', 'cancelled', reason from ended
         ), moved as (
            update task_instances i set state = 'cancelled', ended_at = $5, next_at = null, message = e.reason
            from ended e where i.run = e.run and i.task = e.task and i.map_index = e.map_index and task_may_become(i.state, 'cancelled')
         )
         select task, map_index from ended",
    )
    .bind(run.id)
    .bind(tasks)
    .bind(map_indexes)
    .bind(reasons)
    .bind(now)
    .fetch_all(conn)
    .await?;
    let ended: HashSet<(usize, i32)> =
        ended.into_iter().map(|(task, map_index)| (task.unsigned_abs() as usize, map_index)).collect();
    for Stop { task, map_index, reason } in stops {
        let instance = run.find(task, map_index)?;
        if ended.contains(&(task, map_index)) {
            instance.state = TaskState::Cancelled;
            (instance.ready, instance.stopping) = (false, false);
        } else {
            instance.stopping = true;
            let reason = clean(&reason).into_owned();
            writes.stops.push(StopRow { run: run.id, task, map_index, reason });
        }
    }
    Ok(!ended.is_empty())
}
