//! A schedule in words a person reads. The exact expression is shown beside it, so a form not known here is quoted, not guessed.

use model::dag::{Dag, Schedule, WindowRule};
use std::time::Duration;

pub fn of(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Manual => "by hand".into(),
        Schedule::Once => "once".into(),
        Schedule::Continuous => "again as soon as it has ended".into(),
        Schedule::Assets { assets, all } => {
            format!(
                "when {} {} written",
                assets.join(if *all { " and " } else { " or " }),
                if *all && assets.len() > 1 { "were" } else { "was" }
            )
        }
        Schedule::Every { every } => format!("every {}", length(*every)),
        Schedule::At { instants } if instants.len() == 1 => {
            format!("once, at {}", instants[0].format("%Y-%m-%d %H:%M UTC"))
        }
        Schedule::At { instants } => format!("at {} set times", instants.len()),
        Schedule::Cron { expressions, timezone } => {
            let words: Vec<String> =
                expressions.iter().map(|e| cron(e).unwrap_or_else(|| format!("cron {e}"))).collect();
            let zone = if timezone == "UTC" { String::new() } else { format!(" ({timezone})") };
            format!("{}{zone}", words.join("; "))
        }
    }
}

/// The schedule as written, for titles; empty when the words say it all.
pub fn exact(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Cron { expressions, timezone } => format!("{} {timezone}", expressions.join("; ")),
        _ => String::new(),
    }
}

pub fn window(dag: &Dag) -> String {
    match &dag.window {
        WindowRule::None => "none".into(),
        WindowRule::Hour => "the last full hour".into(),
        WindowRule::Day => "the last full day".into(),
        WindowRule::Every { every, lag } if lag.is_zero() => format!("the last full {}", length(*every)),
        WindowRule::Every { every, lag } => {
            format!("{} that ended {} before the tick", length(*every), length(*lag))
        }
        WindowRule::PreviousTick => "since the previous tick".into(),
    }
}

pub fn length(length: Duration) -> String {
    let s = length.as_secs();
    match s {
        0 => format!("{} ms", length.as_millis()),
        s if s % 86_400 == 0 => count(s / 86_400, "day"),
        s if s % 3_600 == 0 => count(s / 3_600, "hour"),
        s if s % 60 == 0 => count(s / 60, "minute"),
        s => count(s, "second"),
    }
}

fn count(n: u64, unit: &str) -> String {
    if n == 1 { unit.into() } else { format!("{n} {unit}s") }
}

fn cron(expression: &str) -> Option<String> {
    let named = match expression {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        other => other,
    };
    let fields: Vec<&str> = named.split_whitespace().collect();
    let &[minute, hour, day, month, weekday] = fields.as_slice() else { return None };
    let number = |field: &str| field.parse::<u32>().ok();
    let step = |field: &str| field.strip_prefix("*/").and_then(number);
    if (day, month, weekday) == ("*", "*", "*") {
        return match (minute, hour) {
            ("*", "*") => Some("every minute".into()),
            (m, "*") if step(m).is_some() => Some(format!("every {} minutes", step(m)?)),
            (m, "*") => number(m).map(|m| {
                if m == 0 { "hourly, on the hour".into() } else { format!("hourly, at minute {m}") }
            }),
            (m, h) if step(h).is_some() => {
                Some(format!("every {} hours, at minute {}", step(h)?, number(m)?))
            }
            (m, h) => Some(format!("daily at {:02}:{:02}", number(h)?, number(m)?)),
        };
    }
    let at = format!("{:02}:{:02}", number(hour)?, number(minute)?);
    match (day, month, weekday) {
        ("*", "*", "1-5" | "MON-FRI") => Some(format!("weekdays at {at}")),
        ("*", "*", w) => weekday_name(w).map(|name| format!("{name}s at {at}")),
        (d, "*", "*") => number(d).map(|d| format!("monthly on day {d} at {at}")),
        _ => None,
    }
}

fn weekday_name(field: &str) -> Option<&'static str> {
    const NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let index = match field.parse::<usize>() {
        Ok(n) => n % 7,
        Err(_) => NAMES.iter().position(|name| name[..3].eq_ignore_ascii_case(field))?,
    };
    NAMES.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, words: &str) {
        let schedule = Schedule::Cron { expressions: vec![expression.into()], timezone: "UTC".into() };
        assert_eq!(of(&schedule), words);
    }

    #[test]
    fn common_schedules_read_as_words_and_others_are_quoted() {
        check("5 * * * *", "hourly, at minute 5");
        check("0 * * * *", "hourly, on the hour");
        check("*/15 * * * *", "every 15 minutes");
        check("30 2 * * *", "daily at 02:30");
        check("0 9 * * 1-5", "weekdays at 09:00");
        check("0 9 * * mon", "Mondays at 09:00");
        check("0 9 1 * *", "monthly on day 1 at 09:00");
        check("1,7 3-9 * 2 *", "cron 1,7 3-9 * 2 *");
    }

    #[test]
    fn a_zone_other_than_utc_is_named() {
        let schedule =
            Schedule::Cron { expressions: vec!["0 6 * * *".into()], timezone: "Europe/Berlin".into() };
        assert_eq!(of(&schedule), "daily at 06:00 (Europe/Berlin)");
        assert_eq!(of(&Schedule::Every { every: Duration::from_secs(900) }), "every 15 minutes");
    }
}
