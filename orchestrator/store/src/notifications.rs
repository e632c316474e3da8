//! The outbox of what people are told: written with the event, claimed by a sender, sent at least once, given up after some tries.

use crate::rows::{clean, parse_json};
use crate::runs::{Run, RunRow};
use crate::tx::ring;
use crate::{Result, Store};
use chrono::{DateTime, TimeDelta, Utc};
use model::Dag;
use model::notify::{Event, Notice, Target};
use serde_json::json;
use sqlx::{FromRow, PgConnection};
use std::collections::HashMap;
use std::sync::Arc;

/// The setting with the address of the pages.
const WEB_URL: &str = "web_url";
/// Tries after which a notification is dead.
pub const TRIES_MAX: i32 = 10;
/// After the first failure; it doubles with each.
const DELAY_MIN: TimeDelta = TimeDelta::seconds(5);
const DELAY_MAX: TimeDelta = TimeDelta::hours(1);
/// Failed tasks that a notice names.
const FAILED_MAX: i64 = 3;

/// What is to be told to one target.
#[derive(Debug, Clone)]
pub(crate) struct NewNotification {
    pub event: Event,
    pub run: i64,
    /// For a deadline of a task: its position.
    pub task: Option<i32>,
    pub dag_id: String,
    pub run_id: String,
    pub task_id: Option<String>,
    pub run_state: String,
    pub text: String,
    /// `None` only until `to_all`.
    pub target: Option<Target>,
}

/// A notification that this caller may send now, with what its templates are rendered over.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub notice: Notice,
    /// With this one.
    pub tries: i32,
    pub run: Run,
    pub dag: Arc<Dag>,
}

#[derive(FromRow)]
struct Claimed {
    id: i64,
    event: String,
    run: i64,
    target: String,
    body: String,
    tries: i32,
}

impl NewNotification {
    /// One for each `notify` entry of the dag that wants this event.
    pub fn for_all(self, dag: &Dag) -> Vec<NewNotification> {
        let wanted = dag.notify.iter().filter(|notify| notify.on.contains(&self.event));
        wanted.map(|notify| NewNotification { target: Some(notify.to.clone()), ..self.clone() }).collect()
    }
}

/// The page of a run, in the address of the pages.
fn url_of(pages: &str, dag_id: &str, run_id: &str) -> String {
    let part = |text: &str| {
        let bytes = text.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        });
        bytes.collect::<String>()
    };
    format!("{}/dags/{}/runs/{}", pages.trim_end_matches('/'), part(dag_id), part(run_id))
}

/// Takes what is due; what was taken too often is dead.
pub(crate) const CLAIM: &str = "
with due as (
   select id from notifications where state = 'waiting' and next_at <= $1 order by next_at, id limit $2
   for no key update skip locked
), dead as (
   update notifications n set state = 'dead', next_at = null, error = coalesce(error, 'its senders died')
   from due where n.id = due.id and n.tries >= $4
)
update notifications n set tries = tries + 1, next_at = $3 from due
where n.id = due.id and n.tries < $4
returning n.id, n.event, n.run, n.target::text as target, n.body::text as body, n.tries";

impl Store {
    /// Takes notifications that are due, at most `limit`. They come back at `again_at` unless the sender says what became of them.
    pub async fn claim_notifications(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        again_at: DateTime<Utc>,
    ) -> Result<Vec<Outgoing>> {
        let mut tx = self.begin().await?;
        let claimed = sqlx::query_as::<_, Claimed>(CLAIM)
            .bind(now)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(again_at)
            .bind(TRIES_MAX)
            .fetch_all(&mut *tx)
            .await?;
        let runs = self.runs_of(&mut tx, &claimed).await?;
        tx.commit().await?;
        let pages = if claimed.is_empty() { None } else { self.settings().await?.remove(WEB_URL) };
        let mut outgoing = Vec::with_capacity(claimed.len());
        for row in claimed {
            let Some((run, dag)) = runs.get(&row.run) else { continue };
            let tries = row.tries;
            let mut notice = row.into_notice()?;
            notice.url = pages.as_deref().map(|pages| url_of(pages, &run.dag_id, &run.run_id));
            if notice.event == Event::Failure {
                self.name_failures(run.id, &mut notice).await?;
            }
            outgoing.push(Outgoing { tries, notice, run: run.clone(), dag: dag.clone() });
        }
        outgoing.sort_unstable_by_key(|outgoing| outgoing.notice.id);
        Ok(outgoing)
    }

    /// Which tasks failed and why, in the notice and its line for people.
    async fn name_failures(&self, run: i64, notice: &mut Notice) -> Result<()> {
        let (failed, total) = self.failures_of(run, FAILED_MAX).await?;
        if failed.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = failed.iter().map(ToString::to_string).collect();
        let more = total - i64::try_from(failed.len()).unwrap_or(total);
        notice.text = format!("{}: {}", notice.text, named.join(", "));
        if more > 0 {
            notice.text = format!("{} and {more} more", notice.text);
        }
        notice.failed = failed;
        Ok(())
    }

    async fn runs_of(
        &self,
        conn: &mut PgConnection,
        claimed: &[Claimed],
    ) -> Result<HashMap<i64, (Run, Arc<Dag>)>> {
        if claimed.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query_as::<_, RunRow>(crate::runs::BY_IDS)
            .bind(claimed.iter().map(|row| row.run).collect::<Vec<_>>())
            .fetch_all(&mut *conn)
            .await?;
        let mut runs = HashMap::new();
        for row in rows {
            let run = row.into_run()?;
            let dag = self.version_on(conn, run.version_id).await?;
            runs.insert(run.id, (run, dag));
        }
        Ok(runs)
    }

    pub async fn notification_sent(&self, id: i64, now: DateTime<Utc>) -> Result<()> {
        sqlx::query(
            "update notifications set state = 'sent', sent_at = $2, next_at = null, error = null where id = $1 and state <> 'sent'",
        )
        .bind(id)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The next try comes after a delay that doubles, or never: then it is dead. Returns when.
    pub async fn notification_failed(
        &self,
        id: i64,
        error: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        let next = sqlx::query_scalar::<_, Option<DateTime<Utc>>>(
            "update notifications set error = $2, state = case when tries >= $4 then 'dead' else state end,
                next_at = case when tries < $4 then $3 + least($5 * power(2, greatest(tries, 1) - 1), $6) * interval '1 second' end
             where id = $1 and state = 'waiting' returning next_at",
        )
        .bind(id)
        .bind(clean(error))
        .bind(now)
        .bind(TRIES_MAX)
        .bind(DELAY_MIN.as_seconds_f64())
        .bind(DELAY_MAX.as_seconds_f64())
        .fetch_optional(&self.pool)
        .await?;
        Ok(next.flatten())
    }

    /// When the next one is due (or was).
    pub async fn next_notification(&self) -> Result<Option<DateTime<Utc>>> {
        let next = sqlx::query_scalar("select min(next_at) from notifications where state = 'waiting'")
            .fetch_one(&self.pool)
            .await?;
        Ok(next)
    }
}

impl Claimed {
    fn into_notice(self) -> Result<Notice> {
        let mut whole: serde_json::Value = parse_json("notifications", "body", self.id, &self.body)?;
        whole["id"] = json!(self.id);
        whole["event"] = json!(self.event);
        whole["target"] = parse_json("notifications", "target", self.id, &self.target)?;
        parse_json("notifications", "body", self.id, &whole.to_string())
    }
}

/// Writes them in the caller's transaction and rings for the sender. Those without a target are nobody's.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    notifications: &[NewNotification],
    now: DateTime<Utc>,
) -> Result<()> {
    let told: Vec<(&NewNotification, &Target)> =
        notifications.iter().filter_map(|new| Some((new, new.target.as_ref()?))).collect();
    if told.is_empty() {
        return Ok(());
    }
    let bodies = told.iter().map(|(new, _)| {
        json!({
            "dag_id": new.dag_id, "run_id": new.run_id, "task_id": new.task_id, "run_state": new.run_state, "at": now,
            "text": new.text,
        })
        .to_string()
    });
    sqlx::query(
        "insert into notifications (event, run, task, target, body, state, next_at, created_at)
         select event, run, task, target::json, body::json, 'waiting', $6, $6
         from unnest($1::text[], $2::int8[], $3::int4[], $4::text[], $5::text[]) as n(event, run, task, target, body)",
    )
    .bind(told.iter().map(|(new, _)| new.event.as_str()).collect::<Vec<_>>())
    .bind(told.iter().map(|(new, _)| new.run).collect::<Vec<_>>())
    .bind(told.iter().map(|(new, _)| new.task).collect::<Vec<_>>())
    .bind(told.iter().map(|(_, target)| json!(target).to_string()).collect::<Vec<_>>())
    .bind(bodies.collect::<Vec<_>>())
    .bind(now)
    .execute(&mut *conn)
    .await?;
    ring(conn, "notify").await
}
