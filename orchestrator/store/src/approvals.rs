//! Questions to people: asked once by the task, decided once by a person, who thereby wakes it.

use crate::rows::{clean, parse};
use crate::runs::lock_named;
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store, audit};
use chrono::{DateTime, Utc};
use model::platform::{Approval, Asker};
use serde_json::json;
use sqlx::PgConnection;
use std::time::Duration;

/// A task looks for an answer in a moment; how often and after how long that is waited for.
const ASKING_MAX: u32 = 40;
const ASKING_FOR: Duration = Duration::from_millis(50);

/// One question, by the names that people use.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalName<'a> {
    pub dag_id: &'a str,
    pub run_id: &'a str,
    pub task_id: &'a str,
    /// -1 for a plain task.
    pub map_index: i32,
}

impl Store {
    /// Asks, unless it was asked before; returns what is decided.
    pub async fn ask_approval(&self, asker: &Asker, prompt: &str, now: DateTime<Utc>) -> Result<Approval> {
        let task = i32::try_from(asker.task).unwrap_or(i32::MAX);
        sqlx::query(
            "insert into approvals (run, task, map_index, prompt, asked_at) values ($1, $2, $3, $4, $5) on conflict do nothing",
        )
        .bind(asker.run)
        .bind(task)
        .bind(asker.map_index)
        .bind(clean(prompt))
        .bind(now)
        .execute(&self.pool)
        .await?;
        let (decision, who, comment) = sqlx::query_as::<_, (Option<String>, Option<String>, String)>(
            "select decision, decided_by, comment from approvals where (run, task, map_index) = ($1, $2, $3)",
        )
        .bind(asker.run)
        .bind(task)
        .bind(asker.map_index)
        .fetch_one(&self.pool)
        .await?;
        let who = who.unwrap_or_default();
        Ok(match decision.as_deref() {
            None => Approval::Waiting,
            Some("approved") => Approval::Approved { who, comment },
            Some(_) => Approval::Rejected { who, comment },
        })
    }

    /// Decides an open question and wakes the instance that asked it. Decided already, or nobody waits for it any more: `Error::Refused`.
    pub async fn decide_approval(
        &self,
        name: ApprovalName<'_>,
        approved: bool,
        who: &str,
        comment: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        for _ in 0..ASKING_MAX {
            let decided =
                in_tx("decide approval", || self.decide_approval_once(name, approved, who, comment, now));
            if decided.await? {
                return Ok(());
            }
            tokio::time::sleep(ASKING_FOR).await;
        }
        let message = format!("{}/{}/{} asks just now: try again", name.dag_id, name.run_id, name.task_id);
        Err(Error::Refused { message })
    }

    /// `false`: the task looks for an answer at this moment. It might miss this one and then wait as long as it wanted to.
    async fn decide_approval_once(
        &self,
        name: ApprovalName<'_>,
        approved: bool,
        who: &str,
        comment: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let (run, _) = lock_named(&mut tx, name.dag_id, name.run_id).await?;
        let subject = format!("{}/{}/{}", name.dag_id, name.run_id, name.task_id);
        let asked = sqlx::query_as::<_, (i32, Option<String>, Option<String>, String)>(
            "select a.task, a.decision, a.decided_by, i.state from approvals a join task_instances i using (run, task, map_index)
             where a.run = $1 and i.task_id = $2 and a.map_index = $3 for update of a",
        )
        .bind(run)
        .bind(name.task_id)
        .bind(name.map_index)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((task, decided, by, state)) = asked else {
            return Err(Error::NotFound {
                what: format!("a question of {subject} (map index {})", name.map_index),
            });
        };
        if let Some(decided) = decided {
            let message = format!("{subject} was {decided} by {} already", by.unwrap_or_default());
            return Err(Error::Refused { message });
        }
        let state: model::TaskState = parse("task_instances", "state", run, &state)?;
        if state.is_final() {
            return Err(Error::Refused { message: format!("{subject} waits no more: it is {state}") });
        }
        if state == model::TaskState::Running {
            return Ok(false);
        }
        let decision = if approved { "approved" } else { "rejected" };
        sqlx::query(
            "update approvals set decision = $4, decided_by = $5, decided_at = $6, comment = $7
             where (run, task, map_index) = ($1, $2, $3) and decision is null",
        )
        .bind(run)
        .bind(task)
        .bind(name.map_index)
        .bind(decision)
        .bind(clean(who))
        .bind(now)
        .bind(clean(comment))
        .execute(&mut *tx)
        .await?;
        wake(&mut tx, run, task, name.map_index, now).await?;
        let details = json!({ "map_index": name.map_index, "comment": comment });
        let action = if approved { "approval.approve" } else { "approval.reject" };
        audit::record(&mut tx, who, action, &subject, &details, now).await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// The instance looks again at once. The run's row is locked.
async fn wake(
    conn: &mut PgConnection,
    run: i64,
    task: i32,
    map_index: i32,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "update task_instances set next_at = $4
         where (run, task, map_index) = ($1, $2, $3) and state = 'up_for_reschedule' and next_at > $4",
    )
    .bind(run)
    .bind(task)
    .bind(map_index)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "update runs set wake_at = least(wake_at, $2), revision = revision + 1 where id = $1 and state = 'running'",
    )
    .bind(run)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
