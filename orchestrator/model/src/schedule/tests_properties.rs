//! What holds for all schedules, in all time zones.

use super::tests::cron;
use super::*;
use crate::dag::WindowRule;
use crate::window::Window;
use proptest::prelude::*;

const ZONES: [&str; 8] = [
    "UTC",
    "America/Chicago",
    "Europe/Zurich",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "America/Havana",
    "Africa/Casablanca",
    "Asia/Kolkata",
];
const EXPRESSIONS: [&str; 16] = [
    "* * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "0 */2 * * *",
    "30 1 * * *",
    "15 2 * * *",
    "30 2,3 * * *",
    "0 0 * * *",
    "59 23 * * SUN",
    "*/15 0-3 * * *",
    "45 1 L * *",
    "0 3 1-7 3,10,11 *",
    "30 2 * * SUN#2",
    "15 1 15W * *",
    "0 0 * * SUNL",
    "*/10 2-3 LW * *",
];

proptest! {
    #[test]
    fn ticks_strictly_increase_and_do_not_depend_on_where_one_starts(
        zone in prop::sample::select(&ZONES[..]), expression in prop::sample::select(&EXPRESSIONS[..]),
        start in 1_577_836_800i64..1_893_456_000,
    ) {
        let schedule = cron(expression, zone);
        let start = DateTime::from_timestamp(start, 0).unwrap();
        let all = schedule.ticks(start, start + TimeDelta::days(400), 300);
        prop_assert!(!all.is_empty());
        prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
        let mut one_by_one = Vec::new();
        let mut at = start;
        for _ in 0..all.len() {
            at = schedule.next(at).unwrap();
            one_by_one.push(at);
        }
        prop_assert_eq!(&all, &one_by_one);
        let middle = all[all.len() / 2];
        prop_assert_eq!(schedule.last_ticks(middle, Some(all[0]), 1), vec![middle]);
        prop_assert_eq!(schedule.next(middle - TimeDelta::nanoseconds(1)), Some(middle));
    }

    #[test]
    fn counting_by_days_counts_each_tick(
        zone in prop::sample::select(&ZONES[..]), one in prop::sample::select(&EXPRESSIONS[..]),
        other in prop::sample::select(&EXPRESSIONS[..]), start in 1_577_836_800i64..1_893_456_000, minutes in 0i64..600_000,
    ) {
        let expressions = vec![one.to_owned(), other.to_owned()];
        let schedule = Schedule::Cron { expressions, timezone: zone.to_owned() };
        let start = DateTime::from_timestamp(start, 0).unwrap();
        let until = start + TimeDelta::minutes(minutes);
        prop_assert_eq!(schedule.count(start, until), schedule.ticks(start, until, usize::MAX).len() as u64);
        let every = Schedule::Every { every: std::time::Duration::from_secs(420) };
        prop_assert_eq!(every.count(start, until), every.ticks(start, until, usize::MAX).len() as u64);
    }

    #[test]
    fn the_tick_before_and_the_tick_after_agree(
        zone in prop::sample::select(&ZONES[..]), expression in prop::sample::select(&EXPRESSIONS[..]),
        at in 1_577_836_800i64..1_893_456_000,
    ) {
        let schedule = cron(expression, zone);
        let at = DateTime::from_timestamp(at, 0).unwrap();
        let &[before] = schedule.last_ticks(at, None, 1).as_slice() else {
            return Err(TestCaseError::fail("no tick before"));
        };
        let after = schedule.next(at).unwrap();
        prop_assert!(before <= at && at < after);
        prop_assert_eq!(schedule.next(before), Some(after));
        prop_assert_eq!(schedule.last_ticks(after, None, 2), vec![before, after]);
        prop_assert_eq!(schedule.last_ticks(after - TimeDelta::nanoseconds(1), None, 1), vec![before]);
    }

    #[test]
    fn windows_tile_time(
        zone in prop::sample::select(&ZONES[..]), start in 1_577_836_800i64..1_893_456_000,
    ) {
        let start = DateTime::from_timestamp(start, 0).unwrap();
        let table = [
            ("30 * * * *", WindowRule::PreviousTick),
            ("15 2 * * *", WindowRule::PreviousTick),
            ("30 12 * * *", WindowRule::Day),
        ];
        for (expression, rule) in table {
            let schedule = cron(expression, zone);
            let ticks = schedule.ticks(start, start + TimeDelta::days(400), 40);
            let windows: Vec<Window> =
                ticks.iter().map(|tick| window_at(&rule, &schedule, *tick).unwrap()).collect();
            prop_assert!(windows.iter().all(|window| window.start < window.end));
            prop_assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start), "{expression} {zone}");
        }
        let hourly = cron("5 * * * *", "Europe/Zurich");
        let ticks = hourly.ticks(start, start + TimeDelta::days(400), 40);
        let hours: Vec<Window> =
            ticks.iter().map(|tick| window_at(&WindowRule::Hour, &hourly, *tick).unwrap()).collect();
        prop_assert!(hours.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[0-9*/,@#LWA-Za-z? é-]{0,30}") {
        if let Err(error) = Cron::parse(&text) {
            prop_assert!(error.position <= text.chars().count());
        }
    }
}
