//! When people come: the daily wave, weekends and holidays, and the gap between two sessions. Seconds since 1970, UTC.

use chrono::{Datelike, NaiveDate, Weekday};

use crate::config::Config;
use crate::random::Random;

pub(crate) const DAY: i64 = 86_400;
/// Last day that thirty-two bits of seconds can name.
const DAYS: i64 = u32::MAX as i64 / DAY;
/// A draw that is damped away this often is taken as it is: no configuration may hang the program.
const RETRIES: u32 = 1_000;

#[derive(Debug)]
pub(crate) struct Timeline {
    swing: f64,
    weekend: f64,
    offset: i64,
    scale: f64,
    session_gap: i64,
    free_days: Box<[bool]>,
}

impl Timeline {
    pub(crate) fn new(config: &Config) -> Self {
        let free_days = (0..=DAYS).map(|day| is_free(NaiveDate::default() + chrono::Days::new(day as u64)));
        Self {
            swing: config.damping * DAY as f64,
            weekend: config.weekend_damping,
            offset: i64::from(config.weekend_damping_offset) * 60,
            scale: f64::from(config.weekend_damping_scale) * 60.0,
            session_gap: i64::from(config.session_gap),
            free_days: free_days.collect(),
        }
    }

    /// When the session after one that ended at `last` begins.
    pub(crate) fn next_session(&self, last: i64, mean_gap: f64, random: &mut Random) -> i64 {
        let mut after = last;
        for _ in 0..RETRIES {
            let start = self.warp(after + random.exponential(mean_gap) as i64 + self.session_gap);
            if start < after {
                after += self.session_gap;
            } else if random.unit() < self.damping(start) {
                after = start;
            } else {
                return start;
            }
        }
        after + self.session_gap
    }

    /// Moves an instant along the day's wave: most come in the afternoon (UTC), fewest at night.
    fn warp(&self, at: i64) -> i64 {
        let angle = (at.rem_euclid(DAY) - 3 * 3600) as f64 * (2.0 * std::f64::consts::PI / DAY as f64);
        at + (self.swing * libm::sin(angle)) as i64
    }

    /// The share of sessions that do not take place at this instant.
    fn damping(&self, at: i64) -> f64 {
        let day = at.div_euclid(DAY);
        let midnight = day * DAY;
        let ramp = |seconds: i64| (seconds as f64 / self.scale).clamp(0.0, 1.0);
        let rising = |to: i64| ramp(at - (to - self.offset));
        let falling = |from: i64| ramp(from + self.offset - at);
        let (before, today, after) = (self.is_free(day - 1), self.is_free(day), self.is_free(day + 1));
        let share = if today {
            let up = if before { 1.0 } else { rising(midnight) };
            let down = if after { 1.0 } else { falling(midnight + DAY) };
            f64::min(up, down)
        } else {
            let up = if after { rising(midnight + DAY) } else { 0.0 };
            let down = if before { falling(midnight) } else { 0.0 };
            f64::max(up, down)
        };
        self.weekend * share
    }

    fn is_free(&self, day: i64) -> bool {
        usize::try_from(day).ok().and_then(|day| self.free_days.get(day)).copied().unwrap_or(false)
    }
}

/// Weekends and the federal holidays of the United States, where all our users live.
fn is_free(day: NaiveDate) -> bool {
    let weekday = day.weekday();
    if matches!(weekday, Weekday::Sat | Weekday::Sun) {
        return true;
    }
    let nth = (day.day() - 1) / 7 + 1;
    let last_monday = weekday == Weekday::Mon && day.day() > 24;
    match (day.month(), day.day()) {
        (1, 1) | (7, 4) | (11, 11) | (12, 25) => true,
        (6, 19) => day.year() >= 2021,
        (1 | 2, _) => weekday == Weekday::Mon && nth == 3,
        (5, _) => last_monday,
        (9, _) => weekday == Weekday::Mon && nth == 1,
        (10, _) => weekday == Weekday::Mon && nth == 2,
        (11, _) => weekday == Weekday::Thu && nth == 4,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        let (text, file) = crate::config::embedded();
        Timeline::new(&Config::parse(text, file).unwrap())
    }

    fn at(text: &str) -> i64 {
        text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()
    }

    #[test]
    fn weekends_and_holidays_damp_with_linear_ramps() {
        let timeline = timeline();
        for (time, expected) in [
            ("2026-11-18T12:00:00Z", 0.0),   // a Wednesday
            ("2026-11-20T20:59:00Z", 0.0),   // Friday before the ramp (21:00)
            ("2026-11-21T00:00:00Z", 0.25),  // half way up
            ("2026-11-21T03:00:00Z", 0.5),   // up
            ("2026-11-22T12:00:00Z", 0.5),   // Sunday
            ("2026-11-23T00:00:00Z", 0.25),  // half way down
            ("2026-11-23T03:00:00Z", 0.0),   // Monday
            ("2026-11-26T12:00:00Z", 0.5),   // Thanksgiving alone in the week
            ("2026-11-27T01:30:00Z", 0.125), // the morning after
        ] {
            let damping = timeline.damping(at(time));
            assert!((damping - expected).abs() < 1e-9, "{time}: {damping}, not {expected}");
        }
    }

    #[test]
    fn the_wave_makes_afternoons_busier_than_nights() {
        let timeline = timeline();
        let mut random = Random::stream(5, 5);
        let mut hours = [0u32; 24];
        for i in 0..100_000 {
            let last = at("2026-01-05T00:00:00Z") + i * 977;
            let start = timeline.next_session(last, 3600.0 * 30.0, &mut random);
            hours[(start.rem_euclid(DAY) / 3600) as usize] += 1;
        }
        let (busy, quiet): (u32, u32) = (hours[13..17].iter().sum(), hours[1..5].iter().sum());
        assert!(busy > 2 * quiet, "seed 5: {hours:?}");
    }

    #[test]
    fn sessions_never_go_back_in_time() {
        let mut timeline = timeline();
        timeline.swing = 0.9 * DAY as f64;
        timeline.weekend = 1.0;
        let mut random = Random::stream(9, 9);
        let mut last = at("2026-01-01T00:00:00Z");
        for _ in 0..20_000 {
            let start = timeline.next_session(last, 600.0, &mut random);
            assert!(start >= last, "seed 9: {start} after {last}");
            last = start;
        }
    }
}
