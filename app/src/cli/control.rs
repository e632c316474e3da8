//! Words of `streamify backfill`, `pool`, `approval` and `asset`.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use clap::{Args, Subcommand};
use store::backfills::Reprocess;

#[derive(Subcommand)]
pub enum BackfillCommand {
    /// What a backfill would do with each tick, and why; changes nothing
    Plan(BackfillArgs),
    /// Make the runs of the plan
    Create(BackfillArgs),
    /// Backfills, newest first
    List {
        dag: Option<String>,
        /// Only those that go on
        #[arg(long)]
        open: bool,
        #[arg(long, short, default_value_t = 20)]
        limit: i64,
    },
    /// One backfill and its runs
    Show {
        id: i64,
        #[arg(long, short, default_value_t = 200)]
        limit: i64,
    },
    /// Start no further run of it
    Pause(OneBackfill),
    /// Go on with it
    Unpause(OneBackfill),
    /// Cancel what waits, and ask what runs to stop
    Cancel(OneBackfill),
}

#[derive(Args)]
pub struct OneBackfill {
    pub id: i64,
    /// Why, for the audit log
    #[arg(long, default_value = "")]
    pub reason: String,
}

#[derive(Args)]
pub struct BackfillArgs {
    pub dag: String,
    /// First tick: a date, or an instant such as 2026-03-01T12:00 (UTC)
    #[arg(long, value_parser = instant)]
    pub from: DateTime<Utc>,
    /// Ticks before this one
    #[arg(long, value_parser = instant)]
    pub to: DateTime<Utc>,
    /// Ticks that have a run already: none are run again, failed ones, or all completed ones
    #[arg(long, default_value = "none")]
    pub reprocess: Reprocess,
    /// The newest tick first
    #[arg(long)]
    pub backwards: bool,
    /// Most of its runs at once; they do not count for the dag's own max_active_runs
    #[arg(long, default_value_t = 4)]
    pub max_active_runs: u32,
    /// Parameter of each run, as name=value
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Why, for the audit log and the page
    #[arg(long, default_value = "")]
    pub reason: String,
}

#[derive(Subcommand)]
pub enum PoolCommand {
    /// Pools and what takes their slots now
    List,
    /// Make a pool, or change it
    Set {
        name: String,
        /// Most slots that running tasks take together; 0 stops it
        slots: u32,
        #[arg(long, default_value = "")]
        description: String,
        /// Why, for the audit log
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Remove a pool that nothing uses
    Delete {
        name: String,
        /// Why, for the audit log
        #[arg(long, default_value = "")]
        reason: String,
    },
}

#[derive(Subcommand)]
pub enum ApprovalCommand {
    /// Questions that wait for an answer
    List {
        /// Also those that were answered
        #[arg(long)]
        all: bool,
        #[arg(long, short, default_value_t = 50)]
        limit: i64,
    },
    /// Answer with yes
    Approve(Answer),
    /// Answer with no: the task fails
    Reject(Answer),
}

#[derive(Args)]
pub struct Answer {
    pub dag: String,
    pub run_id: String,
    pub task: String,
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    pub map_index: i32,
    /// Why, for the task and the audit log
    #[arg(long, visible_alias = "reason", default_value = "")]
    pub comment: String,
}

#[derive(Subcommand)]
pub enum AssetCommand {
    /// Assets: who writes, reads and waits for them, and when they were written last
    List,
    /// Writes of an asset, or of all, newest first
    Events {
        asset: Option<String>,
        #[arg(long, short, default_value_t = 30)]
        limit: i64,
    },
    /// Say that something outside wrote an asset: dags that wait for it run
    Tell {
        asset: String,
        /// Why, for the audit log
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// RFC 3339, or without a zone (UTC), or a date (its first instant).
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let naive = |format| NaiveDateTime::parse_from_str(text, format).ok();
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.with_timezone(&Utc))
        .ok()
        .or_else(|| {
            naive("%Y-%m-%dT%H:%M").or_else(|| naive("%Y-%m-%dT%H:%M:%S")).or_else(date).map(|at| at.and_utc())
        })
        .ok_or_else(|| format!("'{text}' is no instant: write 2026-03-01, 2026-03-01T12:00 (UTC) or 2026-03-01T12:00:00+01:00"))
}
