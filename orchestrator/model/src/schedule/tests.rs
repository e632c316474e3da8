//! The fixtures of clock changes, and what expressions mean.

use super::*;
use crate::dag::WindowRule;
use crate::testing::utc;
use crate::window::Window;
use std::time::Duration;

pub(super) fn cron(expression: &str, zone: &str) -> Schedule {
    Schedule::Cron { expressions: vec![expression.to_owned()], timezone: zone.to_owned() }
}

fn ticks(expression: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
    let ticks = cron(expression, zone).ticks(utc(after), utc(until), 1000);
    ticks.iter().map(|tick| tick.format("%dT%H:%M").to_string()).collect()
}

#[test]
fn chicago_spring_a_fixed_time_in_the_gap_fires_right_after_it() {
    // 02:00 CST becomes 03:00 CDT at 08:00Z.
    let got = ticks("30 2 * * *", "America/Chicago", "2024-03-09T00:00:00Z", "2024-03-12T00:00:00Z");
    assert_eq!(got, ["09T08:30", "10T08:00", "11T07:30"]);
    let got = ticks("*/20 2 * * *", "America/Chicago", "2024-03-10T00:00:00Z", "2024-03-10T23:00:00Z");
    assert_eq!(got, ["10T08:00"], "several in one gap fire once");
}

#[test]
fn chicago_autumn_a_fixed_time_that_comes_twice_fires_once() {
    // 02:00 CDT becomes 01:00 CST at 07:00Z.
    let got = ticks("30 1 * * *", "America/Chicago", "2024-11-02T00:00:00Z", "2024-11-05T00:00:00Z");
    assert_eq!(got, ["02T06:30", "03T06:30", "04T07:30"]);
    let got = ticks("*/30 1 * * *", "America/Chicago", "2024-11-03T00:00:00Z", "2024-11-03T23:00:00Z");
    assert_eq!(got, ["03T06:00", "03T06:30", "03T07:00", "03T07:30"], "steps count each time");
}

#[test]
fn hours_of_the_morning_are_not_moved_by_a_gap_before_them() {
    let got = ticks("0 7-8 * * *", "America/Chicago", "2024-03-09T20:00:00Z", "2024-03-11T00:00:00Z");
    assert_eq!(got, ["10T12:00", "10T13:00"]);
}

#[test]
fn los_angeles_every_fourth_hour_over_the_gap() {
    let got = ticks("20 */4 * * *", "America/Los_Angeles", "2023-03-12T07:00:00Z", "2023-03-12T20:00:00Z");
    assert_eq!(got, ["12T08:20", "12T11:20", "12T15:20", "12T19:20"]);
}

#[test]
fn toronto_every_second_hour_over_the_gap() {
    let got = ticks("0 */2 * * *", "America/Toronto", "2023-03-12T04:00:00Z", "2023-03-12T12:00:00Z");
    assert_eq!(got, ["12T05:00", "12T07:00", "12T08:00", "12T10:00", "12T12:00"]);
}

#[test]
fn brussels_quarter_hours_after_the_fold_do_not_oscillate() {
    let got =
        ticks("0,15,30,45 6-22 * * *", "Europe/Brussels", "2023-10-28T20:15:00Z", "2023-10-29T05:30:00Z");
    assert_eq!(got, ["28T20:30", "28T20:45", "29T05:00", "29T05:15", "29T05:30"]);
}

#[test]
fn new_york_a_run_by_hand_after_the_gap_has_a_whole_window() {
    let schedule = cron("0 2 * * *", "America/New_York");
    let window = window_at(&WindowRule::PreviousTick, &schedule, utc("2024-03-10T07:30:00Z")).unwrap();
    assert_eq!(window, Window { start: utc("2024-03-09T07:00:00Z"), end: utc("2024-03-10T07:00:00Z") });
}

#[test]
fn zurich_every_hour_fires_each_elapsed_hour() {
    let autumn = ticks("30 * * * *", "Europe/Zurich", "2024-10-26T23:00:00Z", "2024-10-27T03:00:00Z");
    assert_eq!(autumn, ["26T23:30", "27T00:30", "27T01:30", "27T02:30"]);
    let spring = ticks("30 * * * *", "Europe/Zurich", "2024-03-30T23:00:00Z", "2024-03-31T03:00:00Z");
    assert_eq!(spring, ["30T23:30", "31T00:30", "31T01:30", "31T02:30"]);
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    // Spring: 02:00 (+10:30) becomes 02:30 (+11) at 15:30Z.
    let got = ticks("15 2 * * *", "Australia/Lord_Howe", "2024-10-04T16:00:00Z", "2024-10-06T16:00:00Z");
    assert_eq!(got, ["05T15:30", "06T15:15"]);
    // Autumn: 02:00 (+11) becomes 01:30 (+10:30) at 15:00Z.
    let fixed = ticks("45 1 * * *", "Australia/Lord_Howe", "2024-04-06T14:00:00Z", "2024-04-06T16:00:00Z");
    assert_eq!(fixed, ["06T14:45"]);
    let each = ticks("45 * * * *", "Australia/Lord_Howe", "2024-04-06T14:00:00Z", "2024-04-06T17:00:00Z");
    assert_eq!(each, ["06T14:45", "06T15:15", "06T16:15"]);
}

#[test]
fn a_day_without_midnight_begins_after_the_gap() {
    // Cuba: 00:00 became 01:00 on 10 March 2024 at 05:00Z.
    let window = |tick| window_at(&WindowRule::Day, &cron("@daily", "America/Havana"), utc(tick)).unwrap();
    let (short, next) = (window("2024-03-11T12:00:00Z"), window("2024-03-12T12:00:00Z"));
    assert_eq!(short, Window { start: utc("2024-03-10T05:00:00Z"), end: utc("2024-03-11T04:00:00Z") });
    assert_eq!(short.end, next.start);
}

#[test]
fn a_date_that_never_was_moves_to_the_next_one() {
    // Samoa left out 30 December 2011: after the 29th (-10) came the 31st (+14).
    let got = ticks("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-01-10T00:00:00Z");
    assert_eq!(got, ["30T10:00"]);
}

#[test]
fn rare_dates_are_found_by_jumping() {
    let schedule = cron("0 0 29 2 *", "UTC");
    assert_eq!(schedule.next(utc("2096-03-01T00:00:00Z")), Some(utc("2104-02-29T00:00:00Z")));
    let got = ticks("0 0 L * *", "UTC", "2024-01-31T12:00:00Z", "2024-05-01T00:00:00Z");
    assert_eq!(got, ["29T00:00", "31T00:00", "30T00:00"]);
    let thirteenth_or_friday = ticks("0 0 13 * FRI", "UTC", "2024-09-01T00:00:00Z", "2024-09-15T00:00:00Z");
    assert_eq!(thirteenth_or_friday, ["06T00:00", "13T00:00"]);
    let weekend = ticks("0 0 * * SAT-SUN", "UTC", "2024-09-06T12:00:00Z", "2024-09-10T00:00:00Z");
    assert_eq!(weekend, ["07T00:00", "08T00:00"]);
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for zone in ["UTC", "Europe/Zurich", "Pacific/Apia"] {
        let schedule = cron("* * * * *", zone);
        assert_eq!(schedule.next(chrono::DateTime::<Utc>::MAX_UTC), None);
        assert_eq!(schedule.next(chrono::DateTime::<Utc>::MIN_UTC), None);
    }
}

#[test]
fn several_expressions_are_merged_without_doubles() {
    let schedule = Schedule::Cron {
        expressions: vec!["0 * * * *".to_owned(), "*/30 * * * *".to_owned()],
        timezone: "UTC".to_owned(),
    };
    assert_eq!(schedule.ticks(utc("2024-01-01T00:00:00Z"), utc("2024-01-01T02:00:00Z"), 9).len(), 4);
}

#[test]
fn intervals_and_instants_tick_too() {
    let every = Schedule::Every { every: Duration::from_secs(900) };
    assert_eq!(every.next(utc("2024-01-01T00:15:00Z")), Some(utc("2024-01-01T00:30:00Z")));
    let at = Schedule::At { instants: vec![utc("2024-01-02T00:00:00Z"), utc("2024-01-01T00:00:00Z")] };
    assert_eq!(at.next(utc("2023-01-01T00:00:00Z")), Some(utc("2024-01-01T00:00:00Z")));
    assert_eq!(at.next(utc("2024-01-02T00:00:00Z")), None);
    assert_eq!(Schedule::Manual.next(utc("2024-01-02T00:00:00Z")), None);
}

#[test]
fn windows_are_the_last_full_interval_before_the_tick() {
    let tick = utc("2024-05-01T10:05:00Z");
    let hourly = cron("5 * * * *", "UTC");
    let hour = Window { start: utc("2024-05-01T09:00:00Z"), end: utc("2024-05-01T10:00:00Z") };
    assert_eq!(window_at(&WindowRule::Hour, &hourly, tick), Some(hour));
    let every = |every: u64, lag: u64| WindowRule::Every {
        every: Duration::from_secs(every),
        lag: Duration::from_secs(lag),
    };
    assert_eq!(window_at(&every(3600, 300), &hourly, tick), Some(hour));
    let quarter = Window { start: utc("2024-05-01T09:30:00Z"), end: utc("2024-05-01T09:45:00Z") };
    assert_eq!(window_at(&every(900, 600), &hourly, tick), Some(quarter));
    assert_eq!(window_at(&WindowRule::None, &hourly, tick), None);
}

#[test]
fn problems_of_expressions_name_the_place() {
    let table = [
        ("61 * * * *", 0, "'61' is no minute"),
        ("* * * *", 0, "has 4"),
        ("0 0 * * * *", 0, "has 6"),
        ("0 25 * * *", 2, "'25' is no hour"),
        ("0 0 30 2 *", 4, "never fires"),
        ("0 0 31 4,6,9,11 *", 4, "never fires"),
        ("0 0 * FOO *", 6, "'FOO' is no month"),
        ("0 0 L-30 2 *", 4, "never fires"),
        ("0 0 * * FRI#6", 12, "'6' is not in 1-5"),
        ("0 0 40W * *", 4, "'40' is no day of the month"),
        ("0 0 * * 8", 8, "'8' is no day of the week"),
        ("*/0 * * * *", 2, "the step '0'"),
        ("1,,2 * * * *", 2, "a number is missing"),
        ("0 22-2 * * *", 2, "runs backwards"),
        ("@often", 0, "no known schedule"),
        ("éé@", 2, "no known schedule"),
        ("+5 * * * *", 0, "'+5' is no minute"),
        ("", 0, "has 0"),
        ("é * * * *", 0, "'é' is no minute"),
    ];
    for (text, position, message) in table {
        let error = Cron::parse(text).unwrap_err();
        assert!(error.message.contains(message), "{text}: {}", error.message);
        assert_eq!(error.position, position, "{text}");
    }
}

#[test]
fn days_by_weekday_of_the_month_and_nearest_working_days() {
    let of = |expression: &str| ticks(expression, "UTC", "2024-05-31T12:00:00Z", "2024-09-30T12:00:00Z");
    assert_eq!(of("0 0 * * FRI#2"), ["14T00:00", "12T00:00", "09T00:00", "13T00:00"]);
    assert_eq!(of("0 0 * * MON#5"), ["29T00:00", "30T00:00"], "only months that have five");
    assert_eq!(of("0 0 * * friL"), ["28T00:00", "26T00:00", "30T00:00", "27T00:00"]);
    assert_eq!(of("0 0 1W * *"), ["03T00:00", "01T00:00", "01T00:00", "02T00:00"]);
    assert_eq!(of("0 0 LW * *"), ["28T00:00", "31T00:00", "30T00:00", "30T00:00"]);
    assert_eq!(of("0 0 L-1 6,9 *"), ["29T00:00", "29T00:00"]);
}

#[test]
fn a_weekday_that_february_rarely_has_five_times_is_still_found() {
    let rare = cron("0 0 * 2 MON#5", "UTC");
    assert_eq!(rare.next(utc("2024-03-01T00:00:00Z")), Some(utc("2044-02-29T00:00:00Z")));
    assert_eq!(rare.last_ticks(utc("2044-02-28T00:00:00Z"), None, 1), [utc("2016-02-29T00:00:00Z")]);
}
