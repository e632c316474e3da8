//! Cron expressions of five fields, with names, ranges, steps, lists, `?`, `@daily` and its like, and what Quartz and croniter know of
//! days: `L`, `L-3`, `15W`, `LW`, `FRI#2`, `FRIL`.

use super::days::{Date, Days};
use super::items::{FIELDS, item_bits};

/// A checked expression: which minutes, hours, days and months it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    pub(super) minutes: u64,
    pub(super) hours: u64,
    days: Days,
    months: u64,
    /// Minute or hour are `*` or steps: where a local time comes twice, each counts. Fixed times count once.
    pub(super) repeats: bool,
}

/// What is wrong with an expression; `position` counts characters from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    pub position: usize,
    pub message: String,
    pub hint: Option<String>,
}

const PRESETS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];
/// No expression is longer.
const LENGTH_MAX: usize = 1000;

impl Cron {
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        if text.len() > LENGTH_MAX {
            return Err(problem(0, format!("a cron expression has at most {LENGTH_MAX} characters"), None));
        }
        if let Some(offset) = text.find('@') {
            return preset(text, text[..offset].chars().count());
        }
        let fields = split(text);
        if fields.len() != 5 {
            return Err(wrong_number_of_fields(text, fields.len()));
        }
        let (mut bits, mut days) = ([0; 5], Days::default());
        for (at, (position, part)) in fields.iter().enumerate() {
            for (position, item) in items(*position, part) {
                match at {
                    2 => days.add_day(position, item)?,
                    4 => days.add_weekday(position, item)?,
                    _ => bits[at] |= item_bits(&FIELDS[at], position, item)?,
                }
            }
        }
        let starts_with_star = |at: usize| fields[at].1.starts_with(['*', '?']);
        days.both = starts_with_star(2) || starts_with_star(4);
        let elapses = |at: usize| fields[at].1.contains(['*', '/']);
        let [minutes, hours, _, months, _] = bits;
        let cron = Cron { minutes, hours, days, months, repeats: elapses(0) || elapses(1) };
        if !cron.days.can_match(|month| cron.matches_month(month)) {
            let hint = "no month that it names has such a day".to_owned();
            return Err(problem(fields[2].0, format!("'{text}' never fires"), Some(hint)));
        }
        Ok(cron)
    }

    /// Whether it fires on this day of the month.
    pub(super) fn matches_day(&self, month: u32, date: Date) -> bool {
        self.matches_month(month) && self.days.match_date(date)
    }

    pub(super) fn matches_month(&self, month: u32) -> bool {
        has(self.months, month)
    }

    pub(super) fn matches_time(&self, hour: u32, minute: u32) -> bool {
        has(self.hours, hour) && has(self.minutes, minute)
    }
}

/// The lowest set bit at or above `from`.
pub(super) fn first_bit(bits: u64, from: u32) -> Option<u32> {
    let rest = bits.checked_shr(from)?;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

fn has(bits: u64, number: u32) -> bool {
    bits >> number & 1 == 1
}

pub(super) fn problem(position: usize, message: String, hint: Option<String>) -> CronError {
    CronError { position, message, hint }
}

fn preset(text: &str, offset: usize) -> Result<Cron, CronError> {
    let name = text.trim().to_ascii_lowercase();
    match PRESETS.iter().find(|(preset, _)| *preset == name) {
        Some((_, fields)) => Cron::parse(fields),
        None => {
            let known: Vec<&str> = PRESETS.iter().map(|(preset, _)| *preset).collect();
            let hint = format!("known are {}", known.join(", "));
            Err(problem(offset, format!("'{}' is no known schedule", text.trim()), Some(hint)))
        }
    }
}

fn wrong_number_of_fields(text: &str, count: usize) -> CronError {
    let hint = match count {
        6 | 7 => "seconds and years are not supported; for seconds use 'every: 10s'",
        _ => "minute hour day-of-month month day-of-week, such as '5 * * * *'",
    };
    let message = format!("a cron expression has 5 fields, '{}' has {count}", text.trim());
    problem(0, message, Some(hint.to_owned()))
}

/// The fields with the position at which each begins.
fn split(text: &str) -> Vec<(usize, &str)> {
    let offset = |part: &str| text[..part.as_ptr() as usize - text.as_ptr() as usize].chars().count();
    text.split_whitespace().map(|part| (offset(part), part)).collect()
}

fn items(position: usize, field: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut position = position;
    field.split(',').map(move |item| {
        let at = position;
        position += item.chars().count() + 1;
        (at, item)
    })
}
