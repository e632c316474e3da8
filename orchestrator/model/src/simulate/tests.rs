//! Played runs come to what the real engine would do with them, and what was not expected is told with its place.

use super::*;
use crate::dag::{Dag, TaskDef, WindowRule};
use crate::for_each::{ForEach, Over};
use crate::registry::Registry;
use crate::retry::RetryPolicy;
use crate::state::RunState;
use crate::testing::{dag, service, task};
use crate::trigger_rule::TriggerRule;
use serde_json::json;
use std::time::Duration;

pub(super) fn cases(dag: &Dag, text: &str) -> Vec<Case> {
    crate::spec::read_test("x.test.yaml", text.as_bytes(), dag).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// The story of the only case.
pub(super) fn play(dag: &Dag, text: &str) -> Story {
    simulate(dag, &cases(dag, text)[0], &Registry::default())
}

/// All that was not as expected, as `line: message`.
pub(super) fn misses(dag: &Dag, text: &str) -> Vec<String> {
    let all = cases(dag, text);
    let misses = all.iter().flat_map(|case| judge(dag, case, &simulate(dag, case, &Registry::default())));
    misses.map(|miss| format!("{}: {}", miss.line, miss.message)).collect()
}

pub(super) fn passes(dag: &Dag, text: &str) {
    assert_eq!(misses(dag, text), [""; 0], "{}", told(&play(dag, text)));
}

pub(super) fn told(story: &Story) -> String {
    let line = |event: &Event| format!("{} {} {}\n", span(event.at - story.began), event.what, event.text);
    story.events.iter().map(line).collect()
}

pub(super) fn retries(limit: u32) -> RetryPolicy {
    RetryPolicy { limit, delay: Duration::from_secs(5), ..RetryPolicy::default() }
}

fn rule(trigger_rule: TriggerRule, def: TaskDef) -> TaskDef {
    TaskDef { trigger_rule, ..def }
}

/// watermark -> load (three) -> models -> report; cleanup whatever happens.
fn pipeline() -> Dag {
    let load = TaskDef {
        for_each: Some(ForEach::list(vec![json!("a"), json!("b"), json!("c")])),
        retries: retries(3),
        with: json!({ "event": "{{ item }}", "from": "{{ window.start }}", "full": "{{ params.full }}" }),
        timeout: Some(Duration::from_secs(60)),
        ..task("load", &[0])
    };
    let tasks = vec![
        task("watermark", &[]),
        load,
        task("models", &[1]),
        task("report", &[2]),
        rule(TriggerRule::AllDone, task("cleanup", &[2])),
    ];
    let full = crate::dag::Param {
        r#type: "boolean".to_owned(),
        default: Some(json!(false)),
        description: String::new(),
        allowed: vec![],
    };
    Dag { window: WindowRule::Hour, params: [("full".to_owned(), full)].into(), ..dag(tasks) }
}

#[test]
fn everything_succeeds_in_a_second_unless_the_test_says_otherwise() {
    passes(
        &pipeline(),
        "
at: 2026-01-01T10:05:00Z
params: { full: true }
expect:
  run: success
  tasks: { report: [success, tries: 1], load: { state: success, instances: 3 } }
  order: [watermark, load, models, report]
  duration: { at_least: 4s, at_most: 4s }
  rendered:
    load[1]: { with: { event: b, from: '2026-01-01T09:00:00Z', full: true } }
",
    );
}

#[test]
fn tries_fail_and_come_again_after_exactly_the_delays_of_the_file() {
    passes(
        &pipeline(),
        "
tasks: { watermark: { takes: 10s }, 'load[1]': { fails: 2, takes: 3s } }
expect:
  run: success
  tasks: { 'load[0]': [success, tries: 1], 'load[1]': { state: success, tries: 3 } }
  duration: { at_least: 36s, at_most: 36s }
",
    );
}

#[test]
fn a_failure_holds_back_what_needs_it_and_runs_what_tolerates_it() {
    passes(
        &pipeline(),
        "
cases:
  - name: for good
    tasks: { 'load[2]': failed_for_good }
    expect:
      run: failed
      tasks: { 'load[2]': [failed, tries: 1], models: [upstream_failed, reason: \"'load' failed\"], cleanup: success }
      not_started: [models, report]
  - name: until its retries are used
    tasks: { load: { ends: failed } }
    expect: { tasks: { load: { state: failed, tries: 4, reason: 3 retries used } } }
",
    );
    let answered = Dag { tasks: [&pipeline().tasks[..3], &pipeline().tasks[4..]].concat(), ..pipeline() };
    passes(
        &answered,
        "{ tasks: { load: failed }, expect: { run: success, tasks: { models: upstream_failed } } }",
    );
}

#[test]
fn a_lost_node_costs_no_retry_and_a_timeout_does() {
    passes(
        &pipeline(),
        "
cases:
  - tasks: { models: { lost: 2 } }
    expect: { run: success, tasks: { models: [success, tries: 3] } }
  - tasks: { 'load[0]': { takes: 2m } }
    expect: { tasks: { 'load[0]': { state: failed, tries: 4, reason: timed out after 1m } } }
",
    );
}

#[test]
fn looks_are_of_one_try_and_wait_between() {
    passes(
        &pipeline(),
        "
tasks: { watermark: { pokes: 3, poke_every: 1m } }
expect: { run: success, tasks: { watermark: [success, tries: 1] }, duration: { at_least: 187s, at_most: 187s } }
",
    );
}

#[test]
fn items_that_are_known_late_come_from_outputs() {
    let each = ForEach {
        over: Over::Expression("tasks.list.outputs.files".to_owned()),
        max: 3,
        concurrency: Some(1),
    };
    let list = TaskDef { outputs: [("files".to_owned(), "array".to_owned())].into(), ..task("list", &[]) };
    let load = TaskDef { for_each: Some(each), with: json!({ "file": "{{ item }}" }), ..task("load", &[0]) };
    let sum = TaskDef {
        with: json!({ "rows": "{{ tasks.load.outputs | map(attribute='rows') | sum }}" }),
        ..task("sum", &[1])
    };
    let dag = dag(vec![list, load, sum]);
    passes(
        &dag,
        "
cases:
  - tasks: { list: { outputs: { files: [x, y] } }, load: { outputs: { rows: 1 } }, 'load[1]': { outputs: { rows: 5 } } }
    expect:
      run: success
      tasks: { load: [success, instances: 2] }
      rendered: { 'load[1]': { with: { file: y } }, sum: { with: { rows: 6 } } }
      duration: { at_least: 4s }
  - name: what is declared and not said is empty
    expect: { run: success, tasks: { load: [skipped, instances: 1], sum: skipped } }
  - tasks: { list: { outputs: { files: [1, 2, 3, 4] } } }
    expect: { run: failed, tasks: { load: { state: failed, reason: at most 3 are allowed } } }
  - tasks: { list: { outputs: { files: three } } }
    expect: { run: failed, tasks: { list: { state: failed, reason: must be of type array } } }
",
    );
}

#[test]
fn an_item_that_its_if_does_not_want_is_skipped_without_a_try() {
    let files = Over::Expression("tasks.list.outputs.files".to_owned());
    let of = |over| ForEach { over, max: 10, concurrency: Some(1) };
    let wanted = |over, needs: &[usize]| TaskDef {
        for_each: Some(of(over)),
        condition: Some("item.size > 0".to_owned()),
        ..task("load", needs)
    };
    let list = Over::Items(vec![json!({ "size": 0 }), json!({ "size": 3 }), json!({ "size": 0 })]);
    for over in [files, list] {
        let tasks =
            vec![task("list", &[]), wanted(over, &[0]), rule(TriggerRule::NoneFailed, task("report", &[1]))];
        passes(
            &dag(tasks),
            "
tasks: { list: { outputs: { files: [{ size: 0 }, { size: 3 }, { size: 0 }] } } }
expect:
  run: success
  tasks:
    'load[0]': { state: skipped, tries: 0, reason: item.size > 0 is false }
    'load[1]': { state: success, tries: 1 }
    'load[2]': { state: skipped, tries: 0 }
    report: success
  not_started: ['load[0]', 'load[2]']
  duration: { at_least: 3s, at_most: 3s }
",
        );
    }
}

#[test]
fn branches_choose_and_conditions_skip() {
    let choice = TaskDef { branch: true, ..task("choice", &[]) };
    let full = TaskDef { condition: Some("params.full".to_owned()), ..task("full", &[0]) };
    let join = rule(TriggerRule::NoneFailed, task("join", &[1, 2]));
    let params = pipeline().params;
    let dag = Dag { params, ..dag(vec![choice, full, task("quick", &[0]), join]) };
    passes(
        &dag,
        "
cases:
  - tasks: { choice: { chooses: [quick] } }
    expect: { run: success, tasks: { full: { state: skipped, reason: not chosen }, quick: success, join: success } }
  - tasks: { choice: { chooses: [full] } }
    params: { full: true }
    expect: { tasks: { full: success, quick: skipped } }
  - name: nothing is said about the choice
    expect: { tasks: { full: { state: skipped, reason: 'if: params.full is false' }, quick: success } }
",
    );
}

#[test]
fn what_runs_in_the_end_knows_whether_the_run_has_failed() {
    let tell = TaskDef {
        with: json!({ "text": "{{ run.state }}" }),
        ..rule(TriggerRule::AllDone, task("tell", &[0]))
    };
    let dag = dag(vec![task("a", &[]), tell]);
    passes(
        &dag,
        "
cases:
  - expect: { rendered: { tell: { with: { text: running } } } }
  - { tasks: { a: failed }, expect: { rendered: { tell: { with: { text: failed } } } } }
",
    );
}

#[test]
fn people_approve_and_reject() {
    let approve = |on_reject: &str| TaskDef { with: json!({ "on_reject": on_reject }), ..task("ask", &[]) };
    let (fails, skips) =
        (dag(vec![approve("fail"), task("b", &[0])]), dag(vec![approve("skip"), task("b", &[0])]));
    passes(
        &fails,
        "{ tasks: { ask: { ends: approved, takes: 2h } }, expect: { run: success, duration: { at_least: 2h } } }",
    );
    passes(&fails, "{ tasks: { ask: rejected }, expect: { run: failed, tasks: { b: upstream_failed } } }");
    passes(
        &skips,
        "{ tasks: { ask: rejected }, expect: { run: success, tasks: { ask: skipped, b: skipped } } }",
    );
}

#[test]
fn services_get_ready_are_restarted_and_drained() {
    let work = dag(vec![service("db", &[]), task("load", &[0])]);
    passes(
        &work,
        "
cases:
  - tasks: { db: { ready_after: 20s } }
    expect: { run: success, order: [db, load], tasks: { db: success }, duration: { at_least: 21s, at_most: 21s } }
  - name: its first try ends before it is ready
    tasks: { db: { fails: 1 } }
    expect: { run: success, tasks: { db: [success, tries: 2] } }
  - tasks: { db: { ready_after: 2m } }
    expect: { run: failed, tasks: { db: { state: failed, tries: 3, reason: not ready within 1m }, load: upstream_failed } }
",
    );
    let forever = dag(vec![service("db", &[])]);
    passes(&forever, "expect: { run: running, tasks: { db: running } }");
    passes(&forever, "{ cancel_after: 10s, expect: { run: cancelled, duration: 10s } }");
}

#[test]
fn a_template_without_its_value_fails_as_it_would_in_a_run() {
    let call = TaskDef { with: json!({ "url": "{{ conn.api.url }}/{{ var.path }}" }), ..task("call", &[]) };
    let dag = dag(vec![call]);
    passes(
        &dag,
        "
vars: { path: a }
cases:
  - expect: { run: failed, tasks: { call: { state: failed, reason: 'with: template in' } } }
  - conns: { api: { url: 'http://x' } }
    expect: { run: success, rendered: { call: { with: { url: http://x/a } } } }
",
    );
}

#[test]
fn what_is_not_as_expected_is_told_with_its_line_and_why() {
    let got = misses(
        &pipeline(),
        "tasks: { 'load[1]': failed_for_good }
expect:
  run: success
  tasks:
    report: success
    load: [success, tries: 2, instances: 4]
  order: [cleanup, watermark]
  not_started: [cleanup]
  duration: { at_least: 1h }
  rendered:
    load[0]: { with: { event: b, into: x } }
    models: { with: {} }
",
    );
    let expected = [
        "3: the run: expected success, was failed (load[1] failed: failed with an error that a retry does not cure)",
        "5: report: expected success, was upstream_failed (all_success cannot be met: 'models' was not run)",
        "6: load: expected 4 instances, were 3",
        "6: load[0]: expected 2 tries, were 1 (done)",
        "6: load[1]: expected success, was failed (failed with an error that a retry does not cure)",
        "6: load[1]: expected 2 tries, were 1 (failed with an error that a retry does not cure)",
        "6: load[2]: expected 2 tries, were 1 (done)",
        "7: expected watermark after cleanup: cleanup began after 2s, ended after 3s; watermark began after 0s, ended after 1s",
        "8: cleanup: expected not to start, began after 2s, ended after 3s",
        "9: the run took 3s, expected at least 1h",
        "11: load[0].with.event: expected \"b\", was \"a\"",
        "11: load[0].with.into: expected \"x\", is missing",
        "12: models: was never rendered: all_success cannot be met: 'load' failed",
    ];
    assert_eq!(got, expected);
}

#[test]
fn a_case_is_always_played_the_same() {
    let text = "{ tasks: { load: { fails: 1 }, models: { lost: 1, pokes: 2 } }, expect: { run: success } }";
    let (one, other) = (play(&pipeline(), text), play(&pipeline(), text));
    assert_eq!(one, other);
    assert_eq!(one.run, RunState::Success);
    assert!(one.events.is_sorted_by_key(|event| event.at));
}

#[test]
fn spans_are_written_as_in_files() {
    let table = [(0, "0s"), (250, "250ms"), (61_500, "1m1s500ms"), (90_000_000, "1d1h")];
    for (milliseconds, text) in table {
        assert_eq!(span(chrono::TimeDelta::milliseconds(milliseconds)), text);
    }
}
