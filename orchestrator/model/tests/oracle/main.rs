//! The schedule against an independent implementation: croniter and zoneinfo (`oracle.py`), over changes of clocks in hundreds of zones.
//!
//! Python packages come from PyPI, pinned with their hashes, into a folder of their own in the cache. Where that is not possible the
//! test says so and checks nothing.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(clippy::disallowed_methods, reason = "tests look at the environment and at the clock for a seed")]

mod expressions;
mod python;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{OffsetComponents, TZ_VARIANTS, Tz};
use expressions::Random;
use model::dag::Schedule;
use serde_json::{Value, json};

const ZONES: usize = 220;
const CRONS_A_ZONE: usize = 7;
/// Of each change of clocks, so much before and after.
const AROUND: TimeDelta = TimeDelta::hours(30);

struct Question {
    cron: String,
    zone: Tz,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
}

#[test]
fn ticks_are_those_of_croniter_and_zoneinfo() {
    let Some(python) = python::interpreter() else { return };
    let seed = std::env::var("STREAMIFY_SEED").ok().and_then(|text| text.parse().ok());
    let mut random = Random::new(seed.unwrap_or_else(python::seed_of_the_clock));
    let seed = random.seed;
    let questions = questions(&mut random);
    let zones = questions.chunk_by(|one, next| one.zone == next.zone).count();
    assert_eq!(zones, ZONES);
    let lines = questions.iter().map(|q| {
        json!({ "cron": q.cron, "zone": q.zone.name(), "after": q.after.timestamp(), "until": q.until.timestamp() })
    });
    let answers = python::ask(&python, lines);
    assert_eq!(answers.len(), questions.len());
    let mut fired = 0;
    let mut wrong = Vec::new();
    for (question, answer) in questions.iter().zip(answers) {
        let ours = ticks(question);
        fired += ours.len();
        if answer != json!(ours) {
            wrong.push(describe(question, &ours, &answer));
        }
    }
    assert!(fired > questions.len(), "{fired} ticks in all: nothing was compared");
    let shown = wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "STREAMIFY_SEED={seed}: {} of {} differ\n{shown}",
        wrong.len(),
        questions.len()
    );
}

fn ticks(question: &Question) -> Vec<i64> {
    let schedule = Schedule::Cron {
        expressions: vec![question.cron.clone()],
        timezone: question.zone.name().to_owned(),
    };
    model::schedule::Cron::parse(&question.cron)
        .unwrap_or_else(|error| panic!("'{}': {error}", question.cron));
    let ticks = schedule.ticks(question.after, question.until, usize::MAX);
    ticks.iter().map(DateTime::timestamp).collect()
}

/// For zones whose clocks change: expressions that fire often around a change of clocks, and one that fires rarely over years.
fn questions(random: &mut Random) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut zones: Vec<(Tz, Vec<DateTime<Utc>>)> =
        TZ_VARIANTS.into_iter().map(|zone| (zone, changes(zone))).collect();
    zones.retain(|(_, changes)| !changes.is_empty());
    for _ in 0..ZONES {
        let (zone, changes) = zones.swap_remove(random.below(zones.len()));
        for _ in 0..CRONS_A_ZONE {
            let change = changes[random.below(changes.len())];
            let (after, until) = (change - AROUND, change + AROUND);
            questions.push(Question { cron: random.daily(), zone, after, until });
        }
        let after = Utc.timestamp_opt(1_577_836_800 + random.below(86_400 * 365 * 5) as i64, 0).unwrap();
        let until = after + TimeDelta::days(365 * 3);
        questions.push(Question { cron: random.yearly(), zone, after, until });
    }
    questions
}

/// The hours from 2020 to 2030 before which the clocks of the zone changed.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let hours = (438_300..526_000).step_by(6).map(|hour| Utc.timestamp_opt(hour * 3600, 0).unwrap());
    let offset = |at: DateTime<Utc>| {
        let offset = zone.offset_from_utc_datetime(&at.naive_utc());
        offset.base_utc_offset() + offset.dst_offset()
    };
    let mut last = None;
    hours.filter(|at| last.replace(offset(*at)).is_some_and(|last| last != offset(*at))).collect()
}

fn describe(question: &Question, ours: &[i64], answer: &Value) -> String {
    let local = |seconds: i64| {
        let at = Utc.timestamp_opt(seconds, 0).unwrap();
        format!("{} ({})", at.format("%FT%R"), at.with_timezone(&question.zone).format("%FT%R%z"))
    };
    let theirs: Vec<i64> = answer.as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let only =
        |one: &[i64], other: &[i64]| one.iter().find(|tick| !other.contains(tick)).map(|tick| local(*tick));
    format!(
        "'{}' in {} after {} until {}: only ours {:?}, only theirs {:?}{}",
        question.cron,
        question.zone,
        question.after,
        question.until,
        only(ours, &theirs),
        only(&theirs, ours),
        answer.as_str().map(|error| format!(", they say {error}")).unwrap_or_default(),
    )
}
