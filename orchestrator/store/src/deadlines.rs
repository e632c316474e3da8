//! Deadlines that have come: kept ones are forgotten, missed ones told about, each once.
//!
//! Not here: making them; that is part of starting a run.

use crate::notifications::{self, NewNotification};
use crate::{Result, Store};
use chrono::{DateTime, SecondsFormat, Utc};
use model::notify::Event;
use sqlx::{FromRow, PgConnection};

#[derive(FromRow)]
struct Due {
    run: i64,
    /// -1 for the run itself.
    task: i32,
    due_at: DateTime<Utc>,
    version_id: i64,
    dag_id: String,
    run_id: String,
    run_state: String,
    run_ended_at: Option<DateTime<Utc>>,
    /// How many instances of the task are not final, and when the last of the others ended.
    open: i64,
    ended_at: Option<DateTime<Utc>>,
}

/// Deadlines that have come, and what they were for.
pub(crate) const DUE: &str = "
with due as (
   select run, task, due_at from deadlines where missed_at is null and due_at <= $1
   order by due_at, run, task limit $2 for update skip locked
)
select d.run, d.task, d.due_at, r.version_id, r.dag_id, r.run_id, r.state as run_state, r.ended_at as run_ended_at,
   i.open, i.ended_at
from due d join runs r on r.id = d.run
cross join lateral (
   select count(*) filter (where i.ended_at is null) as open, max(i.ended_at) as ended_at from task_instances i
   where i.run = d.run and i.task = d.task
) i";

impl Store {
    /// Looks at deadlines that have come, at most `limit`: those that were kept are removed, those that were missed are marked and the
    /// dag's `notify` entries for deadlines become notifications, in one transaction. Returns how many were missed, and the next
    /// instant at which one comes.
    pub async fn miss_deadlines(
        &self,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<(usize, Option<DateTime<Utc>>)> {
        let mut tx = self.begin().await?;
        let due = due(&mut tx, now, limit).await?;
        let (kept, missed): (Vec<Due>, Vec<Due>) = due.into_iter().partition(Due::was_kept);
        if !kept.is_empty() {
            remove(&mut tx, &kept).await?;
        }
        if !missed.is_empty() {
            mark(&mut tx, &missed, now).await?;
            let mut notices = Vec::new();
            for deadline in &missed {
                let dag = self.version_on(&mut tx, deadline.version_id).await?;
                let task_id = usize::try_from(deadline.task).ok().and_then(|task| dag.tasks.get(task));
                let notice = deadline.notice(task_id.map(|task| task.id.clone()));
                notices.extend(notice.for_all(&dag));
            }
            notifications::insert(&mut tx, &notices, now).await?;
        }
        tx.commit().await?;
        Ok((missed.len(), self.next_deadline().await?))
    }

    /// The next instant at which a deadline comes (or one that has come already and was not looked at yet).
    pub async fn next_deadline(&self) -> Result<Option<DateTime<Utc>>> {
        let next = sqlx::query_scalar("select min(due_at) from deadlines where missed_at is null")
            .fetch_one(&self.pool)
            .await?;
        Ok(next)
    }
}

impl Due {
    fn was_kept(&self) -> bool {
        let in_time = |ended: Option<DateTime<Utc>>| ended.is_some_and(|ended| ended <= self.due_at);
        let run_ended = in_time(self.run_ended_at);
        // A task that is final in a run that goes on; one without instances ends with its run.
        run_ended || (self.task >= 0 && self.open == 0 && in_time(self.ended_at))
    }

    fn notice(&self, task_id: Option<String>) -> NewNotification {
        let due = self.due_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (dag_id, run_id) = (&self.dag_id, &self.run_id);
        let text = match &task_id {
            Some(task) => {
                format!("task '{task}' of {dag_id}/{run_id} was not finished at its deadline, {due}")
            }
            None => format!("run {dag_id}/{run_id} had not ended at its deadline, {due}"),
        };
        NewNotification {
            event: Event::Deadline,
            run: self.run,
            task: (self.task >= 0).then_some(self.task),
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
            task_id,
            run_state: self.run_state.clone(),
            text,
            target: None,
        }
    }
}

/// Rows that another node looks at just now are left to it.
async fn due(conn: &mut PgConnection, now: DateTime<Utc>, limit: usize) -> Result<Vec<Due>> {
    let due =
        sqlx::query_as(DUE).bind(now).bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(conn).await?;
    Ok(due)
}

fn keys(deadlines: &[Due]) -> (Vec<i64>, Vec<i32>) {
    deadlines.iter().map(|deadline| (deadline.run, deadline.task)).unzip()
}

async fn remove(conn: &mut PgConnection, kept: &[Due]) -> Result<()> {
    let (runs, tasks) = keys(kept);
    sqlx::query(
        "delete from deadlines d using unnest($1::int8[], $2::int4[]) as k(run, task) where d.run = k.run and d.task = k.task",
    )
    .bind(runs)
    .bind(tasks)
    .execute(conn)
    .await?;
    Ok(())
}

async fn mark(conn: &mut PgConnection, missed: &[Due], now: DateTime<Utc>) -> Result<()> {
    let (runs, tasks) = keys(missed);
    sqlx::query(
        "update deadlines d set missed_at = $3 from unnest($1::int8[], $2::int4[]) as k(run, task)
         where d.run = k.run and d.task = k.task and d.missed_at is null",
    )
    .bind(runs)
    .bind(tasks)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
