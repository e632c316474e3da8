//! What a schedule plans: the next ticks with their windows, and the days of a calendar.

use super::window_at;
use crate::dag::{Dag, Schedule};
use crate::window::Window;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

/// No tick is looked for later than so long after the instant that one asks at.
const HORIZON: TimeDelta = TimeDelta::days(366 * 41);

/// The ticks planned in a range, by day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Calendar {
    /// Days with at least one tick, ascending.
    pub days: Vec<PlannedDay>,
    /// There are more ticks than were asked for: those after this one are not counted.
    pub cut_after: Option<DateTime<Utc>>,
}

/// A day in the schedule's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedDay {
    pub date: NaiveDate,
    pub ticks: usize,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
}

/// The days with `from <= tick < until`, at most `limit` ticks in all. None before the dag's `start`.
pub fn calendar(dag: &Dag, from: DateTime<Utc>, until: DateTime<Utc>, limit: usize) -> Calendar {
    let instant = TimeDelta::nanoseconds(1);
    let (after, until) = (from_start(dag, from - instant), until - instant);
    let mut ticks = dag.schedule.ticks(after, until, limit.saturating_add(1));
    let is_cut = ticks.len() > limit;
    ticks.truncate(limit);
    let zone = dag.schedule.zone();
    let mut days: Vec<PlannedDay> = Vec::new();
    for tick in &ticks {
        let date = tick.with_timezone(&zone).date_naive();
        match days.last_mut().filter(|day| day.date == date) {
            Some(day) => (day.ticks, day.last) = (day.ticks + 1, *tick),
            None => days.push(PlannedDay { date, ticks: 1, first: *tick, last: *tick }),
        }
    }
    Calendar { days, cut_after: ticks.last().copied().filter(|_| is_cut) }
}

/// The next ticks of the dag and what their runs are about.
pub fn upcoming(dag: &Dag, after: DateTime<Utc>, count: usize) -> Vec<(DateTime<Utc>, Option<Window>)> {
    let after = from_start(dag, after);
    let until = after.checked_add_signed(HORIZON).unwrap_or(after);
    let ticks = dag.schedule.ticks(after, until, count);
    ticks.into_iter().map(|tick| (tick, window_at(&dag.window, &dag.schedule, tick))).collect()
}

/// What the schedule does, where it has no ticks that could be told in advance.
pub fn without_ticks(schedule: &Schedule) -> Option<String> {
    match schedule {
        Schedule::Manual => Some("runs by hand only".to_owned()),
        Schedule::Once => Some("runs once, when it is first seen".to_owned()),
        Schedule::Continuous => Some("runs again as soon as its run has ended".to_owned()),
        Schedule::Assets { assets, all } => {
            let written = match (assets.len(), all) {
                (1, _) => "has been written",
                (_, true) => "have all been written since its last run",
                (_, false) => "(any of them) has been written",
            };
            Some(format!("runs when {} {written}", assets.join(", ")))
        }
        Schedule::Cron { .. } | Schedule::Every { .. } | Schedule::At { .. } => None,
    }
}

fn from_start(dag: &Dag, after: DateTime<Utc>) -> DateTime<Utc> {
    dag.start.map_or(after, |start| after.max(start - TimeDelta::nanoseconds(1)))
}
