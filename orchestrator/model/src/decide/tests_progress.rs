//! What is kept between decisions; that they say the same with and without it, `tests_play` checks in each of its games.

use super::*;
use crate::dag::TaskDef;
use crate::for_each::ForEach;
use crate::retry::RetryPolicy;
use crate::testing::{dag, service, task, utc};
use serde_json::json;
use std::time::Duration;

const NOON: &str = "2026-03-01T12:00:00Z";

fn step(run: &mut RunSnapshot<'_>, progress: &mut Progress) -> usize {
    let commands = progress.decide(run, utc(NOON));
    for command in &commands {
        let Command::Queue { task, .. } = command else { panic!("{command:?}") };
        run.tasks[*task].state = TaskState::Queued;
        progress.touch(*task);
    }
    commands.len()
}

fn end(run: &mut RunSnapshot<'_>, progress: &mut Progress, position: usize) {
    run.tasks[position].state = TaskState::Success;
    progress.touch(position);
}

/// Two layers of so many, a joint between them, and 16 slots.
fn judged_at_each_end(width: usize) -> usize {
    let joint: Vec<usize> = (0..width).collect();
    let mut tasks: Vec<TaskDef> = (0..width).map(|at| task(&format!("a{at}"), &[])).collect();
    tasks.push(task("joint", &joint));
    tasks.extend((0..width).map(|at| task(&format!("b{at}"), &[width])));
    let dag = dag(tasks);
    let (mut run, mut progress) = (RunSnapshot::begun(&dag), Progress::default());
    assert_eq!(step(&mut run, &mut progress), 16);
    let before = progress.judged().unwrap();
    assert_eq!(before, 2 * width + 1, "the first decision looks at all");
    for position in 0..8 {
        end(&mut run, &mut progress, position);
        assert_eq!(step(&mut run, &mut progress), 1, "the next takes its slot");
    }
    (progress.judged().unwrap() - before) / 8
}

#[test]
fn an_end_in_a_run_of_ten_thousand_costs_what_it_costs_in_one_of_fifty() {
    assert_eq!(judged_at_each_end(50), 2, "itself and the joint");
    assert_eq!(judged_at_each_end(10_000), 2);
}

#[test]
fn what_is_forgotten_is_read_anew() {
    let dag = dag(vec![task("a", &[]), task("b", &[0])]);
    let (mut run, mut progress) = (RunSnapshot::begun(&dag), Progress::default());
    step(&mut run, &mut progress);
    assert_eq!(step(&mut run, &mut progress), 0);
    run.tasks[0].state = TaskState::Success;
    assert_eq!(progress.decide(&run, utc(NOON)), [], "nobody told of the change");
    progress.forget();
    assert_eq!(progress.decide(&run, utc(NOON)), [Command::Queue { task: 1, map_index: -1 }]);
}

#[test]
fn a_due_instance_starts_without_being_touched() {
    let dag = dag(vec![task("a", &[]), task("b", &[])]);
    let (mut run, mut progress) = (RunSnapshot::begun(&dag), Progress::default());
    step(&mut run, &mut progress);
    let due = utc("2026-03-01T12:00:05Z");
    (run.tasks[0].state, run.tasks[0].next_at) = (TaskState::UpForRetry, Some(due));
    progress.touch(0);
    assert_eq!(progress.decide(&run, utc(NOON)), [Command::WakeAt { at: due }]);
    assert_eq!(progress.decide(&run, due), [Command::Queue { task: 0, map_index: -1 }]);
}

#[test]
fn nothing_is_kept_where_a_decision_depends_on_more_than_what_has_changed() {
    let kept = |dag: &Dag| {
        let mut progress = Progress::default();
        progress.decide(&RunSnapshot::begun(dag), utc(NOON));
        progress.judged().is_some()
    };
    let mapped = TaskDef { for_each: Some(ForEach::list(vec![json!(1); 3])), ..task("b", &[0]) };
    assert!(kept(&dag(vec![task("a", &[]), mapped])));
    assert!(!kept(&dag(vec![service("a", &[]), task("b", &[0])])));
    assert!(!kept(&dag(vec![TaskDef { depends_on_past: true, ..task("a", &[]) }])));
    let mut grouped = dag(vec![TaskDef { group: Some("g".to_owned()), ..task("g.a", &[]) }]);
    let retries = RetryPolicy { limit: 1, delay: Duration::from_secs(1), ..RetryPolicy::default() };
    grouped.groups = vec![crate::dag::Group { id: "g".to_owned(), retries }];
    assert!(!kept(&grouped));
}
