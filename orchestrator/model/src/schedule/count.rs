//! How many ticks a long span has: whole days are counted as days, only those around a change of the clocks tick by tick.

use super::cron::Cron;
use super::next::{fires_on, local, steady_offset};
use crate::dag::Schedule;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

const INSTANT: TimeDelta = TimeDelta::nanoseconds(1);

impl Schedule {
    /// How many ticks there are with `after < tick <= until`.
    pub fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        match self {
            Schedule::Cron { expressions, .. } => {
                let crons: Vec<Cron> = expressions.iter().filter_map(|text| Cron::parse(text).ok()).collect();
                self.count_by_days(&crons, after, until)
            }
            Schedule::Every { every } => {
                let step = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
                let steps = |instant: DateTime<Utc>| instant.timestamp_millis().div_euclid(step);
                u64::try_from(steps(until).saturating_sub(steps(after))).unwrap_or(0)
            }
            _ => self.count_one_by_one(after, until),
        }
    }

    fn count_one_by_one(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        self.ticks(after, until, usize::MAX).len() as u64
    }

    fn count_by_days(&self, crons: &[Cron], after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let zone = self.zone();
        let (Some(begins), Some(ends)) = (local(zone, after), local(zone, until)) else {
            return self.count_one_by_one(after, until);
        };
        // Counted so far, and up to which instant.
        let (mut count, mut from) = (0, after);
        for date in begins.date().iter_days().skip(1).take_while(|date| *date < ends.date()) {
            let Some(offset) = steady_offset(zone, date) else { continue };
            let start = (date.and_time(NaiveTime::MIN) - offset).and_utc();
            if start - INSTANT > from {
                count += self.count_one_by_one(from, start - INSTANT);
            }
            count += of_day(crons, date);
            from = start + TimeDelta::days(1) - INSTANT;
        }
        count + self.count_one_by_one(from, until)
    }
}

/// Local times of a day, those of several expressions once.
fn of_day(crons: &[Cron], date: NaiveDate) -> u64 {
    let today: Vec<&Cron> = crons.iter().filter(|cron| fires_on(cron, date)).collect();
    let minutes = |hour: u32| {
        let at_hour = today.iter().filter(|cron| cron.hours >> hour & 1 == 1);
        u64::from(at_hour.fold(0, |minutes, cron| minutes | cron.minutes).count_ones())
    };
    (0..24).map(minutes).sum()
}
