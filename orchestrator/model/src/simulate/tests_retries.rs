//! Retries of groups and runs, the past and cancellation in played runs.

use super::tests::{passes, retries};
use crate::dag::{Dag, Group, TaskDef};
use crate::for_each::{ForEach, Over};
use crate::testing::{dag, task};

fn in_group(def: TaskDef) -> TaskDef {
    TaskDef { group: Some("g".to_owned()), id: format!("g.{}", def.id), ..def }
}

#[test]
fn a_group_is_tried_again_as_a_whole() {
    let tasks = vec![in_group(task("a", &[])), in_group(task("b", &[0])), task("after", &[1])];
    let groups = vec![Group { id: "g".to_owned(), retries: retries(1) }];
    let dag = Dag { groups, ..dag(tasks) };
    passes(
        &dag,
        "
cases:
  - tasks: { g.b: { fails: 1 } }
    expect:
      run: success
      tasks: { g: [success, tries: 2], after: [success, tries: 1] }
      order: [g, after]
  - tasks: { g.b: failed }
    expect: { run: failed, tasks: { g.a: success, g.b: [failed, tries: 2], after: upstream_failed } }
",
    );
}

#[test]
fn a_run_is_tried_again_from_what_failed_on() {
    let each = ForEach { over: Over::Expression("range(2)".to_owned()), max: 9, concurrency: None };
    let load = TaskDef { for_each: Some(each), ..task("load", &[1]) };
    let dag = Dag { retries: retries(2), ..dag(vec![task("a", &[]), task("b", &[0]), load]) };
    passes(
        &dag,
        "
cases:
  - tasks: { b: { fails: 1 } }
    expect:
      run: success
      tasks: { a: [success, tries: 1], b: [success, tries: 2], load: [success, instances: 2] }
      duration: { at_least: 9s, at_most: 9s }
  - tasks: { 'load[1]': { fails: 2 } }
    expect: { run: success, tasks: { a: [success, tries: 1], 'load[0]': [success, tries: 1], 'load[1]': [success, tries: 3] } }
  - tasks: { b: failed }
    expect: { run: failed, tasks: { b: [failed, tries: 3] } }
",
    );
}

#[test]
fn a_task_that_depends_on_the_past_waits_for_it() {
    let dag = dag(vec![TaskDef { depends_on_past: true, ..task("a", &[]) }, task("b", &[])]);
    passes(
        &dag,
        "
cases:
  - expect: { run: success }
  - tasks: { a: { held: true } }
    expect: { run: running, not_started: [a], tasks: { a: none, b: success } }
",
    );
}

#[test]
fn a_cancelled_run_stops_what_runs_and_starts_no_more() {
    let dag = dag(vec![task("a", &[]), task("b", &[0])]);
    passes(
        &dag,
        "
tasks: { a: { takes: 1h } }
cancel_after: 5m
expect: { run: cancelled, tasks: { a: cancelled, b: cancelled }, not_started: [b], duration: 5m }
",
    );
}
