//! Cron expressions of five fields, with names, ranges, steps, lists, `?`, `L` (last day of the month) and `@daily` and its like.

/// A checked expression: which minutes, hours, days and months it means, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    pub(super) minutes: u64,
    pub(super) hours: u64,
    days: u64,
    last_day: bool,
    months: u64,
    weekdays: u64,
    /// Day and weekday must both match if one of them has a star, else one of the two (crontab(5)).
    both_days: bool,
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

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of the month", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: &MONTHS },
    Field { name: "day of the week", low: 0, high: 7, names: &WEEKDAYS },
];
const PRESETS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];
const DAYS_IN_MONTH: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
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
        let mut bits = [0; 5];
        let mut last_day = false;
        for (at, (position, part)) in fields.iter().enumerate() {
            for (position, item) in items(*position, part) {
                match item {
                    "L" | "l" if at == 2 => last_day = true,
                    _ => bits[at] |= item_bits(&FIELDS[at], position, item)?,
                }
            }
        }
        let [minutes, hours, days, months, weekdays] = bits;
        let has_star = |at: usize| fields[at].1.contains(['*', '?']);
        let elapses = |at: usize| fields[at].1.contains(['*', '/']);
        let cron = Cron {
            minutes,
            hours,
            days,
            last_day,
            months,
            // Sunday is 0 and 7.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            both_days: has_star(2) || has_star(4),
            repeats: elapses(0) || elapses(1),
        };
        if !cron.can_fire() {
            let hint = "no month that it names has such a day".to_owned();
            return Err(problem(fields[2].0, format!("'{text}' never fires"), Some(hint)));
        }
        Ok(cron)
    }

    /// Whether it fires on this day; `weekday` counts from Sunday = 0, `length` is that of the month.
    pub(super) fn matches_day(&self, month: u32, day: u32, weekday: u32, length: u32) -> bool {
        let by_day = has(self.days, day) || self.last_day && day == length;
        let by_weekday = has(self.weekdays, weekday);
        let days = if self.both_days { by_day && by_weekday } else { by_day || by_weekday };
        days && self.matches_month(month)
    }

    pub(super) fn matches_month(&self, month: u32) -> bool {
        has(self.months, month)
    }

    pub(super) fn matches_time(&self, hour: u32, minute: u32) -> bool {
        has(self.hours, hour) && has(self.minutes, minute)
    }

    fn can_fire(&self) -> bool {
        if !self.both_days && self.weekdays != 0 || self.last_day {
            return true;
        }
        (1..=12).any(|month| {
            self.matches_month(month)
                && (1..=DAYS_IN_MONTH[month as usize - 1]).any(|day| has(self.days, day))
        })
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

fn problem(position: usize, message: String, hint: Option<String>) -> CronError {
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

/// `*`, `?`, `a`, `a-b`, each with `/step`.
fn item_bits(field: &Field, position: usize, item: &str) -> Result<u64, CronError> {
    let (range, step) = match item.split_once('/') {
        None => (item, None),
        Some((range, step)) => {
            let at = position + range.chars().count() + 1;
            let number = step.parse::<u32>().ok().filter(|step| (1..=field.high).contains(step));
            let message = || format!("the step '{step}' of the {} is not in 1-{}", field.name, field.high);
            (range, Some(number.ok_or_else(|| problem(at, message(), None))?))
        }
    };
    let (low, high) = match range.split_once('-') {
        // Sunday is counted once in `*`.
        None if matches!(range, "*" | "?") => (field.low, if field.high == 7 { 6 } else { field.high }),
        None => {
            let low = number(field, position, range)?;
            (low, if step.is_some() { field.high } else { low })
        }
        Some((low_text, high_text)) => {
            let low = number(field, position, low_text)?;
            let at = position + low_text.chars().count() + 1;
            let mut high = number(field, at, high_text)?;
            if field.high == 7 && high == 0 && low > 0 {
                high = 7;
            }
            if low > high {
                let hint = format!(
                    "write '{low_text}-{},{}-{high_text}'",
                    if field.high == 7 { 6 } else { field.high },
                    field.low
                );
                return Err(problem(
                    position,
                    format!("the range '{range}' of the {} runs backwards", field.name),
                    Some(hint),
                ));
            }
            (low, high)
        }
    };
    Ok((low..=high).step_by(step.unwrap_or(1) as usize).fold(0, |bits, number| bits | 1 << number))
}

fn number(field: &Field, position: usize, text: &str) -> Result<u32, CronError> {
    let named = field.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    if let Some(at) = named {
        return Ok(at as u32 + if field.low == 1 { 1 } else { 0 });
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>().ok().filter(|number| digits && (field.low..=field.high).contains(number)) {
        Some(number) => Ok(number),
        None => {
            let message = if text.is_empty() {
                format!("a number is missing in the {}", field.name)
            } else {
                format!("'{text}' is no {}", field.name)
            };
            let names = match field.names {
                [] => String::new(),
                names => format!(" or {}-{}", names[0], names[names.len() - 1]),
            };
            Err(problem(position, message, Some(format!("{}-{}{names}", field.low, field.high))))
        }
    }
}
