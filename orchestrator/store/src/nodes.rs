//! Nodes, their heartbeats, and duties that need one owner.

use crate::ends::End;
use crate::{Error, Result, Store};
use chrono::{DateTime, Utc};
use model::Ending;
use std::time::Duration;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct NewNode {
    pub id: Uuid,
    pub name: String,
    pub host: String,
    pub pid: i32,
    /// Where other nodes reach its web server, if it has one.
    pub http_url: Option<String>,
    pub version: String,
    /// Attempts that it runs at once at most, tasks and services; 0 if it runs none.
    pub task_slots: i32,
    pub service_slots: i32,
}

/// What the store answers to a heartbeat.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat {
    /// The node is not known any more (it was given up): it must stop all its attempts and register anew.
    pub given_up: bool,
    /// (attempt, lease) that the store says this node holds; what it runs besides has been taken away and must be killed.
    pub held: Vec<(i64, i64)>,
    /// Of those, the ones asked to stop, with the reason.
    pub stop: Vec<(i64, String)>,
}

/// Attempts given up in one transaction: enough to be quick, few enough not to hold many runs' locks for long.
const LOST_BATCH: i64 = 200;
/// Rounds of one call; what is left then is left to the next call.
const LOST_ROUNDS_MAX: usize = 500;
/// How long nodes that ended are remembered.
const ENDED_NODES_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

impl Store {
    /// Registers a node, or one that was given up anew.
    pub async fn register_node(&self, node: &NewNode, now: DateTime<Utc>) -> Result<()> {
        sqlx::query(
            "insert into nodes (id, name, host, pid, http_url, version, registered_at, last_seen_at, task_slots, service_slots)
             values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)
             on conflict (id) do update set
                name = excluded.name, host = excluded.host, pid = excluded.pid, http_url = excluded.http_url,
                version = excluded.version, task_slots = $8, service_slots = $9, registered_at = $7, last_seen_at = $7, ended_at = null, ended_reason = null",
        )
        .bind(node.id)
        .bind(&node.name)
        .bind(&node.host)
        .bind(node.pid)
        .bind(&node.http_url)
        .bind(&node.version)
        .bind(now)
        .bind(node.task_slots)
        .bind(node.service_slots)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// One update for the node; its attempts' leases live as long as its heartbeat.
    pub async fn heartbeat(&self, node: Uuid, now: DateTime<Utc>) -> Result<Heartbeat> {
        let rows = sqlx::query_as::<_, (bool, Option<i64>, Option<i64>, Option<String>)>(
            "with beat as (
                update nodes set last_seen_at = greatest(last_seen_at, $2) where id = $1 and ended_at is null returning id
             )
             select exists (select 1 from beat), a.id, a.lease, a.stop_reason
             from (select) one left join attempts a on a.node = $1 and a.state = 'running'
             order by a.id",
        )
        .bind(node)
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        let mut heartbeat =
            Heartbeat { given_up: !rows.first().is_some_and(|row| row.0), ..Heartbeat::default() };
        if heartbeat.given_up {
            return Ok(heartbeat);
        }
        for (_, attempt, lease, stop_reason) in rows {
            let (Some(attempt), Some(lease)) = (attempt, lease) else { continue };
            heartbeat.held.push((attempt, lease));
            heartbeat.stop.extend(stop_reason.map(|reason| (attempt, reason)));
        }
        Ok(heartbeat)
    }

    /// A node that leaves by itself: what it still holds is lost at once.
    pub async fn deregister_node(&self, node: Uuid, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("update nodes set ended_at = $2, ended_reason = 'left by itself' where id = $1 and ended_at is null")
            .bind(node)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        sqlx::query("update duties set expires_at = 'epoch' where node = $1")
            .bind(node)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.end_lost(now).await?;
        Ok(())
    }

    /// Gives up nodes without a heartbeat for `ttl`; their attempts end as `Ending::Lost`. Returns (nodes, attempts) given up.
    pub async fn expire_nodes(&self, now: DateTime<Utc>, ttl: Duration) -> Result<(usize, usize)> {
        let nodes = sqlx::query(
            "update nodes set ended_at = $1, ended_reason = 'no heartbeat since ' || to_char(last_seen_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
             where ended_at is null and last_seen_at < $1 - $2::int8 * interval '1 microsecond'",
        )
        .bind(now)
        .bind(micros(ttl))
        .execute(&self.pool)
        .await?;
        let attempts = self.end_lost(now).await?;
        sqlx::query(
            "delete from nodes n where ended_at < $1 - $2::int8 * interval '1 microsecond'
                and not exists (select 1 from attempts a where a.node = n.id and a.state = 'running')",
        )
        .bind(now)
        .bind(micros(ENDED_NODES_KEPT))
        .execute(&self.pool)
        .await?;
        Ok((usize::try_from(nodes.rows_affected()).unwrap_or(usize::MAX), attempts))
    }

    /// Gives up the live nodes of this name, with their duties. For a node that knows that they are dead because it holds their data
    /// folder: it need not wait for their leases. Returns the attempts given up.
    pub async fn succeed_nodes_named(&self, name: &str, now: DateTime<Utc>) -> Result<usize> {
        sqlx::query(
            "with dead as (
                update nodes set ended_at = $2, ended_reason = 'its successor has started' where name = $1 and ended_at is null returning id
             )
             update duties set expires_at = 'epoch' from dead where node = dead.id",
        )
        .bind(name)
        .bind(now)
        .execute(&self.pool)
        .await?;
        self.end_lost(now).await
    }

    /// Ends what is held by no live node, in bounded batches; also what a node claimed in the instant in which it was given up.
    async fn end_lost(&self, now: DateTime<Utc>) -> Result<usize> {
        let (mut ended, mut after) = (0, 0);
        for _ in 0..LOST_ROUNDS_MAX {
            let lost = sqlx::query_as::<_, (i64, i64)>(
                "select id, lease from attempts a
                 where state = 'running' and id > $1 and not exists (select 1 from nodes n where n.id = a.node and n.ended_at is null)
                 order by id limit $2",
            )
            .bind(after)
            .bind(LOST_BATCH)
            .fetch_all(&self.pool)
            .await?;
            let Some((last, _)) = lost.last() else { break };
            after = *last;
            let ends: Vec<End> =
                lost.iter().map(|(attempt_id, lease)| lost_end(*attempt_id, *lease)).collect();
            ended += self.end_batch(ends, now).await?;
        }
        Ok(ended)
    }

    /// A run that is broken must not keep the others from moving on: if the batch fails, each end is tried by itself.
    async fn end_batch(&self, ends: Vec<End>, now: DateTime<Utc>) -> Result<usize> {
        let count = ends.len();
        match self.finish_batch(ends.clone(), now, None).await {
            Ok(finished) => return Ok(count - finished.stale.len()),
            Err(Error::Inconsistent { .. } | Error::Stale { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut ended = 0;
        for end in ends {
            let attempt_id = end.attempt_id;
            match self.finish_batch(vec![end], now, None).await {
                Ok(finished) => ended += 1 - finished.stale.len(),
                Err(error) => {
                    tracing::error!(attempt.id = attempt_id, %error, "a lost attempt cannot be ended")
                }
            }
        }
        Ok(ended)
    }

    /// Takes or keeps a duty (`planner`, `reaper`, `route:warehouse`) for `ttl`. The term grows with each change of owner; `None`: another has it.
    pub async fn hold_duty(
        &self,
        name: &str,
        node: Uuid,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<i64>> {
        let term = sqlx::query_scalar(
            "insert into duties (name, node, term, expires_at) values ($1, $2, 1, $3::timestamptz + $4::int8 * interval '1 microsecond')
             on conflict (name) do update set
                node = excluded.node, expires_at = excluded.expires_at,
                term = duties.term + case when duties.node = excluded.node then 0 else 1 end
             where duties.node = excluded.node or duties.expires_at <= $3
             returning term",
        )
        .bind(name)
        .bind(node)
        .bind(now)
        .bind(micros(ttl))
        .fetch_optional(&self.pool)
        .await?;
        Ok(term)
    }

    pub async fn release_duty(&self, name: &str, node: Uuid) -> Result<()> {
        sqlx::query("update duties set expires_at = 'epoch' where name = $1 and node = $2")
            .bind(name)
            .bind(node)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The web address of the node that holds a duty, for pages that must ask it.
    pub async fn duty_url(&self, name: &str, now: DateTime<Utc>) -> Result<Option<(Uuid, String)>> {
        let holder = sqlx::query_as(
            "select n.id, n.http_url from duties d join nodes n on n.id = d.node
             where d.name = $1 and d.expires_at > $2 and n.ended_at is null and n.http_url is not null",
        )
        .bind(name)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        Ok(holder)
    }
}

fn lost_end(attempt_id: i64, lease: i64) -> End {
    End {
        attempt_id,
        lease,
        ending: Ending::Lost,
        outputs: None,
        message: Some("the node that ran it does not answer any more, or left".to_owned()),
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
