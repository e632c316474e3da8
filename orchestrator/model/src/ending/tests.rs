use super::*;
use crate::retry::RetryPolicy;
use crate::testing::{service, task, utc};

const NOON: &str = "2026-03-01T12:00:00Z";

fn with_retries(limit: u32) -> TaskDef {
    TaskDef { retries: RetryPolicy { limit, ..RetryPolicy::default() }, ..task("t", &[]) }
}

fn restarting(restart: Restart) -> TaskDef {
    let mut task = service("s", &[]);
    task.service.as_mut().unwrap().restart = restart;
    task
}

fn state(ending: Ending, task: &TaskDef, history: &History) -> TaskState {
    after(&ending, task, history, utc(NOON), 1).state
}

const POKE: Ending = Ending::Poke { again_in: Duration::from_secs(30) };
const ALL: [Ending; 8] = [
    Ending::Done,
    Ending::Skipped,
    POKE,
    Ending::Failed,
    Ending::FailedForGood,
    Ending::TimedOut,
    Ending::Cancelled,
    Ending::Lost,
];

#[test]
fn every_ending_leads_where_a_running_attempt_may_go_and_waits_only_with_an_instant() {
    let tasks = [task("t", &[]), with_retries(3), service("s", &[]), restarting(Restart::Always)];
    for task in &tasks {
        for ending in &ALL {
            for drained in [false, true] {
                for losses in [0, LOSSES_MAX, u32::MAX] {
                    let history = History { drained, losses, ..History::default() };
                    let next = after(ending, task, &history, utc(NOON), 5);
                    assert!(TaskState::Running.may_become(next.state), "{ending:?} -> {}", next.state);
                    assert_eq!(next.next_at.is_some(), !next.state.is_final(), "{ending:?} -> {next:?}");
                    assert!(!drained || next.state.is_final(), "{ending:?}: nothing drained is tried again");
                }
            }
        }
    }
}

#[test]
fn failures_are_retried_up_to_the_limit() {
    let task = with_retries(2);
    let states =
        [0, 1, 2].map(|failures| state(Ending::Failed, &task, &History { failures, ..History::default() }));
    assert_eq!(states, [TaskState::UpForRetry, TaskState::UpForRetry, TaskState::Failed]);
    assert_eq!(state(Ending::TimedOut, &task, &History::default()), TaskState::UpForRetry);
    assert_eq!(state(Ending::FailedForGood, &task, &History::default()), TaskState::Failed);
    assert_eq!(state(Ending::Failed, &with_retries(0), &History::default()), TaskState::Failed);
}

#[test]
fn a_poke_waits_as_long_as_asked_within_reason() {
    let next = after(&POKE, &task("t", &[]), &History::default(), utc(NOON), 1);
    assert_eq!((next.state, next.next_at), (TaskState::UpForReschedule, Some(utc("2026-03-01T12:00:30Z"))));
    let forever = Ending::Poke { again_in: Duration::MAX };
    let next = after(&forever, &task("t", &[]), &History::default(), utc(NOON), 1);
    assert_eq!(next.next_at, Some(utc("2027-03-01T12:00:00Z")));
}

#[test]
fn a_lost_try_costs_no_retry_until_too_many_were_lost() {
    let task = with_retries(0);
    let next = after(&Ending::Lost, &task, &History::default(), utc(NOON), 1);
    assert_eq!((next.state, next.next_at), (TaskState::UpForRetry, Some(utc(NOON))));
    let last = History { losses: LOSSES_MAX - 1, ..History::default() };
    assert_eq!(state(Ending::Lost, &task, &last), TaskState::Failed);
}

#[test]
fn a_service_restarts_by_its_policy() {
    let none = History::default();
    let table = [
        (Restart::Always, Ending::Done, TaskState::UpForRetry),
        (Restart::OnFailure, Ending::Done, TaskState::Success),
        (Restart::Never, Ending::Done, TaskState::Success),
        (Restart::Always, Ending::Failed, TaskState::UpForRetry),
        (Restart::OnFailure, Ending::TimedOut, TaskState::UpForRetry),
        (Restart::Never, Ending::Failed, TaskState::Failed),
        (Restart::Always, Ending::FailedForGood, TaskState::Failed),
        (Restart::Never, Ending::Lost, TaskState::UpForRetry),
    ];
    for (restart, ending, expected) in table {
        assert_eq!(state(ending.clone(), &restarting(restart), &none), expected, "{restart:?} {ending:?}");
    }
}

#[test]
fn a_service_fails_when_its_budget_is_used_within_the_period() {
    let service = service("s", &[]);
    let starts = |minutes: &[u32]| History {
        starts: minutes.iter().map(|m| utc(&format!("2026-03-01T11:{m:02}:00Z"))).collect(),
        ..History::default()
    };
    // Budget 2 in ten minutes: the start and two restarts.
    assert_eq!(state(Ending::Failed, &service, &starts(&[57, 58])), TaskState::UpForRetry);
    assert_eq!(state(Ending::Failed, &service, &starts(&[57, 58, 59])), TaskState::Failed);
    assert_eq!(state(Ending::Failed, &service, &starts(&[49, 58, 59])), TaskState::UpForRetry);
}

#[test]
fn a_lost_service_starts_at_once_and_slows_down_only_when_lost_again_and_again() {
    let service = service("s", &[]);
    let at = |losses| {
        let history = History { losses, ..History::default() };
        after(&Ending::Lost, &service, &history, utc(NOON), 1).next_at.unwrap()
    };
    assert_eq!(at(0), utc(NOON));
    assert_eq!(at(LOSSES_MAX - 1), utc(NOON));
    assert!(at(LOSSES_MAX) > utc(NOON));
    assert!(at(u32::MAX) <= utc(NOON) + TimeDelta::minutes(5));
}

#[test]
fn a_drained_service_that_stops_has_succeeded() {
    let drained = History { drained: true, ..History::default() };
    for ending in [Ending::Done, Ending::Cancelled, Ending::Lost] {
        assert_eq!(state(ending, &service("s", &[]), &drained), TaskState::Success);
    }
    assert_eq!(state(Ending::Failed, &service("s", &[]), &drained), TaskState::Failed);
}

#[test]
fn a_cancelled_task_is_not_tried_again() {
    let drained = History { drained: true, ..History::default() };
    assert_eq!(state(Ending::Failed, &with_retries(5), &drained), TaskState::Failed);
    assert_eq!(state(Ending::Cancelled, &with_retries(5), &drained), TaskState::Cancelled);
    assert_eq!(state(Ending::Lost, &with_retries(5), &drained), TaskState::Cancelled);
}
