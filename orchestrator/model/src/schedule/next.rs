//! The instants at which a cron expression fires in a time zone, with its changes between summer and winter time.
//!
//! * A local time that does not exist fires at the first instant after the gap; not so if minute or hour are `*` or steps and the
//!   same elapsed instant fires anyway (`30 * * * *`: 01:30, 03:30, each an hour after the one before).
//! * A local time that exists twice fires the first time only; each time if minute or hour are `*` or steps.

use super::cron::{Cron, first_bit};
use super::days::Date;
use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use std::collections::VecDeque;

/// A date that matches comes within this many months, or never: 29 February on a given weekday, over a year like 2100.
const MONTHS_MAX: u32 = 12 * 41;

/// The ticks of one expression after an instant, ascending.
pub(super) struct Upcoming {
    cron: Cron,
    zone: Tz,
    after: DateTime<Utc>,
    /// The rest of a day on which the clocks change.
    buffer: VecDeque<DateTime<Utc>>,
}

impl Upcoming {
    pub(super) fn new(cron: Cron, zone: Tz, after: DateTime<Utc>) -> Self {
        Upcoming { cron, zone, after, buffer: VecDeque::new() }
    }

    fn find(&mut self) -> Option<DateTime<Utc>> {
        let mut date = local(self.zone, self.after)?.date().pred_opt()?;
        loop {
            date = next_date(&self.cron, date)?;
            match steady_offset(self.zone, date) {
                Some(offset) => {
                    let after = self.after.naive_utc().checked_add_signed(offset)?;
                    if let Some(time) = next_time(&self.cron, date, after) {
                        return Some(time.checked_sub_signed(offset)?.and_utc());
                    }
                }
                None => {
                    self.buffer = self.ticks_around_change(date);
                    if let Some(tick) = self.buffer.pop_front() {
                        return Some(tick);
                    }
                }
            }
            date = date.succ_opt()?;
        }
    }

    /// The ticks up to the last of this date. Its neighbours are looked at too: clocks may change at midnight.
    fn ticks_around_change(&self, date: NaiveDate) -> VecDeque<DateTime<Utc>> {
        let of = |date: Option<NaiveDate>| {
            date.filter(|date| next_date(&self.cron, *date) == Some(*date))
                .map_or_else(Vec::new, |date| ticks_of(&self.cron, self.zone, date))
        };
        let mut ticks = of(Some(date));
        let Some(last) = ticks.iter().max().copied() else { return VecDeque::new() };
        ticks.extend(of(date.pred_opt()));
        ticks.extend(of(date.succ_opt()));
        ticks.retain(|tick| (self.after < *tick) && *tick <= last);
        ticks.sort_unstable();
        ticks.dedup();
        ticks.into()
    }
}

impl Iterator for Upcoming {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        let tick = match self.buffer.pop_front() {
            Some(tick) => tick,
            None => self.find()?,
        };
        self.after = tick;
        Some(tick)
    }
}

/// The first matching date at or after `from`, by jumping over months.
fn next_date(cron: &Cron, from: NaiveDate) -> Option<NaiveDate> {
    let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
    for _ in 0..MONTHS_MAX {
        let first = NaiveDate::from_ymd_opt(year, month, 1)?;
        let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        if cron.matches_month(month) {
            let length = NaiveDate::from_ymd_opt(next_year, next_month, 1)?.pred_opt()?.day();
            let weekday_of_first = first.weekday().num_days_from_sunday();
            let date = |day: u32| Date { day, weekday: (weekday_of_first + day - 1) % 7, length };
            let found = (day..=length).find(|day| cron.matches_day(month, date(*day)));
            if let Some(day) = found {
                return NaiveDate::from_ymd_opt(year, month, day);
            }
        }
        (year, month, day) = (next_year, next_month, 1);
    }
    None
}

/// Whether there is a local time of this date at which it fires.
pub(super) fn fires_on(cron: &Cron, date: NaiveDate) -> bool {
    let Some(first) = date.with_day(1) else { return false };
    let length = u32::from(date.num_days_in_month());
    let weekday = (first.weekday().num_days_from_sunday() + date.day() - 1) % 7;
    cron.matches_day(date.month(), Date { day: date.day(), weekday, length })
}

/// The first matching local time of this date after `after`.
fn next_time(cron: &Cron, date: NaiveDate, after: NaiveDateTime) -> Option<NaiveDateTime> {
    let midnight = date.and_hms_opt(0, 0, 0)?;
    // Whole minutes from midnight to the first candidate.
    let from = if after < midnight { 0 } else { (after - midnight).num_minutes() + 1 };
    let from = u32::try_from(from).ok().filter(|minute| *minute < 24 * 60)?;
    let hour = first_bit(cron.hours, from / 60)?;
    if hour == from / 60
        && let Some(minute) = first_bit(cron.minutes, from % 60)
    {
        return date.and_hms_opt(hour, minute, 0);
    }
    let hour = if hour == from / 60 { first_bit(cron.hours, hour + 1)? } else { hour };
    date.and_hms_opt(hour, first_bit(cron.minutes, 0)?, 0)
}

/// The offset from UTC, if the clocks do not change on this date or near it.
pub(super) fn steady_offset(zone: Tz, date: NaiveDate) -> Option<TimeDelta> {
    let noon = date.and_hms_opt(12, 0, 0)?;
    let offset = |instant: NaiveDateTime| offset_at(zone, instant);
    let before = offset(noon.checked_sub_days(Days::new(2))?);
    let after = offset(noon.checked_add_days(Days::new(2))?);
    (before == after).then_some(before)
}

fn offset_at(zone: Tz, utc: NaiveDateTime) -> TimeDelta {
    zone.from_utc_datetime(&utc).naive_local() - utc
}

pub(super) fn local(zone: Tz, instant: DateTime<Utc>) -> Option<NaiveDateTime> {
    // Without this check chrono panics near the ends of time.
    let utc = instant.naive_utc();
    utc.checked_add_days(Days::new(3))?;
    utc.checked_sub_days(Days::new(3))?;
    Some(zone.from_utc_datetime(&utc).naive_local())
}

/// All instants that a matching date stands for.
fn ticks_of(cron: &Cron, zone: Tz, date: NaiveDate) -> Vec<DateTime<Utc>> {
    let mut ticks = Vec::new();
    let Some(mut after) = date.and_hms_opt(0, 0, 0).and_then(|m| m.checked_sub_signed(TimeDelta::seconds(1)))
    else {
        return ticks;
    };
    while let Some(time) = next_time(cron, date, after) {
        after = time;
        match zone.from_local_datetime(&time) {
            MappedLocalTime::Single(tick) => ticks.push(tick.to_utc()),
            MappedLocalTime::Ambiguous(first, second) => {
                ticks.push(first.to_utc());
                if cron.repeats {
                    ticks.push(second.to_utc());
                }
            }
            MappedLocalTime::None => ticks.extend(after_gap(cron, zone, time)),
        }
    }
    ticks
}

/// The tick for a local time that does not exist, unless it fires anyway.
fn after_gap(cron: &Cron, zone: Tz, time: NaiveDateTime) -> Option<DateTime<Utc>> {
    let (end, before) = gap_end(zone, time)?;
    let as_before = zone.from_utc_datetime(&time.checked_sub_signed(before)?).naive_local();
    let fires_anyway = cron.repeats
        && cron.matches_time(as_before.hour(), as_before.minute())
        && next_date(cron, as_before.date()) == Some(as_before.date());
    (!fires_anyway).then_some(end)
}

/// The first instant after the gap that this local time lies in, and the offset before it.
fn gap_end(zone: Tz, time: NaiveDateTime) -> Option<(DateTime<Utc>, TimeDelta)> {
    // A gap is shorter than a day but for the few islands that moved over the date line: then a day.
    let mut low = time.checked_sub_days(Days::new(2))?;
    let before = offset_at(zone, low);
    let mut high = time.checked_add_days(Days::new(2))?;
    if before == offset_at(zone, high) {
        return None;
    }
    while high - low > TimeDelta::seconds(1) {
        let middle = low + (high - low) / 2;
        if offset_at(zone, middle) == before {
            low = middle;
        } else {
            high = middle;
        }
    }
    let second = high.with_nanosecond(0)?;
    let end = if offset_at(zone, second) == before { second + TimeDelta::seconds(1) } else { second };
    Some((end.and_utc(), before))
}

/// The first instant of a local date.
pub(crate) fn start_of_day(zone: Tz, date: NaiveDate) -> Option<DateTime<Utc>> {
    let midnight = date.and_hms_opt(0, 0, 0)?;
    match zone.from_local_datetime(&midnight) {
        MappedLocalTime::Single(start) => Some(start.to_utc()),
        MappedLocalTime::Ambiguous(first, _) => Some(first.to_utc()),
        MappedLocalTime::None => gap_end(zone, midnight).map(|(end, _)| end),
    }
}
