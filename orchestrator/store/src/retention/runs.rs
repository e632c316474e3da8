//! Ended runs with all that belongs to them, dag by dag, the oldest first.

use super::{BEGINNING, Mode, Policy, Position, Pruned, STEP_ROWS, Stage, Step, before, count};
use crate::tx::in_tx;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

/// Rows of tasks and attempts that one statement removes with their runs; one run goes whole, however large it is.
const ROWS_MAX: i64 = 20_000;
/// Dags looked at by one step in which nothing is to be removed.
const DAGS_MAX: usize = 200;

#[derive(FromRow)]
struct Candidate {
    id: i64,
    run_after: DateTime<Utc>,
    goes: bool,
    instances: i64,
    attempts: i64,
}

/// The next runs of a dag that are old by their time to start or beyond the number to keep, and which of them may go: it has ended, and the run
/// after it, also the one after it of those that `depends_on_past` looks at, is there and has ended too.
pub(crate) const CANDIDATES: &str = "
with page as (
    select r.id, r.run_after, r.run_type, r.backfill,
        r.state in ('success', 'failed', 'cancelled')
            and (coalesce(r.ended_at < $6, false) or coalesce((r.run_after, r.id) <= ($7, $8), false)) as is_old
    from runs r
    where r.dag_id = $1 and (r.run_after, r.id) > ($2, $3) and (r.run_after, r.id) <= ($4, $5)
    order by r.run_after, r.id limit $9
), judged as materialized (
    select p.id, p.run_after, p.is_old
        and coalesce(nearest.state in ('success', 'failed', 'cancelled'), false)
        and (p.run_type = 'asset_triggered' or coalesce(later.state in ('success', 'failed', 'cancelled'), false))
        and coalesce((select b.ended_at is not null from backfills b where b.id = p.backfill), true)
        and (select count(*) from asset_events e where e.run = p.id and exists (select 1 from asset_queue q where q.event = e.id)) = 0
        and (select count(*) from attempts a where a.run = p.id) = 0 as goes
    from page p
    left join lateral (
        select n.state from runs n where n.dag_id = $1 and (n.run_after, n.id) > (p.run_after, p.id)
        order by n.run_after, n.id limit 1
    ) nearest on p.is_old
    left join lateral (
        select n.state from runs n where n.dag_id = $1 and (n.run_after, n.id) > (p.run_after, p.id)
            and n.run_type in ('scheduled', 'backfill', 'manual')
        order by n.run_after, n.id limit 1
    ) later on p.is_old
)
select j.id, j.run_after, j.goes,
    case when j.goes then (select count(*) from task_instances i where i.run = j.id) else 0 end as instances,
    case when j.goes then (select count(*) from attempt_history h where h.run = j.id) else 0 end as attempts
from judged j order by j.run_after, j.id";

impl Store {
    pub(super) async fn prune_runs(
        &self,
        policy: &Policy,
        at: &Position,
        mode: Mode,
        now: DateTime<Utc>,
    ) -> Result<Step> {
        if policy.runs_days == 0 && policy.runs_per_dag == 0 {
            return Ok(Step::over(Stage::Runs, Pruned::new()));
        }
        let mut conn = self.pool.acquire().await?;
        let mut at = at.clone();
        for _ in 0..DAGS_MAX {
            if at.after.is_none() {
                let Some(dag) = next_dag(&mut conn, &at.dag).await? else {
                    return Ok(Step::over(Stage::Runs, Pruned::new()));
                };
                at = Position { dag, after: Some((BEGINNING, 0)), ..at };
            }
            let page = candidates(&mut conn, policy, &at, now).await?;
            let taken = first_that_fit(&page);
            let next = match (page.last(), taken.last()) {
                // Not all that go fit into this step.
                (_, Some(last)) if taken.len() < page.iter().filter(|run| run.goes).count() => Some(*last),
                (Some(last), _) if page.len() as i64 == STEP_ROWS => Some(last),
                _ => None,
            };
            let next = match next {
                Some(run) => Position { after: Some((run.run_after, run.id)), ..at.clone() },
                None => Position::after_dag(Stage::Runs, at.dag.clone()),
            };
            if !taken.is_empty() {
                let pruned = match mode {
                    Mode::Count => counted(&taken),
                    Mode::Remove => {
                        let ids: Vec<i64> = taken.iter().map(|run| run.id).collect();
                        in_tx("prune runs", || self.remove_runs(&ids, now)).await?
                    }
                };
                return Ok(Step::on(pruned, next));
            }
            at = next;
        }
        Ok(Step::on(Pruned::new(), at))
    }

    /// What was cleared meanwhile, or is being cleared now, stays.
    async fn remove_runs(&self, ids: &[i64], now: DateTime<Utc>) -> Result<Pruned> {
        let mut tx = self.begin().await?;
        let ids = sqlx::query_scalar::<_, i64>(
            "select id from runs where id = any($1) and state in ('success', 'failed', 'cancelled')
             order by id for update skip locked",
        )
        .bind(ids)
        .fetch_all(&mut *tx)
        .await?;
        keep_in_ledger(&mut tx, &ids, now).await?;
        let mut pruned = Pruned::new();
        for (what, statement) in [
            ("attempts", "delete from attempt_history where run = any($1)"),
            ("service_status", "delete from service_status where run = any($1)"),
            ("task_instances", "delete from task_instances where run = any($1)"),
            ("checks", "delete from checks where run = any($1)"),
            ("notifications", "delete from notifications where run = any($1)"),
            ("runs", "delete from runs where id = any($1)"),
        ] {
            let removed = sqlx::query(statement).bind(&ids).execute(&mut *tx).await?.rows_affected();
            pruned.insert(what, i64::try_from(removed).unwrap_or(i64::MAX));
        }
        count(&mut tx, &pruned, now).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

/// Their ticks ran, whatever is known of it. Those of a backfill may have had no row; the newest row stays the newest.
async fn keep_in_ledger(conn: &mut PgConnection, ids: &[i64], now: DateTime<Utc>) -> Result<()> {
    sqlx::query("update ticks set pruned_at = $2 where run = any($1) and decision = 'ran'")
        .bind(ids)
        .bind(now)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "insert into ticks (dag_id, tick_at, decision, decided_at, pruned_at)
         select distinct on (r.dag_id, r.logical_date) r.dag_id, r.logical_date, 'ran', r.queued_at, $2 from runs r
         where r.id = any($1) and r.run_type = 'backfill' and r.logical_date is not null
            and exists (select 1 from ticks t where t.dag_id = r.dag_id and t.tick_at > r.logical_date)
         on conflict (dag_id, tick_at) do update set pruned_at = excluded.pruned_at",
    )
    .bind(ids)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn next_dag(conn: &mut PgConnection, after: &str) -> Result<Option<String>> {
    let dag = sqlx::query_scalar("select dag_id from dags where dag_id > $1 order by dag_id limit 1")
        .bind(after)
        .fetch_optional(conn)
        .await?;
    Ok(dag)
}

async fn candidates(
    conn: &mut PgConnection,
    policy: &Policy,
    at: &Position,
    now: DateTime<Utc>,
) -> Result<Vec<Candidate>> {
    let cutoff = before(now, policy.runs_days);
    let beyond = match policy.runs_per_dag {
        0 => None,
        kept => {
            sqlx::query_as::<_, (DateTime<Utc>, i64)>(
                "select run_after, id from runs where dag_id = $1 order by run_after desc, id desc offset $2 limit 1",
            )
            .bind(&at.dag)
            .bind(i64::from(kept))
            .fetch_optional(&mut *conn)
            .await?
        }
    };
    // A run ends after it may start: what is old by its end is old by its start.
    let Some((until, until_id)) = cutoff.map(|cutoff| (cutoff, i64::MAX)).max(beyond) else {
        return Ok(Vec::new());
    };
    let (after, after_id) = at.after.unwrap_or((BEGINNING, 0));
    let rows = sqlx::query_as::<_, Candidate>(CANDIDATES)
        .bind(&at.dag)
        .bind(after)
        .bind(after_id)
        .bind(until)
        .bind(until_id)
        .bind(cutoff)
        .bind(beyond.map(|(at, _)| at))
        .bind(beyond.map(|(_, id)| id))
        .bind(STEP_ROWS)
        .fetch_all(conn)
        .await?;
    Ok(rows)
}

/// Those that go, until their rows are too many; at least one.
fn first_that_fit(page: &[Candidate]) -> Vec<&Candidate> {
    let mut rows = 0;
    let mut taken = Vec::new();
    for run in page.iter().filter(|run| run.goes) {
        rows += run.instances + run.attempts;
        if rows > ROWS_MAX && !taken.is_empty() {
            break;
        }
        taken.push(run);
    }
    taken
}

fn counted(taken: &[&Candidate]) -> Pruned {
    Pruned::from([
        ("runs", i64::try_from(taken.len()).unwrap_or(i64::MAX)),
        ("task_instances", taken.iter().map(|run| run.instances).sum()),
        ("attempts", taken.iter().map(|run| run.attempts).sum()),
    ])
}
