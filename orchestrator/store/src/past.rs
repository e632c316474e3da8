//! `depends_on_past`: an instance starts only if the same one in the run before was a success or skipped.
//!
//! The run before is the one of the same dag before it by `run_after`, of those that the schedule, a backfill or a person made. It is not
//! locked: whoever ends such an instance there wakes the run after it, in the same commit.

use crate::Result;
use crate::snapshot::LockedRun;
use crate::tx::ring;
use chrono::{DateTime, Utc};
use model::{Dag, TaskState};
use sqlx::PgConnection;
use std::collections::HashMap;

/// Whether a task of the dag depends on its past.
pub(crate) fn has_past(dag: &Dag) -> bool {
    dag.tasks.iter().any(|task| task.depends_on_past)
}

/// Says of the instances that wait whether their past holds them.
pub(crate) async fn load(conn: &mut PgConnection, runs: &mut [LockedRun]) -> Result<()> {
    for run in runs.iter_mut().filter(|run| run.has_past) {
        let waits = |run: &LockedRun, position: usize| {
            let instance = &run.tasks()[position];
            instance.state == TaskState::None && run.dag.tasks[instance.task].depends_on_past
        };
        let waiting: Vec<usize> = (0..run.tasks().len()).filter(|at| waits(run, *at)).collect();
        if waiting.is_empty() {
            continue;
        }
        let past = before(conn, run.id, &names(&run.dag)).await?;
        for at in waiting {
            let dag = run.dag.clone();
            let (instance, _) = run.at(at);
            instance.held = past.holds(&dag.tasks[instance.task].id, instance.map_index);
        }
    }
    Ok(())
}

fn names(dag: &Dag) -> Vec<&str> {
    dag.tasks.iter().filter(|task| task.depends_on_past).map(|task| task.id.as_str()).collect()
}

enum Past {
    /// There is no run before.
    First,
    /// It has not begun.
    NotBegun,
    Run(HashMap<(String, i32), bool>),
}

impl Past {
    /// What the run before did not have holds nothing. Whether it has an item is not known before its task is expanded.
    fn holds(&self, task_id: &str, map_index: i32) -> bool {
        let of = |done: &HashMap<(String, i32), bool>, map_index: i32| {
            done.get(&(task_id.to_owned(), map_index)).copied()
        };
        match self {
            Past::First => false,
            Past::NotBegun => true,
            Past::Run(done) => of(done, map_index).or_else(|| of(done, -1)) == Some(false),
        }
    }
}

async fn before(conn: &mut PgConnection, run: i64, names: &[&str]) -> Result<Past> {
    let rows = sqlx::query_as::<_, (bool, Option<String>, Option<i32>, Option<String>)>(
        "with before as (
            select p.id from runs r join runs p on p.dag_id = r.dag_id and (p.run_after, p.id) < (r.run_after, r.id)
            where r.id = $1 and p.run_type in ('scheduled', 'backfill', 'manual')
            order by p.run_after desc, p.id desc limit 1
         )
         select exists (select 1 from task_instances b where b.run = before.id), i.task_id, i.map_index, i.state
         from before left join task_instances i on i.run = before.id and i.task_id = any($2)",
    )
    .bind(run)
    .bind(names)
    .fetch_all(conn)
    .await?;
    match rows.first() {
        None => return Ok(Past::First),
        Some((false, ..)) => return Ok(Past::NotBegun),
        Some(_) => {}
    }
    let known = rows.into_iter().filter_map(|(_, task, map_index, state)| {
        Some(((task?, map_index?), matches!(state?.as_str(), "success" | "skipped")))
    });
    Ok(Past::Run(known.collect()))
}

/// The running runs that may have waited for this one and may go on: the next of those that count, and what assets have started
/// before it.
pub(crate) async fn next(conn: &mut PgConnection, run: i64) -> Result<Vec<i64>> {
    let next = sqlx::query_scalar(
        "select n.id from runs r join runs n on n.dag_id = r.dag_id and (n.run_after, n.id) > (r.run_after, r.id) and n.state = 'running'
         where r.id = $1 and not exists (select 1 from runs m where m.dag_id = r.dag_id
            and (m.run_after, m.id) > (r.run_after, r.id) and (m.run_after, m.id) < (n.run_after, n.id)
            and m.run_type in ('scheduled', 'backfill', 'manual'))",
    )
    .bind(run)
    .fetch_all(conn)
    .await?;
    Ok(next)
}

/// Wakes the runs after these, which have ended without a step.
pub(crate) async fn wake_after(conn: &mut PgConnection, runs: &[i64], now: DateTime<Utc>) -> Result<()> {
    sqlx::query(
        "update runs set wake_at = least(wake_at, $2), revision = revision + 1 where state = 'running' and id in (
            select n.id from unnest($1::int8[]) as e(id) join runs r on r.id = e.id
            join runs n on n.dag_id = r.dag_id and (n.run_after, n.id) > (r.run_after, r.id) and n.state = 'running'
            where not exists (select 1 from runs m where m.dag_id = r.dag_id
                and (m.run_after, m.id) > (r.run_after, r.id) and (m.run_after, m.id) < (n.run_after, n.id)
                and m.run_type in ('scheduled', 'backfill', 'manual'))
         )",
    )
    .bind(runs)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Wakes runs that this transaction has not stepped.
pub(crate) async fn wake(conn: &mut PgConnection, runs: &[i64], now: DateTime<Utc>) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update runs set wake_at = $2, revision = revision + 1 where id = any($1) and state = 'running'",
    )
    .bind(runs)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    ring(conn, "runs").await
}
