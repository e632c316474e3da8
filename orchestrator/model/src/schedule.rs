//! When a dag fires, which window each tick is about, and what becomes of ticks that were missed. `cron` parses, `next` finds local
//! times in a time zone, `window` gives intervals, `plan` applies the catch-up policy (`count` for
//! long gaps), `calendar` looks ahead for people.
//!
//! Not here: the clock and the ledger; the engine brings both.

mod calendar;
mod count;
pub mod cron;
mod days;
mod items;
mod next;
mod plan;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_plan;
#[cfg(test)]
mod tests_properties;
mod window;

pub use calendar::{Calendar, PlannedDay, calendar, upcoming, without_ticks};
pub use cron::{Cron, CronError};
pub use plan::{Planned, plan_ticks};
pub use window::window_at;

use crate::dag::Schedule;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use next::Upcoming;
pub(crate) use next::start_of_day;

/// How far back the tick before an instant is looked for: 29 February on a given weekday comes at least once in forty years.
const LOOK_BACK: TimeDelta = TimeDelta::days(366 * 41);

impl Schedule {
    /// The ticks with `after < tick <= until`, ascending, at most `limit`. `Manual` has none; the one of `Once` depends on the
    /// dag and is given by [`plan_ticks`].
    pub fn ticks(&self, after: DateTime<Utc>, until: DateTime<Utc>, limit: usize) -> Vec<DateTime<Utc>> {
        self.after(after).take_while(|tick| *tick <= until).take(limit).collect()
    }

    /// The first tick after this instant.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.after(after).next()
    }

    /// The last `count` ticks with `not_before <= tick <= until`, ascending.
    pub fn last_ticks(
        &self,
        until: DateTime<Utc>,
        not_before: Option<DateTime<Utc>>,
        count: usize,
    ) -> Vec<DateTime<Utc>> {
        let mut span = match self {
            Schedule::Every { every } => TimeDelta::from_std(*every).unwrap_or(LOOK_BACK),
            _ => TimeDelta::hours(1),
        };
        let before = TimeDelta::nanoseconds(1);
        loop {
            let earliest = until.checked_sub_signed(span.min(LOOK_BACK)).unwrap_or(until);
            let from = not_before.map_or(earliest, |bound| earliest.max(bound - before));
            let mut ticks = self.ticks(from, until, usize::MAX);
            if ticks.len() >= count || span >= LOOK_BACK || from > earliest {
                let surplus = ticks.len().saturating_sub(count);
                ticks.drain(..surplus);
                return ticks;
            }
            span = span.checked_mul(4).unwrap_or(LOOK_BACK);
        }
    }

    /// The time zone in which days begin.
    pub fn zone(&self) -> Tz {
        match self {
            Schedule::Cron { timezone, .. } => timezone.parse().unwrap_or(Tz::UTC),
            _ => Tz::UTC,
        }
    }

    fn after(&self, after: DateTime<Utc>) -> Box<dyn Iterator<Item = DateTime<Utc>> + '_> {
        match self {
            Schedule::Manual | Schedule::Once | Schedule::Continuous | Schedule::Assets { .. } => {
                Box::new(std::iter::empty())
            }
            Schedule::Cron { expressions, .. } => {
                // They were checked when the file was loaded.
                let crons = expressions.iter().filter_map(|text| Cron::parse(text).ok());
                Box::new(merged(crons.map(|cron| Upcoming::new(cron, self.zone(), after)).collect()))
            }
            Schedule::Every { every } => {
                let step = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
                let first = after.timestamp_millis().div_euclid(step).saturating_add(1);
                Box::new(
                    (first..)
                        .map_while(move |number| DateTime::from_timestamp_millis(number.checked_mul(step)?)),
                )
            }
            Schedule::At { instants } => {
                let mut instants: Vec<_> = instants.iter().copied().filter(|at| *at > after).collect();
                instants.sort_unstable();
                instants.dedup();
                Box::new(instants.into_iter())
            }
        }
    }
}

/// Several ascending iterators as one, without doubles.
fn merged(sources: Vec<Upcoming>) -> impl Iterator<Item = DateTime<Utc>> {
    let mut sources: Vec<_> = sources.into_iter().map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let next = sources.iter_mut().filter_map(|source| source.peek().copied()).min()?;
        for source in &mut sources {
            source.next_if_eq(&next);
        }
        Some(next)
    })
}
