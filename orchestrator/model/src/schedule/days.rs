//! The days that an expression means: by number, from the end of the month, nearest working days, weekdays, and the n-th or last
//! weekday of a month.

use super::cron::{CronError, problem};
use super::items::{FIELDS, item_bits, number};

/// 29 February counts: it comes at least once in eight years.
const DAYS_IN_MONTH: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// The weekday field stands fifth, that of the month third.
const DAY: usize = 2;
const WEEKDAY: usize = 4;
/// `L-30` is the first day of a long month.
const FROM_LAST_MAX: u32 = 30;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Days {
    numbers: u64,
    /// Days before the last: bit 0 is `L`, bit 3 is `L-3`.
    from_last: u64,
    /// `15W`: the working day nearest to each, in the same month. A month that is too short counts from its last day.
    nearest: u64,
    /// `LW`.
    last_working: bool,
    weekdays: u64,
    /// `FRI#2`: for each weekday the bits 1-5.
    nth: [u8; 7],
    /// `FRIL`.
    last_weekdays: u64,
    /// Day and weekday must both match if one of the fields begins with a star, else one of the two (crontab(5)).
    pub both: bool,
}

/// A day with all that the rules ask about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Date {
    pub day: u32,
    /// From Sunday = 0.
    pub weekday: u32,
    /// Days of the month.
    pub length: u32,
}

impl Days {
    /// One item of the field "day of the month".
    pub fn add_day(&mut self, position: usize, item: &str) -> Result<(), CronError> {
        let upper = item.to_ascii_uppercase();
        if upper == "L" {
            self.from_last |= 1;
        } else if upper == "LW" || upper == "WL" {
            self.last_working = true;
        } else if let Some(before) = upper.strip_prefix("L-") {
            let before = before.parse::<u32>().ok().filter(|before| (1..=FROM_LAST_MAX).contains(before));
            let Some(before) = before else {
                let message = format!("'{item}' is no day of the month");
                return Err(problem(position, message, Some(format!("L-1 to L-{FROM_LAST_MAX}"))));
            };
            self.from_last |= 1 << before;
        } else if let Some(day) = upper.strip_suffix('W').or_else(|| upper.strip_prefix('W')) {
            self.nearest |= 1 << number(&FIELDS[DAY], position, day)?;
        } else {
            self.numbers |= item_bits(&FIELDS[DAY], position, item)?;
        }
        Ok(())
    }

    /// One item of the field "day of the week".
    pub fn add_weekday(&mut self, position: usize, item: &str) -> Result<(), CronError> {
        let weekday = |text: &str| number(&FIELDS[WEEKDAY], position, text).map(|number| number % 7);
        if let Some((name, nth)) = item.split_once('#') {
            let Some(nth) = nth.parse::<u8>().ok().filter(|nth| (1..=5).contains(nth)) else {
                let at = position + name.chars().count() + 1;
                let hint = Some("FRI#1 is the first Friday of the month, FRI#5 the fifth".to_owned());
                return Err(problem(at, format!("'{nth}' is not in 1-5"), hint));
            };
            self.nth[weekday(name)? as usize] |= 1 << nth;
        } else if let Some(name) = last_of(item) {
            self.last_weekdays |= 1 << weekday(name)?;
        } else {
            self.weekdays |= item_bits(&FIELDS[WEEKDAY], position, item)?;
            // Sunday is 0 and 7.
            self.weekdays = (self.weekdays | self.weekdays >> 7) & 0x7f;
        }
        Ok(())
    }

    pub fn match_date(&self, date: Date) -> bool {
        let (by_day, by_weekday) = (self.match_day(date), self.match_weekday(date));
        if self.both { by_day && by_weekday } else { by_day || by_weekday }
    }

    fn match_day(&self, date: Date) -> bool {
        has(self.numbers, date.day)
            || has(self.from_last, date.length - date.day)
            || self.last_working && date.day == last_working_day(date)
            || self.nearest != 0
                && (1..=31).any(|day| has(self.nearest, day) && date.day == nearest_working_day(day, date))
    }

    fn match_weekday(&self, date: Date) -> bool {
        has(self.weekdays, date.weekday)
            || has(self.nth[date.weekday as usize].into(), (date.day - 1) / 7 + 1)
            || has(self.last_weekdays, date.weekday) && date.day + 7 > date.length
    }

    /// Whether there is such a day in a month that counts.
    pub fn can_match(&self, is_month: impl Fn(u32) -> bool) -> bool {
        let names_weekdays = self.weekdays != 0 || self.last_weekdays != 0 || self.nth != [0; 7];
        if !self.both && names_weekdays || self.nearest != 0 || self.last_working {
            return true;
        }
        let fits =
            |length: u32| (1..=length).any(|day| has(self.numbers, day) || has(self.from_last, length - day));
        (1..=12).any(|month| is_month(month) && fits(DAYS_IN_MONTH[month as usize - 1]))
    }
}

/// `5L` and `FRIL`, and croniter's `L5`: the last Friday.
fn last_of(item: &str) -> Option<&str> {
    let is_mark = |c: char| c.eq_ignore_ascii_case(&'l');
    item.strip_suffix(is_mark).or_else(|| item.strip_prefix(is_mark))
}

/// The weekday of another day of the same month.
fn weekday_of(day: u32, date: Date) -> u32 {
    (date.weekday + 35 + day - date.day) % 7
}

fn last_working_day(date: Date) -> u32 {
    match weekday_of(date.length, date) {
        0 => date.length - 2,
        6 => date.length - 1,
        _ => date.length,
    }
}

/// Never over the end of the month.
fn nearest_working_day(day: u32, date: Date) -> u32 {
    let day = day.min(date.length);
    match weekday_of(day, date) {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == date.length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

fn has(bits: u64, number: u32) -> bool {
    bits >> number & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The days of a month with 30 days that begins on this weekday.
    fn days(first: u32, day: &str, weekday: &str) -> Vec<u32> {
        let mut days = Days { both: day == "*" || weekday == "*", ..Days::default() };
        day.split(',').for_each(|item| days.add_day(0, item).unwrap());
        weekday.split(',').for_each(|item| days.add_weekday(0, item).unwrap());
        let date = |day: u32| Date { day, weekday: (first + day - 1) % 7, length: 30 };
        (1..=30).filter(|day| days.match_date(date(*day))).collect()
    }

    #[test]
    fn the_end_of_the_month_is_counted_backwards() {
        assert_eq!(days(1, "L", "*"), [30]);
        assert_eq!(days(1, "L-2,1", "*"), [1, 28]);
        assert_eq!(days(0, "LW", "*"), [30], "a Monday");
        assert_eq!(days(5, "LW", "*"), [29], "the 30th is a Saturday");
        assert_eq!(days(6, "lw", "*"), [28], "the 30th is a Sunday");
    }

    #[test]
    fn the_nearest_working_day_stays_in_its_month() {
        assert_eq!(days(6, "1W", "*"), [3], "the 1st is a Saturday");
        assert_eq!(days(0, "1W", "*"), [2], "the 1st is a Sunday");
        assert_eq!(days(0, "15W,14w", "*"), [13, 16], "the 14th is a Saturday, the 15th a Sunday");
        assert_eq!(days(6, "30W", "*"), [28], "the 30th is a Sunday");
        assert_eq!(days(1, "31W", "*"), [30], "the month has 30 days");
    }

    #[test]
    fn weekdays_are_counted_from_both_ends_of_the_month() {
        // A month that begins on a Friday.
        assert_eq!(days(5, "*", "FRI#1,fri#3,5#5"), [1, 15, 29]);
        assert_eq!(days(5, "*", "SUN#5"), [0; 0]);
        assert_eq!(days(5, "*", "5L"), [29]);
        assert_eq!(days(5, "*", "monL,L7"), [24, 25]);
        assert_eq!(days(5, "*", "MON,FRI#1"), [1, 4, 11, 18, 25]);
        assert_eq!(days(5, "13", "FRI#1"), [1, 13], "one of the two");
    }

    #[test]
    fn what_is_no_day_is_refused_with_its_place() {
        let day = |item| Days::default().add_day(4, item).unwrap_err();
        let weekday = |item| Days::default().add_weekday(6, item).unwrap_err();
        for item in ["W", "0W", "32W", "1-5W", "L-0", "L-31", "L-x", "LL"] {
            assert_eq!(day(item).position, 4, "{item}");
        }
        for (item, position) in
            [("#2", 6), ("FRI#0", 10), ("FRI#6", 10), ("5#x", 8), ("L", 6), ("8L", 6), ("1-5L", 6)]
        {
            assert_eq!(weekday(item).position, position, "{item}");
        }
    }
}
