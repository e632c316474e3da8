//! The catch-up policy after outages and on first sight, and the calendar.

use super::tests::cron;
use super::*;
use crate::dag::{Catchup, Dag, WindowRule};
use crate::testing::{dag, utc};
use crate::window::Window;

fn planned(dag: &Dag, last: Option<&str>, now: &str) -> Vec<(String, bool)> {
    let rows = plan_ticks(dag, utc("2026-01-10T00:30:00Z"), last.map(utc), utc(now), false);
    let show = |(tick, planned): &(DateTime<Utc>, Planned)| {
        (tick.format("%dT%H").to_string(), matches!(planned, Planned::Run { .. }))
    };
    rows.iter().map(show).collect()
}

fn hourly(catchup: Catchup) -> Dag {
    Dag { schedule: cron("0 * * * *", "UTC"), window: WindowRule::Hour, catchup, ..dag(vec![]) }
}

fn rows(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(tick, runs)| ((*tick).to_owned(), *runs)).collect()
}

#[test]
fn after_an_outage_each_policy_gives_every_tick_one_row() {
    let last = Some("2026-01-12T00:00:00Z");
    let now = "2026-01-12T03:20:00Z";
    let table = [
        (Catchup::None, [false, false, false]),
        (Catchup::Latest, [false, false, true]),
        (Catchup::Limit(2), [false, true, true]),
        (Catchup::All, [true, true, true]),
    ];
    for (catchup, runs) in table {
        let expected = [("12T01", runs[0]), ("12T02", runs[1]), ("12T03", runs[2])];
        assert_eq!(planned(&hourly(catchup), last, now), rows(&expected), "{catchup:?}");
    }
}

#[test]
fn a_tick_on_time_runs_without_catch_up() {
    let dag = hourly(Catchup::None);
    let on_time = planned(&dag, Some("2026-01-12T02:00:00Z"), "2026-01-12T03:00:01Z");
    assert_eq!(on_time, rows(&[("12T03", true)]));
    assert_eq!(planned(&dag, Some("2026-01-12T03:00:00Z"), "2026-01-12T03:00:01Z"), rows(&[]));
}

#[test]
fn on_first_sight_the_ledger_begins_as_the_policy_says() {
    let now = "2026-01-10T00:40:00Z";
    assert_eq!(planned(&hourly(Catchup::None), None, now), rows(&[]));
    assert_eq!(planned(&hourly(Catchup::Latest), None, now), rows(&[("10T00", true)]));
    assert_eq!(planned(&hourly(Catchup::Limit(2)), None, now), rows(&[("09T23", true), ("10T00", true)]));
    let started = |catchup| Dag { start: Some(utc("2026-01-10T00:00:00Z")), ..hourly(catchup) };
    assert_eq!(planned(&started(Catchup::Limit(48)), None, now), rows(&[("10T00", true)]));
    assert_eq!(planned(&started(Catchup::All), None, now), rows(&[("10T00", true)]));
    let later = Dag { start: Some(utc("2026-02-01T00:00:00Z")), ..hourly(Catchup::All) };
    assert_eq!(planned(&later, None, now), rows(&[]));
}

/// Each tick is in one row, and the rows follow each other without a gap.
fn ticks_told(schedule: &Schedule, rows: &[(DateTime<Utc>, Planned)]) -> u64 {
    let mut told = 0;
    let mut last: Option<DateTime<Utc>> = None;
    for (tick, planned) in rows {
        let (first, count) = match planned {
            Planned::SkipMany { first, count, .. } => (*first, *count),
            Planned::Run { .. } | Planned::Skip { .. } => (*tick, 1),
        };
        assert!(last.is_none_or(|last| schedule.next(last) == Some(first)), "{first} follows {last:?}");
        told += count;
        last = Some(*tick);
    }
    told
}

#[test]
fn a_long_outage_is_one_row_and_what_still_runs_comes_in_bounded_batches() {
    let minutely =
        |catchup| Dag { schedule: cron("* * * * *", "UTC"), window: WindowRule::None, ..hourly(catchup) };
    let (last, now) = (utc("2024-01-10T00:00:00Z"), utc("2026-01-10T00:00:00Z"));
    let limited = minutely(Catchup::Limit(3));
    let rows = plan_ticks(&limited, last, Some(last), now, false);
    assert_eq!(rows.len(), 4, "one for all that is skipped, and three that run");
    assert_eq!(ticks_told(&limited.schedule, &rows), 731 * 24 * 60);
    let all = minutely(Catchup::All);
    let batch = plan_ticks(&all, last, Some(last), now, false);
    assert_eq!(batch.len(), plan::BATCH);
    let next = plan_ticks(&all, last, batch.last().map(|(tick, _)| *tick), now, false);
    assert_eq!(all.schedule.next(batch[batch.len() - 1].0), Some(next[0].0));
    let paused = plan_ticks(&all, last, Some(last), now, true);
    assert_eq!((paused.len(), ticks_told(&all.schedule, &paused)), (1, 731 * 24 * 60));
}

#[test]
fn the_ledger_of_a_dag_with_a_start_begins_there_whatever_is_caught_up() {
    let now = "2026-01-10T00:31:00Z";
    let started = |catchup| Dag { start: Some(utc("2026-01-09T22:00:00Z")), ..hourly(catchup) };
    let table = [
        (Catchup::None, [false, false, false]),
        (Catchup::Latest, [false, false, true]),
        (Catchup::Limit(2), [false, true, true]),
        (Catchup::All, [true, true, true]),
    ];
    for (catchup, runs) in table {
        let expected = [("09T22", runs[0]), ("09T23", runs[1]), ("10T00", runs[2])];
        assert_eq!(planned(&started(catchup), None, now), rows(&expected), "{catchup:?}");
    }
    let soon = plan_ticks(
        &started(Catchup::None),
        utc("2026-01-10T00:01:00Z"),
        None,
        utc("2026-01-10T00:01:01Z"),
        false,
    );
    let runs = soon.iter().filter(|(_, planned)| matches!(planned, Planned::Run { .. }));
    assert_eq!((soon.len(), runs.count()), (3, 0), "what was due before the dag was there is missed");
}

#[test]
fn paused_ticks_are_skipped_but_the_history_of_a_new_dag_is_kept() {
    let registered = utc("2026-01-10T00:30:00Z");
    let now = utc("2026-01-10T01:40:00Z");
    let skipped = plan_ticks(&hourly(Catchup::None), registered, None, now, true);
    let skip = Planned::Skip { reason: "paused".to_owned() };
    assert_eq!(skipped, [(utc("2026-01-10T01:00:00Z"), skip)]);
    assert_eq!(plan_ticks(&hourly(Catchup::Limit(48)), registered, None, now, true), []);
    let last = Some(utc("2026-01-10T00:00:00Z"));
    assert_eq!(plan_ticks(&hourly(Catchup::All), registered, last, now, true), skipped);
}

#[test]
fn once_runs_once() {
    let registered = utc("2026-01-10T00:30:00Z");
    let once = Dag { schedule: Schedule::Once, ..dag(vec![]) };
    let rows = plan_ticks(&once, registered, None, registered, false);
    assert_eq!(rows, [(registered, Planned::Run { window: None })]);
    assert_eq!(plan_ticks(&once, registered, Some(registered), utc("2027-01-01T00:00:00Z"), false), []);
    assert_eq!(plan_ticks(&once, registered, None, registered, true), [], "it waits while paused");
}

#[test]
fn what_is_not_driven_by_time_has_no_ticks_to_plan() {
    let (registered, now) = (utc("2026-01-10T00:30:00Z"), utc("2026-02-10T00:30:00Z"));
    let assets = Schedule::Assets { assets: vec!["lake/songs".to_owned()], all: true };
    for schedule in [Schedule::Manual, Schedule::Continuous, assets] {
        for catchup in [Catchup::None, Catchup::Latest, Catchup::All, Catchup::Limit(9)] {
            let dag = Dag { schedule: schedule.clone(), catchup, ..dag(vec![]) };
            assert_eq!(plan_ticks(&dag, registered, None, now, false), []);
            assert_eq!(plan_ticks(&dag, registered, Some(registered), now, false), []);
        }
        assert!(without_ticks(&schedule).is_some());
        assert!(schedule.last_ticks(now, None, 3).is_empty());
    }
}

#[test]
fn instants_run_once_each_with_the_window_since_the_one_before() {
    let instants = ["2026-01-10T03:00:00Z", "2026-01-10T01:00:00Z", "2026-01-11T00:00:00Z"].map(utc);
    let dag = Dag {
        schedule: Schedule::At { instants: instants.to_vec() },
        window: WindowRule::PreviousTick,
        catchup: Catchup::All,
        ..dag(vec![])
    };
    let registered = utc("2026-01-10T00:30:00Z");
    let rows = plan_ticks(&dag, registered, None, utc("2026-01-10T04:00:00Z"), false);
    let window = Window { start: instants[1], end: instants[0] };
    let expected =
        [(instants[1], Planned::Run { window: None }), (instants[0], Planned::Run { window: Some(window) })];
    assert_eq!(rows, expected, "the first has none before it");
    let rest = plan_ticks(&dag, registered, Some(instants[0]), utc("2027-01-01T00:00:00Z"), false);
    assert_eq!(rest.len(), 1);
    assert_eq!(plan_ticks(&dag, registered, Some(instants[2]), utc("2027-01-01T00:00:00Z"), false), []);
}

#[test]
fn windows_after_an_outage_tile_what_was_missed() {
    let dag = Dag {
        schedule: cron("0 2 * * *", "America/New_York"),
        window: WindowRule::PreviousTick,
        catchup: Catchup::All,
        ..dag(vec![])
    };
    let last = utc("2024-03-08T07:00:00Z");
    let rows = plan_ticks(&dag, last, Some(last), utc("2024-03-13T00:00:00Z"), false);
    let windows: Vec<Window> = rows
        .iter()
        .map(|(_, planned)| match planned {
            Planned::Run { window: Some(window) } => *window,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(windows.len(), 4);
    assert_eq!(windows[0].start, last);
    assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start));
}

#[test]
fn the_calendar_counts_ticks_by_day_of_the_schedules_zone() {
    let dag = Dag {
        schedule: cron("30 * * * *", "Europe/Zurich"),
        start: Some(utc("2024-10-25T20:00:00Z")),
        ..dag(vec![])
    };
    let (from, until) = (utc("2024-10-01T00:00:00Z"), utc("2024-10-27T23:00:00Z"));
    let days = calendar(&dag, from, until, 1000);
    let counts: Vec<(String, usize)> =
        days.days.iter().map(|day| (day.date.to_string(), day.ticks)).collect();
    let expected = [("2024-10-25", 2), ("2024-10-26", 24), ("2024-10-27", 25)];
    assert_eq!(counts, expected.map(|(date, ticks)| (date.to_owned(), ticks)), "an hour came twice");
    assert_eq!(days.cut_after, None);
    let cut = calendar(&dag, from, until, 3);
    assert_eq!(cut.cut_after, Some(utc("2024-10-25T22:30:00Z")));
    assert_eq!(cut.days.iter().map(|day| day.ticks).sum::<usize>(), 3);
    let first = upcoming(&dag, utc("2020-01-01T00:00:00Z"), 1);
    assert_eq!(first, [(utc("2024-10-25T20:30:00Z"), None)], "none before the start");
}
