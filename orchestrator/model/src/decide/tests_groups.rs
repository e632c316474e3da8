//! Branches, groups and runs that are tried again, late maps, the past, setups: one rule a test.

use super::tests::{NOON, commands, finish, queue, ruled, snapshot};
use super::*;
use crate::dag::{Group, TaskDef};
use crate::for_each::{ForEach, Over};
use crate::retry::RetryPolicy;
use crate::testing::{dag, service, task, utc};
use crate::trigger_rule::TriggerRule;
use TaskState::{Failed, Running, Skipped, Success, UpstreamFailed};
use std::time::Duration;

const WAITS: TaskState = TaskState::None;

fn policy(limit: u32) -> RetryPolicy {
    let delay = Duration::from_secs(60);
    RetryPolicy { limit, delay, backoff: 1.0, max_delay: delay }
}

fn member(group: &str, id: &str, needs: &[usize]) -> TaskDef {
    TaskDef { group: Some(group.to_owned()), ..task(&format!("{group}.{id}"), needs) }
}

fn grouped(tasks: Vec<TaskDef>, limits: &[(&str, u32)]) -> Dag {
    let group = |(id, limit): &(&str, u32)| Group { id: (*id).to_owned(), retries: policy(*limit) };
    Dag { groups: limits.iter().map(group).collect(), ..dag(tasks) }
}

fn settled(commands: &[Command]) -> Vec<(usize, TaskState, &str)> {
    let settles = commands.iter().filter_map(|command| match command {
        Command::Settle { task, state, reason, .. } => Some((*task, *state, reason.as_str())),
        _ => None,
    });
    settles.collect()
}

/// (group, used, reset, late)
type Retried<'a> = (Option<&'a str>, u32, Vec<usize>, Vec<usize>);

fn retries(commands: &[Command]) -> Vec<Retried<'_>> {
    let retries = commands.iter().filter_map(|command| match command {
        Command::Retry { group, used, reset, late, .. } => {
            Some((group.as_deref(), *used, reset.iter().map(|(task, _)| *task).collect(), late.clone()))
        }
        _ => None,
    });
    retries.collect()
}

fn late(id: &str, needs: &[usize]) -> TaskDef {
    let over = Over::Expression("tasks.a.outputs.items".to_owned());
    TaskDef { for_each: Some(ForEach { over, max: 10, concurrency: None }), ..task(id, needs) }
}

#[test]
fn what_a_branch_did_not_choose_is_skipped_and_the_chosen_go_by_their_rules() {
    let branch = TaskDef { branch: true, ..task("x", &[]) };
    let dag = dag(vec![branch, task("a", &[0]), task("b", &[0]), member("g", "c", &[0]), task("d", &[2])]);
    let mut run = snapshot(&dag, &[Success, WAITS, WAITS, WAITS, WAITS]);
    run.tasks[0].chosen = Some(vec!["a".to_owned(), "g".to_owned()]);
    let commands = decide(&run, utc(NOON));
    assert_eq!(settled(&commands)[0], (2, Skipped, "not chosen by 'x'"));
    assert_eq!(settled(&commands)[1].0, 4, "what needs only the one that was not chosen is skipped after it");
    assert!(commands.contains(&queue(1)) && commands.contains(&queue(3)));
    run.tasks[0].chosen = Some(Vec::new());
    assert_eq!(settled(&decide(&run, utc(NOON))).len(), 4, "nothing chosen");
    run.tasks[0].chosen = None;
    assert_eq!(settled(&decide(&run, utc(NOON))), [], "a person has marked it: all goes on");
}

#[test]
fn an_unchosen_task_is_skipped_though_its_rule_would_start_it() {
    let branch = TaskDef { branch: true, ..task("x", &[]) };
    let dag = dag(vec![branch, ruled("a", &[0], TriggerRule::AllDone)]);
    let mut run = snapshot(&dag, &[Success, WAITS]);
    run.tasks[0].chosen = Some(Vec::new());
    assert_eq!(settled(&decide(&run, utc(NOON))), [(1, Skipped, "not chosen by 'x'")]);
    assert_eq!(commands(&dag, &[Skipped, WAITS]), [queue(1)], "a branch that was skipped chooses nothing");
}

#[test]
fn a_late_map_is_expanded_when_it_could_start_and_not_before() {
    let dag = dag(vec![task("a", &[]), late("m", &[0]), task("b", &[1])]);
    assert_eq!(commands(&dag, &[Running, WAITS, WAITS]), []);
    assert_eq!(commands(&dag, &[Success, WAITS, WAITS]), [Command::Expand { task: 1 }]);
    let failed = commands(&dag, &[Failed, WAITS, WAITS]);
    assert_eq!(settled(&failed).iter().map(|(task, ..)| *task).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_mapped_task_takes_no_more_than_its_concurrency() {
    let each = ForEach { concurrency: Some(2), ..ForEach::list(vec![1.into(), 2.into(), 3.into()]) };
    let dag = dag(vec![TaskDef { for_each: Some(each), ..task("m", &[]) }, task("b", &[])]);
    let queued = |states: &[TaskState]| commands(&dag, states).len();
    assert_eq!(queued(&[WAITS; 4]), 3, "two of the map and the other task");
    assert_eq!(queued(&[Running, WAITS, WAITS, Success]), 1);
    assert_eq!(queued(&[Running, Running, WAITS, Success]), 0);
}

#[test]
fn an_instance_held_by_the_past_does_not_start_and_holds_up_nobody_else() {
    let dag = dag(vec![task("a", &[]), task("b", &[])]);
    let mut run = snapshot(&dag, &[WAITS, WAITS]);
    run.tasks[0].held = true;
    assert_eq!(decide(&run, utc(NOON)), [queue(1)]);
}

#[test]
fn a_failed_group_is_tried_again_as_a_whole_and_hidden_until_then() {
    let tasks =
        vec![member("g", "a", &[]), member("g", "b", &[]), task("after", &[0, 1]), member("g", "c", &[0])];
    let dag = grouped(tasks, &[("g", 1)]);
    let early = commands(&dag, &[Failed, Running, WAITS, WAITS]);
    assert_eq!(settled(&early).iter().map(|(task, ..)| *task).collect::<Vec<_>>(), [3], "only inside");
    let states = [Failed, Success, WAITS, UpstreamFailed];
    let run = snapshot(&dag, &states);
    let again = decide(&run, utc(NOON));
    assert_eq!(retries(&again), [(Some("g"), 1, vec![0, 1, 3], vec![])]);
    let mut held = snapshot(&dag, &[WAITS; 4]);
    held.retries = retried(&run.retries, Some("g"), 1, utc("2026-03-01T12:01:00Z"));
    assert_eq!(decide(&held, utc(NOON)), [Command::WakeAt { at: utc("2026-03-01T12:01:00Z") }]);
    assert_eq!(decide(&held, utc("2026-03-01T12:01:00Z")), [queue(0), queue(1)]);
    let mut used = snapshot(&dag, &states);
    used.retries = held.retries;
    let end = decide(&used, utc("2026-03-01T12:05:00Z"));
    assert_eq!(settled(&end)[0].0, 2, "no retry is left: now it is seen");
    assert_eq!(end.last(), finish(RunState::Failed).last());
}

#[test]
fn an_inner_group_goes_first_and_begins_anew_with_the_outer_one() {
    let dag = grouped(vec![member("g.h", "a", &[]), member("g", "b", &[0])], &[("g", 1), ("g.h", 1)]);
    let mut run = snapshot(&dag, &[Failed, WAITS]);
    assert_eq!(retries(&decide(&run, utc(NOON))), [(Some("g.h"), 1, vec![0], vec![])]);
    run.retries = retried(&run.retries, Some("g.h"), 1, utc(NOON));
    let mut run = RunSnapshot { tasks: snapshot(&dag, &[Failed, UpstreamFailed]).tasks, ..run };
    assert_eq!(retries(&decide(&run, utc(NOON))), [(Some("g"), 1, vec![0, 1], vec![])]);
    run.retries = retried(&run.retries, Some("g"), 1, utc(NOON));
    assert_eq!(run.retries.keys().collect::<Vec<_>>(), ["g"]);
}

#[test]
fn groups_that_wait_for_each_other_do_not_do_so_for_ever() {
    let tasks =
        vec![member("g", "a", &[]), member("k", "a", &[]), member("g", "b", &[1]), member("k", "b", &[0])];
    let dag = grouped(tasks, &[("g", 1), ("k", 1)]);
    let commands = commands(&dag, &[Failed, Failed, WAITS, WAITS]);
    assert_eq!(retries(&commands).len(), 2, "{commands:?}");
}

#[test]
fn a_run_that_would_fail_is_tried_again_from_what_failed() {
    let mut dag =
        dag(vec![task("a", &[]), task("b", &[0]), task("c", &[0]), late("m", &[1]), task("d", &[3])]);
    dag.retries = policy(2);
    let states = [Success, Failed, Success, UpstreamFailed, UpstreamFailed];
    let run = snapshot(&dag, &states);
    assert_eq!(retries(&decide(&run, utc(NOON))), [(None, 1, vec![1, 4], vec![3])]);
    let mut used = snapshot(&dag, &states);
    used.retries = retried(&run.retries, None, 2, utc(NOON));
    assert_eq!(decide(&used, utc(NOON)), finish(RunState::Failed));
    let mut cancelled = snapshot(&dag, &states);
    cancelled.cancel_requested = true;
    assert_eq!(decide(&cancelled, utc(NOON)), finish(RunState::Cancelled));
}

#[test]
fn what_runs_again_gets_its_setups_teardowns_and_services_again() {
    let setup = TaskDef { role: Role::Setup, ..task("up", &[]) };
    let down =
        TaskDef { role: Role::Teardown, ..ruled("down", &[0, 2, 3], TriggerRule::AllDoneSetupSuccess) };
    let mut dag = dag(vec![setup, service("s", &[]), task("a", &[0, 1]), task("b", &[0]), down]);
    dag.retries = policy(1);
    let run = snapshot(&dag, &[Success, Success, Failed, Success, Success]);
    assert_eq!(retries(&decide(&run, utc(NOON))), [(None, 1, vec![0, 1, 2, 4], vec![])]);
}

#[test]
fn a_teardown_neither_fails_a_run_nor_answers_for_a_failure() {
    let setup = TaskDef { role: Role::Setup, ..task("up", &[]) };
    let down = TaskDef { role: Role::Teardown, ..ruled("down", &[0, 1], TriggerRule::AllDoneSetupSuccess) };
    let dag = dag(vec![setup, task("a", &[0]), down]);
    assert_eq!(commands(&dag, &[Success, Failed, WAITS]), [queue(2)]);
    assert_eq!(commands(&dag, &[Success, Success, Failed]), finish(RunState::Success));
    assert_eq!(commands(&dag, &[Success, Failed, Success]), finish(RunState::Failed));
    let unset = commands(&dag, &[Failed, WAITS, WAITS]);
    assert_eq!(settled(&unset)[1].1, UpstreamFailed, "there is nothing to tear down");
}
