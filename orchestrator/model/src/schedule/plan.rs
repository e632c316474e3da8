//! What becomes of the ticks that are due: the catch-up policy. Each tick from the first on is in exactly one row; many that are missed for
//! the same reason share one.

use super::window_at;
use crate::dag::{Catchup, Dag, Schedule};
use crate::window::Window;
use chrono::{DateTime, TimeDelta, Utc};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    Run {
        window: Option<Window>,
    },
    Skip {
        reason: String,
    },
    /// This tick and those before it from `first` on, `count` in all.
    SkipMany {
        first: DateTime<Utc>,
        count: u64,
        reason: String,
    },
}

/// The most ticks that one call gives; the next call goes on after the last of them.
pub const BATCH: usize = 1000;
/// Ticks missed one after the other that still get a row each.
const ROWS_OF_A_GAP: usize = 100;
/// Without catch-up, the newest tick still runs if it is at most this late: a restart is no reason to miss it.
const ON_TIME: TimeDelta = TimeDelta::minutes(5);
const INSTANT_BEFORE: TimeDelta = TimeDelta::nanoseconds(1);

/// The rows that the ledger of ticks lacks, ascending, at most [`BATCH`]. `last_tick` is the newest that has a row.
///
/// The ledger of a dag begins at its `start`. Of one that has none it begins on first sight: with `none` and `all` at `registered_at`,
/// with `latest` and `limit` at the last ticks before now. A dag that has been paused from the first on and is to catch
/// up gets its first rows when it is no longer paused, so that its history is not skipped.
pub fn plan_ticks(
    dag: &Dag,
    registered_at: DateTime<Utc>,
    last_tick: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    paused: bool,
) -> Vec<(DateTime<Utc>, Planned)> {
    if dag.schedule == Schedule::Once {
        let tick = dag.start.map_or(registered_at, |start| start.max(registered_at));
        let due = last_tick.is_none() && tick <= now && !paused;
        let window = window_at(&dag.window, &dag.schedule, tick);
        return due.then_some((tick, Planned::Run { window })).into_iter().collect();
    }
    let wants_history = matches!(dag.catchup, Catchup::All | Catchup::Limit(_));
    if last_tick.is_none() && paused && wants_history {
        return Vec::new();
    }
    let Some(after) = last_tick.or_else(|| first_sight(dag, registered_at, now)) else { return Vec::new() };
    let after = dag.start.map_or(after, |start| after.max(start - INSTANT_BEFORE));
    if paused {
        return skipped(dag, after, now, "paused");
    }
    let first_to_run = first_to_run(dag, now)
        .filter(|first| last_tick.is_some() || may_run_first(dag, *first, registered_at));
    let Some(first) = first_to_run else { return skipped(dag, after, now, &why_missed(dag.catchup)) };
    let before = first.checked_sub_signed(INSTANT_BEFORE).unwrap_or(first);
    let mut rows = skipped(dag, after, before.min(now), &why_missed(dag.catchup));
    let ticks = dag.schedule.ticks(after.max(before), now, BATCH - rows.len());
    rows.extend(
        ticks
            .into_iter()
            .map(|tick| (tick, Planned::Run { window: window_at(&dag.window, &dag.schedule, tick) })),
    );
    rows
}

/// Rows for ticks with `after < tick <= until`, none of which runs.
fn skipped(
    dag: &Dag,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
    reason: &str,
) -> Vec<(DateTime<Utc>, Planned)> {
    let ticks = dag.schedule.ticks(after, until, ROWS_OF_A_GAP + 1);
    let many = ticks.first().filter(|_| ticks.len() > ROWS_OF_A_GAP);
    if let Some(first) = many
        && let Some(last) = dag.schedule.last_ticks(until, Some(*first), 1).pop()
    {
        let count = dag.schedule.count(after, until);
        return vec![(last, Planned::SkipMany { first: *first, count, reason: reason.to_owned() })];
    }
    ticks.into_iter().map(|tick| (tick, Planned::Skip { reason: reason.to_owned() })).collect()
}

/// Without catch-up, what was due before the dag was there is missed however late it is.
fn may_run_first(dag: &Dag, tick: DateTime<Utc>, registered_at: DateTime<Utc>) -> bool {
    !matches!(dag.catchup, Catchup::None | Catchup::Limit(0)) || tick > registered_at
}

/// The instant after which the ledger of a new dag begins.
fn first_sight(dag: &Dag, registered_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let oldest_of = |count: u32| {
        let ticks = dag.schedule.last_ticks(now, None, count as usize);
        ticks.first().map(|tick| *tick - INSTANT_BEFORE)
    };
    if let Some(start) = dag.start {
        return Some(start - INSTANT_BEFORE);
    }
    match dag.catchup {
        Catchup::None | Catchup::Limit(0) | Catchup::All => Some(registered_at),
        Catchup::Latest => oldest_of(1),
        Catchup::Limit(count) => oldest_of(count),
    }
}

/// The oldest due tick that the policy lets run; none if it lets none.
fn first_to_run(dag: &Dag, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let newest = |count: u32| dag.schedule.last_ticks(now, dag.start, count as usize).first().copied();
    match dag.catchup {
        Catchup::All => Some(DateTime::<Utc>::MIN_UTC),
        Catchup::Latest => newest(1),
        Catchup::None | Catchup::Limit(0) => newest(1).filter(|tick| now - *tick <= ON_TIME),
        Catchup::Limit(count) => newest(count),
    }
}

fn why_missed(catchup: Catchup) -> String {
    match catchup {
        Catchup::None => "missed, and catchup is none".to_owned(),
        Catchup::Latest => "missed, and catchup runs the latest only".to_owned(),
        Catchup::Limit(count) => format!("missed, and catchup is limited to {count}"),
        Catchup::All => "missed".to_owned(),
    }
}
