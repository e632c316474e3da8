//! `schedule:`, `window:` and `catchup:`.

use super::fields::{Fields, Reader};
use super::yaml::{Data, Node, Position};
use crate::dag::{Catchup, Schedule, WindowRule};
use crate::schedule::Cron;
use crate::suggest;
use chrono_tz::Tz;
use std::time::Duration;

pub(super) const SCHEDULE_KEYS: [&str; 7] =
    ["cron", "every", "at", "once", "continuous", "assets", "timezone"];
pub(super) const ASSETS_KEYS: [&str; 2] = ["all", "any"];
pub(super) const WINDOW_KEYS: [&str; 2] = ["every", "lag"];
pub(super) const CATCHUP_KEYS: [&str; 1] = ["limit"];
/// Ticks that one outage may bring back.
const CATCHUP_MAX: u32 = 100_000;
const ASSETS_MAX: usize = 100;

pub(super) fn schedule(reader: &mut Reader, node: &Node) -> Option<Schedule> {
    if let Data::Text(text) = &node.data {
        return match text.as_str() {
            "manual" => Some(Schedule::Manual),
            "once" | "@once" => Some(Schedule::Once),
            "continuous" | "@continuous" => Some(Schedule::Continuous),
            _ => cron(reader, &[(node, text)], "UTC"),
        };
    }
    let fields = reader.fields(node, "schedule", &SCHEDULE_KEYS)?;
    let kinds = ["cron", "every", "at", "once", "continuous", "assets"];
    let kind = reader.one_of(&fields, "the schedule", &kinds)?;
    let timezone = timezone(reader, &fields, kind);
    let node = fields.get(kind)?;
    match kind {
        "cron" => {
            let expressions = reader.texts(node, "cron");
            let schedule = cron(reader, &expressions, timezone.map_or("UTC", |zone| zone.name()));
            schedule.filter(|_| timezone.is_some())
        }
        "every" => reader.period(node, "every").map(|every| Schedule::Every { every }),
        "at" => {
            let nodes = match &node.data {
                Data::List(items) => items.as_slice(),
                _ => std::slice::from_ref(node),
            };
            let instants =
                nodes.iter().map(|node| reader.instant(node, "at", Tz::UTC)).collect::<Option<_>>();
            instants.map(|instants| Schedule::At { instants })
        }
        "assets" => assets(reader, node),
        _ => {
            let schedule = if kind == "once" { Schedule::Once } else { Schedule::Continuous };
            reader.boolean(node, kind).map(|said| if said { schedule } else { Schedule::Manual })
        }
    }
}

fn assets(reader: &mut Reader, node: &Node) -> Option<Schedule> {
    let (all, node) = match &node.data {
        Data::Map(_) => {
            let fields = reader.fields(node, "assets", &ASSETS_KEYS)?;
            let key = reader.one_of(&fields, "'assets'", &ASSETS_KEYS)?;
            (key == "all", fields.get(key)?)
        }
        _ => (true, node),
    };
    let assets = reader.assets(node, "assets");
    if assets.is_empty() || assets.len() > ASSETS_MAX {
        let message = format!("a schedule names 1 to {ASSETS_MAX} assets, this one {}", assets.len());
        reader.problem(node.at, message, None);
        return None;
    }
    Some(Schedule::Assets { assets, all })
}

fn timezone(reader: &mut Reader, fields: &Fields<'_>, kind: &str) -> Option<Tz> {
    let Some(node) = fields.get("timezone") else { return Some(Tz::UTC) };
    if kind != "cron" {
        let message = format!("a schedule with '{kind}' has no timezone");
        reader.problem(fields.key_at("timezone"), message, Some("remove it: instants are in UTC".to_owned()));
    }
    let name = reader.text(node, "timezone")?;
    let zone = name.parse::<Tz>().ok();
    if zone.is_none() {
        let known = suggest::nearest(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        let hint = known.map_or_else(
            || "use an IANA name such as Europe/Zurich".to_owned(),
            |near| format!("did you mean '{near}'?"),
        );
        reader.problem(node.at, format!("'{name}' is no time zone"), Some(hint));
    }
    zone
}

fn cron(reader: &mut Reader, expressions: &[(&Node, &str)], timezone: &str) -> Option<Schedule> {
    let mut fine = !expressions.is_empty();
    for (node, text) in expressions {
        if let Err(error) = Cron::parse(text) {
            let at = node.position_in_text(text, error.position);
            reader.problem(at, format!("no valid cron expression: {}", error.message), error.hint);
            fine = false;
        }
    }
    let expressions = expressions.iter().map(|(_, text)| (*text).to_owned()).collect();
    fine.then(|| Schedule::Cron { expressions, timezone: timezone.to_owned() })
}

pub(super) fn window(reader: &mut Reader, node: &Node) -> Option<WindowRule> {
    if let Data::Text(_) = node.data {
        let words = ["none", "hour", "day", "previous-tick"];
        let word = reader.word(node, "window", &words.map(|word| (word, word)))?;
        return Some(match word {
            "hour" => WindowRule::Hour,
            "day" => WindowRule::Day,
            "previous-tick" => WindowRule::PreviousTick,
            _ => WindowRule::None,
        });
    }
    let fields = reader.fields(node, "window", &WINDOW_KEYS)?;
    let lag = fields.get("lag").map_or(Some(Duration::ZERO), |node| reader.duration(node, "lag"));
    let Some(every) = fields.get("every") else {
        reader.problem(fields.at, "'every' is missing in window".to_owned(), Some("every: 15m".to_owned()));
        return None;
    };
    Some(WindowRule::Every { every: reader.period(every, "every")?, lag: lag? })
}

pub(super) fn catchup(reader: &mut Reader, node: &Node) -> Option<Catchup> {
    match &node.data {
        Data::Map(_) => {
            let fields = reader.fields(node, "catchup", &CATCHUP_KEYS)?;
            let Some(limit) = fields.get("limit") else {
                reader.problem(
                    fields.at,
                    "'limit' is missing in catchup".to_owned(),
                    Some("limit: 24".to_owned()),
                );
                return None;
            };
            reader.count(limit, "limit", 0, CATCHUP_MAX).map(Catchup::Limit)
        }
        Data::Bool(all) => {
            let word = if *all { "all" } else { "latest" };
            let hint = Some(format!("Airflow's {all} is '{word}' here"));
            reader.problem(node.at, "'catchup' must be none, latest, all or {limit: n}".to_owned(), hint);
            None
        }
        _ => {
            let words = [("none", Catchup::None), ("latest", Catchup::Latest), ("all", Catchup::All)];
            reader.word(node, "catchup", &words)
        }
    }
}

/// What follows from schedule and window together.
pub(super) fn check_window(reader: &mut Reader, schedule: &Schedule, window: &WindowRule, at: Position) {
    let has_ticks = matches!(schedule, Schedule::Cron { .. } | Schedule::Every { .. } | Schedule::At { .. });
    if *window == WindowRule::PreviousTick && !has_ticks {
        let hint = "give a schedule, or another window".to_owned();
        reader.problem(at, "'previous-tick' needs a schedule with more than one tick".to_owned(), Some(hint));
    }
}
