//! Clearing: instances go back to `none`, a final run goes back to `queued`, and both happen again on the same version.

use crate::runs::lock_named;
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store, audit};
use chrono::{DateTime, Utc};
use model::{Dag, RunState};
use sqlx::PgConnection;

/// What to clear, as asked for.
struct Wish<'a> {
    dag_id: &'a str,
    run_id: &'a str,
    tasks: Option<&'a [String]>,
    only_failed: bool,
    dry_run: bool,
    who: &'a str,
}

impl Store {
    /// Puts instances of a run (all, or those named, with everything downstream) back to `none` and a final run back to `queued`. Returns what
    /// was cleared; with `dry_run` only says so. A name may also be a group's. Live instances are left alone: cancel the run first.
    #[expect(clippy::too_many_arguments, reason = "one call a request, every part needed")]
    pub async fn clear(
        &self,
        dag_id: &str,
        run_id: &str,
        tasks: Option<&[String]>,
        only_failed: bool,
        dry_run: bool,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, i32)>> {
        let wish = Wish { dag_id, run_id, tasks, only_failed, dry_run, who };
        in_tx("clear", || self.clear_once(&wish, now)).await
    }

    async fn clear_once(&self, wish: &Wish<'_>, now: DateTime<Utc>) -> Result<Vec<(String, i32)>> {
        let mut tx = self.begin().await?;
        let (run, state) = lock_named(&mut tx, wish.dag_id, wish.run_id).await?;
        let (version, cancelling) = sqlx::query_as::<_, (i64, bool)>(
            "select version_id, cancel_requested_at is not null from runs where id = $1",
        )
        .bind(run)
        .fetch_one(&mut *tx)
        .await?;
        if state == RunState::Running && cancelling {
            let message = format!("run '{}' is being cancelled: clear it when it has ended", wish.run_id);
            return Err(Error::Refused { message });
        }
        let dag = self.version_on(&mut tx, version).await?;
        let chosen = wish.chosen(&dag)?;
        let found = find(&mut tx, run, &chosen, wish.only_failed).await?;
        if wish.dry_run || found.is_empty() {
            return Ok(found.into_iter().map(|(_, map_index, task_id)| (task_id, map_index)).collect());
        }
        reset(&mut tx, run, &found).await?;
        requeue(&mut tx, run, now).await?;
        let details = serde_json::json!({ "instances": found.len(), "tasks": wish.tasks, "only_failed": wish.only_failed });
        let subject = format!("{}/{}", wish.dag_id, wish.run_id);
        audit::record(&mut tx, wish.who, "run.clear", &subject, &details, now).await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok(found.into_iter().map(|(_, map_index, task_id)| (task_id, map_index)).collect())
    }
}

impl Wish<'_> {
    /// Positions of the tasks named and of all that come after them.
    fn chosen(&self, dag: &Dag) -> Result<Vec<i32>> {
        let Some(names) = self.tasks else { return Ok((0..).take(dag.tasks.len()).collect()) };
        let mut chosen = vec![false; dag.tasks.len()];
        for name in names {
            let mut known = false;
            for (position, task) in dag.tasks.iter().enumerate() {
                if task.id == *name || task.group.as_deref() == Some(name) {
                    chosen[position] = true;
                    known = true;
                }
            }
            if !known {
                let message =
                    format!("run '{}' of dag '{}' has no task or group '{name}'", self.run_id, self.dag_id);
                return Err(Error::Refused { message });
            }
        }
        // Topological order: what a task needs stands before it.
        for position in 0..dag.tasks.len() {
            let below = dag.tasks[position].needs.iter().any(|need| chosen[*need]);
            chosen[position] |= below;
        }
        Ok((0..).zip(chosen).filter_map(|(position, chosen)| chosen.then_some(position)).collect())
    }
}

async fn find(
    conn: &mut PgConnection,
    run: i64,
    tasks: &[i32],
    only_failed: bool,
) -> Result<Vec<(i32, i32, String)>> {
    let found = sqlx::query_as(
        "select task, map_index, task_id from task_instances
         where run = $1 and task = any($2) and case when $3 then state in ('failed', 'upstream_failed', 'cancelled')
            else state not in ('none', 'queued', 'running') end
         order by task, map_index",
    )
    .bind(run)
    .bind(tasks)
    .bind(only_failed)
    .fetch_all(conn)
    .await?;
    Ok(found)
}

async fn reset(conn: &mut PgConnection, run: i64, found: &[(i32, i32, String)]) -> Result<()> {
    let (tasks, map_indexes): (Vec<i32>, Vec<i32>) =
        found.iter().map(|(task, map_index, _)| (*task, *map_index)).unzip();
    sqlx::query(
        "update task_instances i set
            state = 'none', failures = 0, losses = 0, next_at = null, started_at = null, ended_at = null, outputs = null, message = null
         from unnest($2::int4[], $3::int4[]) as c(task, map_index)
         where i.run = $1 and i.task = c.task and i.map_index = c.map_index and task_may_become(i.state, 'none')",
    )
    .bind(run)
    .bind(tasks)
    .bind(map_indexes)
    .execute(conn)
    .await?;
    Ok(())
}

/// A final run waits for its turn again; a running one is looked at soon.
async fn requeue(conn: &mut PgConnection, run: i64, now: DateTime<Utc>) -> Result<()> {
    sqlx::query(
        "update runs set state = 'queued', clears = clears + 1, queued_at = $2, started_at = null, ended_at = null,
            cancel_requested_at = null, wake_at = null
         where id = $1 and run_may_become(state, 'queued')",
    )
    .bind(run)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    sqlx::query("update runs set wake_at = $2 where id = $1 and state = 'running'")
        .bind(run)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}
