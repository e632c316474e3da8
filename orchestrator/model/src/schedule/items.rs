//! The items of a cron field that are numbers: `*`, `a`, `a-b`, names, each with a step; as bits.

use super::cron::{CronError, problem};

pub(super) struct Field {
    pub name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
pub(super) const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of the month", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: &MONTHS },
    Field { name: "day of the week", low: 0, high: 7, names: &WEEKDAYS },
];
/// `*`, `?`, `a`, `a-b`, each with `/step`.
pub(super) fn item_bits(field: &Field, position: usize, item: &str) -> Result<u64, CronError> {
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

pub(super) fn number(field: &Field, position: usize, text: &str) -> Result<u32, CronError> {
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
