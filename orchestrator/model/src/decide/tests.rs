//! One rule a test. All small dags at once are in `tests_exhaustive`.

use super::*;
use crate::dag::TaskDef;
use crate::for_each::ForEach;
use crate::testing::{dag, service, task, utc};
use crate::trigger_rule::TriggerRule;
use serde_json::json;

pub(super) const NOON: &str = "2026-03-01T12:00:00Z";

pub(super) fn snapshot<'a>(dag: &'a Dag, states: &[TaskState]) -> RunSnapshot<'a> {
    let instances = dag
        .tasks
        .iter()
        .enumerate()
        .flat_map(|(t, def)| def.map_indexes().into_iter().map(move |map_index| (t, map_index)));
    let tasks: Vec<TaskSnapshot> = instances
        .zip(states)
        .map(|((task, map_index), state)| TaskSnapshot {
            state: *state,
            ..TaskSnapshot::waiting(task, map_index)
        })
        .collect();
    assert_eq!(tasks.len(), states.len(), "a state for each instance");
    RunSnapshot { tasks, ..RunSnapshot::begun(dag) }
}

pub(super) fn commands(dag: &Dag, states: &[TaskState]) -> Vec<Command> {
    decide(&snapshot(dag, states), utc(NOON))
}

pub(super) fn queue(task: usize) -> Command {
    Command::Queue { task, map_index: -1 }
}

pub(super) fn finish(state: RunState) -> Vec<Command> {
    vec![Command::FinishRun { state }]
}

pub(super) fn ruled(id: &str, needs: &[usize], rule: TriggerRule) -> TaskDef {
    TaskDef { trigger_rule: rule, ..task(id, needs) }
}

use TaskState::{Cancelled, Failed, Queued, Running, Skipped, Success, UpForRetry, UpstreamFailed};
const WAITS: TaskState = TaskState::None;

#[test]
fn a_chain_starts_one_after_the_other() {
    let dag = dag(vec![task("a", &[]), task("b", &[0])]);
    assert_eq!(commands(&dag, &[WAITS, WAITS]), [queue(0)]);
    assert_eq!(commands(&dag, &[Running, WAITS]), []);
    assert_eq!(commands(&dag, &[Success, WAITS]), [queue(1)]);
    assert_eq!(commands(&dag, &[Success, Success]), finish(RunState::Success));
}

#[test]
fn a_failure_goes_down_the_dag_and_ends_the_run_in_one_decision() {
    let dag = dag(vec![task("load", &[]), task("b", &[0]), task("c", &[1])]);
    let commands = commands(&dag, &[Failed, WAITS, WAITS]);
    let settled = |task, reason: &str| Command::Settle {
        task,
        map_index: -1,
        state: UpstreamFailed,
        reason: reason.to_owned(),
    };
    assert_eq!(commands[0], settled(1, "all_success cannot be met: 'load' failed"));
    assert_eq!(commands[1], settled(2, "all_success cannot be met: 'b' was not run"));
    assert_eq!(commands[2..], finish(RunState::Failed));
}

#[test]
fn a_need_on_a_mapped_task_waits_for_all_its_instances() {
    let mapped = TaskDef { for_each: Some(ForEach::list(vec![json!(1), json!(2)])), ..task("m", &[]) };
    let dag = dag(vec![mapped, task("b", &[0])]);
    assert_eq!(commands(&dag, &[Success, Running, WAITS]), []);
    assert_eq!(commands(&dag, &[Success, Success, WAITS]), [queue(1)]);
    assert!(matches!(
        commands(&dag, &[Success, Failed, WAITS])[0],
        Command::Settle { task: 1, state: UpstreamFailed, .. }
    ));
}

#[test]
fn a_for_each_over_nothing_counts_as_skipped_but_not_before_its_own_turn() {
    let empty = TaskDef { for_each: Some(ForEach::list(vec![])), ..task("m", &[0]) };
    let dag = dag(vec![task("a", &[]), empty, task("s", &[1]), ruled("d", &[1], TriggerRule::AllDone)]);
    assert_eq!(commands(&dag, &[Running, WAITS, WAITS]), []);
    let after = commands(&dag, &[Success, WAITS, WAITS]);
    assert!(matches!(after[0], Command::Settle { task: 2, state: Skipped, .. }));
    assert_eq!(after[1], queue(3));
    assert_eq!(commands(&dag, &[Success, Skipped, Success]), finish(RunState::Success));
}

#[test]
fn a_run_of_nothing_but_empty_for_eaches_succeeds() {
    let dag = dag(vec![TaskDef { for_each: Some(ForEach::list(vec![])), ..task("m", &[]) }]);
    assert_eq!(commands(&dag, &[]), finish(RunState::Success));
}

#[test]
fn slots_are_filled_by_priority_then_in_order() {
    let urgent = TaskDef { priority: 5, ..task("c", &[]) };
    let mut dag = dag(vec![task("a", &[]), task("b", &[]), urgent]);
    dag.max_active_tasks = 2;
    assert_eq!(commands(&dag, &[WAITS, WAITS, WAITS]), [queue(2), queue(0)]);
    assert_eq!(commands(&dag, &[Running, WAITS, Queued]), []);
    assert_eq!(commands(&dag, &[Running, WAITS, Success]), [queue(1)]);
}

#[test]
fn retries_start_when_due_and_are_waited_for_until_then() {
    let dag = dag(vec![task("a", &[]), task("b", &[])]);
    let mut run = snapshot(&dag, &[UpForRetry, TaskState::UpForReschedule]);
    run.tasks[0].next_at = Some(utc("2026-03-01T12:01:00Z"));
    run.tasks[1].next_at = Some(utc("2026-03-01T12:00:30Z"));
    assert_eq!(decide(&run, utc(NOON)), [Command::WakeAt { at: utc("2026-03-01T12:00:30Z") }]);
    let later = decide(&run, utc("2026-03-01T12:00:30Z"));
    assert_eq!(later, [queue(1), Command::WakeAt { at: utc("2026-03-01T12:01:00Z") }]);
}

#[test]
fn what_needs_a_service_waits_until_it_is_ready() {
    let dag = dag(vec![service("s", &[]), task("t", &[0])]);
    assert_eq!(commands(&dag, &[Running, WAITS]), []);
    let mut run = snapshot(&dag, &[Running, WAITS]);
    run.tasks[0].ready = true;
    assert_eq!(decide(&run, utc(NOON)), [queue(1)]);
    assert_eq!(commands(&dag, &[UpForRetry, WAITS]), [queue(0)], "a service between two tries is not ready");
    assert_eq!(commands(&dag, &[Success, WAITS]), [queue(1)]);
    assert_eq!(
        commands(&dag, &[Failed, WAITS]).last(),
        Some(&Command::FinishRun { state: RunState::Failed })
    );
}

#[test]
fn services_are_drained_when_all_tasks_are_final_and_end_the_run() {
    let dag = dag(vec![service("s", &[]), task("t", &[0])]);
    let stop = Command::Stop { task: 0, map_index: -1, reason: "nothing needs it any more".to_owned() };
    let mut run = snapshot(&dag, &[Running, Success]);
    assert_eq!(decide(&run, utc(NOON)), [stop]);
    run.tasks[0].stopping = true;
    assert_eq!(decide(&run, utc(NOON)), []);
    for ended in [Success, Cancelled] {
        assert_eq!(commands(&dag, &[ended, Success]), finish(RunState::Success));
    }
    assert_eq!(commands(&dag, &[Failed, Success]), finish(RunState::Failed));
}

#[test]
fn a_drained_service_between_two_tries_is_not_restarted() {
    let dag = dag(vec![service("s", &[]), service("late", &[0]), task("t", &[])]);
    let commands = commands(&dag, &[UpForRetry, WAITS, Success]);
    assert!(matches!(commands[0], Command::Settle { task: 0, state: Success, .. }));
    assert!(matches!(commands[1], Command::Settle { task: 1, state: Skipped, .. }));
    assert_eq!(commands[2..], finish(RunState::Success));
}

#[test]
fn a_service_that_waits_for_its_restart_ends_as_one_that_runs_when_its_run_is_cancelled() {
    let dag = dag(vec![service("s", &[]), task("t", &[])]);
    let mut run = snapshot(&dag, &[UpForRetry, UpForRetry]);
    run.cancel_requested = true;
    let commands = decide(&run, utc(NOON));
    assert!(matches!(commands[0], Command::Settle { task: 0, state: Success, .. }));
    assert!(matches!(commands[1], Command::Settle { task: 1, state: Cancelled, .. }));
    assert_eq!(commands[2..], finish(RunState::Cancelled));
}

#[test]
fn a_service_that_comes_last_is_what_the_run_is_for() {
    let dag = dag(vec![service("db", &[]), task("prepare", &[]), service("ingest", &[0, 1])]);
    let mut run = snapshot(&dag, &[Running, Success, WAITS]);
    run.tasks[0].ready = true;
    assert_eq!(decide(&run, utc(NOON)), [queue(2)]);
    run.tasks[2].state = Running;
    assert_eq!(decide(&run, utc(NOON)), [], "neither it nor what it needs is drained");
}

#[test]
fn a_run_of_services_only_goes_on_until_they_end() {
    let dag = dag(vec![service("a", &[]), service("b", &[0])]);
    let mut run = snapshot(&dag, &[Running, Running]);
    run.tasks[0].ready = true;
    assert_eq!(decide(&run, utc(NOON)), []);
    assert_eq!(commands(&dag, &[Success, Success]), finish(RunState::Success));
    assert_eq!(commands(&dag, &[Success, Failed]), finish(RunState::Failed));
}

#[test]
fn services_take_no_slots() {
    let mut dag = dag(vec![service("s", &[]), task("t", &[0])]);
    dag.max_active_tasks = 1;
    let mut run = snapshot(&dag, &[Running, WAITS]);
    run.tasks[0].ready = true;
    assert_eq!(decide(&run, utc(NOON)), [queue(1)]);
}

#[test]
fn cancelling_stops_the_live_settles_the_waiting_and_ends_when_all_have_ended() {
    let dag = dag(vec![task("a", &[]), task("b", &[]), task("c", &[0])]);
    let mut run = snapshot(&dag, &[Running, UpForRetry, WAITS]);
    run.cancel_requested = true;
    let commands = decide(&run, utc(NOON));
    assert!(matches!(commands[0], Command::Stop { task: 0, .. }));
    assert!(matches!(commands[1], Command::Settle { task: 1, state: Cancelled, .. }));
    assert!(matches!(commands[2], Command::Settle { task: 2, state: Cancelled, .. }));
    assert_eq!(commands.len(), 3);
    let mut run = snapshot(&dag, &[Success, Cancelled, Cancelled]);
    run.cancel_requested = true;
    assert_eq!(decide(&run, utc(NOON)), finish(RunState::Cancelled));
}

#[test]
fn a_queued_run_does_nothing_but_may_be_cancelled() {
    let dag = dag(vec![task("a", &[])]);
    let mut run = snapshot(&dag, &[WAITS]);
    run.state = RunState::Queued;
    assert_eq!(decide(&run, utc(NOON)), []);
    run.cancel_requested = true;
    assert_eq!(decide(&run, utc(NOON)).last(), Some(&Command::FinishRun { state: RunState::Cancelled }));
}

#[test]
fn a_final_run_is_left_alone() {
    let dag = dag(vec![task("a", &[])]);
    for state in RunState::ALL.into_iter().filter(|state| state.is_final()) {
        let mut run = snapshot(&dag, &[WAITS]);
        run.state = state;
        run.cancel_requested = true;
        assert_eq!(decide(&run, utc(NOON)), []);
    }
}

#[test]
fn a_failure_is_answered_by_a_tolerant_task_that_succeeded() {
    let end = |rule, states: &[TaskState]| {
        let dag = dag(vec![task("a", &[]), ruled("report", &[0], rule)]);
        commands(&dag, states)
    };
    assert_eq!(end(TriggerRule::AllDone, &[Failed, Success]), finish(RunState::Success));
    assert_eq!(end(TriggerRule::OneFailed, &[Failed, Success]), finish(RunState::Success));
    assert_eq!(end(TriggerRule::AllDone, &[Failed, Failed]), finish(RunState::Failed));
    assert_eq!(end(TriggerRule::AllSkipped, &[Failed, Skipped]), finish(RunState::Failed));
    assert_eq!(end(TriggerRule::AllSuccess, &[Cancelled, UpstreamFailed]), finish(RunState::Failed));
}

#[test]
fn an_answer_reaches_through_what_was_not_run() {
    let dag = dag(vec![task("a", &[]), task("b", &[0]), ruled("report", &[1], TriggerRule::AllDone)]);
    assert_eq!(commands(&dag, &[Failed, UpstreamFailed, Success]), finish(RunState::Success));
    assert_eq!(commands(&dag, &[Failed, UpstreamFailed, Failed]), finish(RunState::Failed));
}
