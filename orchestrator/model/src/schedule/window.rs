//! The window of a tick. The same tick always gives the same window.

use super::next::start_of_day;
use crate::dag::{Schedule, WindowRule};
use crate::window::Window;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// What a run at `tick` is about; `tick` may also be any other instant (a run by hand), which gets the last window that was
/// complete then. `None` if the rule gives none, such as the first tick for `previous_tick`.
pub fn window_at(rule: &WindowRule, schedule: &Schedule, tick: DateTime<Utc>) -> Option<Window> {
    match rule {
        WindowRule::None => None,
        WindowRule::Hour => aligned(tick, Duration::from_secs(3600), Duration::ZERO),
        WindowRule::Every { every, lag } => aligned(tick, *every, *lag),
        WindowRule::Day => {
            let zone = schedule.zone();
            let today = tick.with_timezone(&zone).date_naive();
            let start = start_of_day(zone, today.pred_opt()?)?;
            Some(Window { start, end: start_of_day(zone, today)? })
        }
        WindowRule::PreviousTick => {
            let [start, end] = schedule.last_ticks(tick, None, 2).try_into().ok()?;
            Some(Window { start, end })
        }
    }
}

/// The last full interval of this length, counted from the epoch, that ended `lag` before the tick.
fn aligned(tick: DateTime<Utc>, every: Duration, lag: Duration) -> Option<Window> {
    let every = TimeDelta::from_std(every).ok().filter(|every| *every >= TimeDelta::milliseconds(1))?;
    let latest = tick.checked_sub_signed(TimeDelta::from_std(lag).ok()?)?;
    let step = every.num_milliseconds();
    let end = DateTime::from_timestamp_millis(latest.timestamp_millis().div_euclid(step) * step)?;
    Some(Window { start: end.checked_sub_signed(every)?, end })
}
