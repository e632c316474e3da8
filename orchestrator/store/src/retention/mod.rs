//! What is forgotten with time: a pass over everything that grows, in steps of bounded size, each a transaction of its own.
//!
//! Never forgotten: a run that is not over, the newest run and the newest tick of a dag (the planner goes on from it), the run before one that
//! is not over (`depends_on_past`, recovery), runs of an open backfill, and runs whose asset events a dag still waits with.
//!
//! A pass can be broken off after any step and begun anew. Not here: when passes are made (`engine`), files outside (`log_archive`).

mod logs;
pub(crate) mod rows;
pub(crate) mod runs;

use crate::{Error, Result, Store, audit};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// How long things are kept, in days; 0: for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Ended runs with all that belongs to them.
    pub runs_days: u32,
    /// Most runs of one dag; 0: any number.
    pub runs_per_dag: u32,
    pub ticks_days: u32,
    /// Those that were sent or given up.
    pub notifications_days: u32,
    pub asset_events_days: u32,
    pub audit_days: u32,
    /// Log lines in the database. With an archive they go there.
    pub logs_days: u32,
    /// Log lines in the archive.
    pub log_archive_days: u32,
}

/// Rows removed, by what they were.
pub type Pruned = BTreeMap<&'static str, i64>;

/// How far a pass has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Position {
    stage: Stage,
    /// In stages that go dag by dag: this one, or all after it.
    dag: String,
    /// The last row looked at.
    after: Option<(DateTime<Utc>, i64)>,
    /// Days of logs seen by a pass that only looks.
    day: Option<NaiveDate>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Runs,
    Backfills,
    Ticks,
    Notifications,
    AssetEvents,
    Audit,
    Logs,
    LogArchive,
}

/// What one step came to.
#[derive(Debug, Clone, Default)]
pub struct Step {
    pub pruned: Pruned,
    /// `None`: the pass is over.
    pub next: Option<Position>,
    /// Why a part was left for the next pass.
    pub left: Option<String>,
}

/// Whether a step removes or only counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Remove,
    Count,
}

/// Rows of one kind so far.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow, Serialize)]
pub struct Pruning {
    pub what: String,
    pub removed: i64,
    pub last_at: DateTime<Utc>,
}

/// Whoever has it makes a pass; it is given back after each.
pub const DUTY: &str = "retention";
/// Before anything that we know of, 1900.
const BEGINNING: DateTime<Utc> = DateTime::from_timestamp(-2_208_988_800, 0).expect("a valid instant");
/// Who makes a pass without being a node.
pub type Holder = uuid::Uuid;
/// Rows looked at by one step.
const STEP_ROWS: i64 = 1_000;
/// The name under which whole passes are counted.
pub const PASSES: &str = "passes";

pub fn new_holder() -> Holder {
    Holder::now_v7()
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            runs_days: 90,
            runs_per_dag: 0,
            ticks_days: 400,
            notifications_days: 30,
            asset_events_days: 90,
            audit_days: 400,
            logs_days: 30,
            log_archive_days: 365,
        }
    }
}

impl Policy {
    /// Everything is kept.
    pub fn never() -> Self {
        Policy {
            runs_days: 0,
            runs_per_dag: 0,
            ticks_days: 0,
            notifications_days: 0,
            asset_events_days: 0,
            audit_days: 0,
            logs_days: 0,
            log_archive_days: 0,
        }
    }
}

impl Stage {
    const ALL: [Stage; 8] = [
        Stage::Runs,
        Stage::Backfills,
        Stage::Ticks,
        Stage::Notifications,
        Stage::AssetEvents,
        Stage::Audit,
        Stage::Logs,
        Stage::LogArchive,
    ];

    fn next(self) -> Option<Position> {
        let at = Stage::ALL.iter().position(|stage| *stage == self)?;
        Stage::ALL.get(at + 1).map(|stage| Position { stage: *stage, ..Position::default() })
    }
}

impl Position {
    /// The next dag of the same stage.
    fn after_dag(stage: Stage, dag: String) -> Position {
        Position { stage, dag, after: None, day: None }
    }
}

impl Step {
    /// Nothing more to do in this stage.
    fn over(stage: Stage, pruned: Pruned) -> Step {
        Step { pruned, next: stage.next(), left: None }
    }

    fn on(pruned: Pruned, next: Position) -> Step {
        Step { pruned, next: Some(next), left: None }
    }
}

impl Store {
    /// One bounded part of a pass that stands at `at`; a pass begins at `Position::default()`.
    pub async fn prune_step(
        &self,
        policy: &Policy,
        at: &Position,
        mode: Mode,
        now: DateTime<Utc>,
    ) -> Result<Step> {
        match at.stage {
            Stage::Runs => self.prune_runs(policy, at, mode, now).await,
            Stage::Backfills => {
                self.prune_rows(&rows::BACKFILLS, before(now, policy.runs_days), at, mode, now).await
            }
            Stage::Ticks => self.prune_ticks(policy, at, mode, now).await,
            Stage::Notifications => {
                self.prune_rows(&rows::NOTIFICATIONS, before(now, policy.notifications_days), at, mode, now)
                    .await
            }
            Stage::AssetEvents => {
                self.prune_rows(&rows::ASSET_EVENTS, before(now, policy.asset_events_days), at, mode, now)
                    .await
            }
            Stage::Audit => {
                self.prune_rows(&rows::AUDIT, before(now, policy.audit_days), at, mode, now).await
            }
            Stage::Logs => self.prune_logs(policy, at, mode, now).await,
            Stage::LogArchive => self.prune_log_archive(policy, at, mode, now).await,
        }
    }

    /// Counts a whole pass, and says in the audit log what went.
    pub async fn end_prune(&self, who: &str, pruned: &Pruned, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.begin().await?;
        count(&mut tx, &Pruned::from([(PASSES, 1)]), now).await?;
        if pruned.values().any(|rows| *rows > 0) {
            audit::record(&mut tx, who, "db.prune", "database", &json!(pruned), now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// When the newest pass ended.
    pub async fn last_prune(&self) -> Result<Option<DateTime<Utc>>> {
        let last = sqlx::query_scalar("select last_at from prunings where what = $1")
            .bind(PASSES)
            .fetch_optional(&self.pool)
            .await?;
        Ok(last)
    }

    /// What was pruned so far, by what it was.
    pub async fn prunings(&self) -> Result<Vec<Pruning>> {
        let rows = sqlx::query_as("select what, removed, last_at from prunings order by what limit 100")
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// When the run was pruned, as far as the ledger tells it: its id names its tick.
    pub async fn pruned_at(&self, dag_id: &str, run_id: &str) -> Result<Option<DateTime<Utc>>> {
        let tick = run_id.split_once("__").map(|(_, tick)| tick.parse::<DateTime<Utc>>());
        let Some(Ok(tick)) = tick else { return Ok(None) };
        let pruned = sqlx::query_scalar::<_, Option<DateTime<Utc>>>(
            "select pruned_at from ticks where dag_id = $1 and tick_at = $2",
        )
        .bind(dag_id)
        .bind(tick)
        .fetch_optional(&self.pool)
        .await?;
        Ok(pruned.flatten())
    }
}

/// Older than this goes; `None`: nothing does.
fn before(now: DateTime<Utc>, days: u32) -> Option<DateTime<Utc>> {
    if days == 0 { None } else { now.checked_sub_signed(TimeDelta::days(i64::from(days))) }
}

/// Adds to what was pruned so far, in the transaction that does it.
async fn count(conn: &mut PgConnection, pruned: &Pruned, now: DateTime<Utc>) -> Result<()> {
    let some: Vec<(&str, i64)> =
        pruned.iter().filter(|(_, rows)| **rows > 0).map(|(what, rows)| (*what, *rows)).collect();
    if some.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into prunings (what, removed, last_at) select what, removed, $3 from unnest($1::text[], $2::int8[]) as p(what, removed)
         on conflict (what) do update set removed = prunings.removed + excluded.removed, last_at = excluded.last_at",
    )
    .bind(some.iter().map(|(what, _)| *what).collect::<Vec<_>>())
    .bind(some.iter().map(|(_, rows)| *rows).collect::<Vec<_>>())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// A lock that was not to be had in time: the next pass tries again.
fn is_locked_out(error: &Error) -> bool {
    matches!(error, Error::Db(sqlx::Error::Database(db)) if db.code().as_deref() == Some("55P03"))
}
