//! Dags by chance: layers, trigger rules, retries, mapped tasks, services, branches, groups, pools, limits, schedules, assets, questions to
//! people, pasts that are depended on, deadlines.

use super::dice::Dice;
use super::kind;
use chrono::{DateTime, TimeDelta, Utc};
use model::dag::{Catchup, Dag, Group, Overlap, Restart, Schedule, Service, TaskDef};
use model::for_each::{ForEach, Over};
use model::notify::{Event, Notify, Target};
use model::retry::RetryPolicy;
use model::trigger_rule::TriggerRule;
use serde_json::json;
use std::time::Duration;

pub(crate) const POOL: &str = "scarce";

/// What the dag of this number writes. Dags wait only for what dags of lower numbers write, so that they come to an end.
pub(super) fn asset(number: usize) -> String {
    format!("a{number}")
}

/// `from` and `until`: when scheduled runs are wanted.
pub(crate) fn dag(dice: &mut Dice, number: usize, from: DateTime<Utc>, until: DateTime<Utc>) -> Dag {
    let count = 1 + dice.below(6);
    let mut tasks: Vec<TaskDef> = Vec::new();
    for position in 0..count {
        tasks.push(task(dice, position, count));
    }
    let groups = grouped(dice, &mut tasks);
    with_services(dice, &mut tasks);
    with_branches(dice, &mut tasks);
    with_questions(dice, &mut tasks);
    with_pasts_and_deadlines(dice, &mut tasks);
    if dice.permille(500) {
        let writer = dice.below(count);
        tasks[writer].writes = vec![asset(number)];
    }
    Dag {
        id: format!("d{number}"),
        schedule: schedule(dice, number, from, until),
        catchup: *dice.pick(&[Catchup::None, Catchup::Latest, Catchup::All, Catchup::Limit(2)]),
        overlap: *dice.pick(&[Overlap::Queue, Overlap::Queue, Overlap::Skip, Overlap::Cancel]),
        max_active_runs: 1 + dice.below(3) as u32,
        max_active_tasks: *dice.pick(&[1, 2, 3, 8]),
        retries: if dice.permille(100) { policy(dice, 1) } else { RetryPolicy::default() },
        groups,
        tasks,
        deadline: dice.permille(250).then(|| dice.millis(5_000, 150_000)),
        notify: vec![Notify { on: vec![Event::Deadline, Event::Failure], to: nobody() }],
        ..Dag::default()
    }
}

fn nobody() -> Target {
    Target::Email { to: vec!["people".to_owned()], subject: String::new() }
}

fn schedule(dice: &mut Dice, number: usize, from: DateTime<Utc>, until: DateTime<Utc>) -> Schedule {
    let step = dice.between(20, 70);
    if number > 0 && dice.permille(350) {
        let mut assets: Vec<String> = (0..number).filter(|_| dice.permille(700)).map(asset).collect();
        if assets.is_empty() {
            assets.push(asset(0));
        }
        return Schedule::Assets { assets, all: dice.permille(500) };
    }
    match dice.below(10) {
        0..4 => {
            let first = from + TimeDelta::seconds(dice.between(1, 20));
            let instants = (0..).map(|n| first + TimeDelta::seconds(n * step));
            Schedule::At { instants: instants.take_while(|at| *at < until).collect() }
        }
        4..6 => Schedule::Every { every: Duration::from_secs(step.unsigned_abs()) },
        6 => Schedule::Continuous,
        7 => Schedule::Once,
        _ => Schedule::Manual,
    }
}

fn task(dice: &mut Dice, position: usize, count: usize) -> TaskDef {
    let mut needs: Vec<usize> = (0..position).filter(|_| dice.permille(350)).collect();
    if needs.is_empty() && position > 0 && dice.permille(600) {
        needs.push(dice.below(position));
    }
    let rule = if dice.permille(300) { *dice.pick(&TriggerRule::ALL) } else { TriggerRule::AllSuccess };
    let retries = dice.below(3) as u32;
    let for_each = mapped(dice, count);
    let sieves = for_each.is_some() && dice.permille(400);
    TaskDef {
        id: format!("t{position}"),
        uses: kind::TASK.to_owned(),
        needs,
        trigger_rule: rule,
        retries: policy(dice, retries),
        timeout: dice.permille(300).then(|| dice.millis(5_000, 40_000)),
        priority: dice.below(3) as i32,
        for_each,
        condition: sieves.then(|| WANTED.to_owned()),
        pool: dice.permille(150).then(|| POOL.to_owned()),
        pool_slots: 1 + dice.below(2) as u32,
        max_active: dice.permille(100).then(|| 1 + dice.below(2) as u32),
        ..TaskDef::default()
    }
}

/// The `if` of some mapped tasks: all items but this one.
const WANTED: &str = "item != 1";
pub(crate) const UNWANTED: i32 = 1;

fn mapped(dice: &mut Dice, count: usize) -> Option<ForEach> {
    let concurrency = dice.permille(300).then_some(1);
    match dice.below(12) {
        0 if count < 5 => {
            let items = (0..dice.below(4)).map(|n| json!(n)).collect();
            Some(ForEach { over: Over::Items(items), max: 100, concurrency })
        }
        1 if count < 5 => {
            let over = Over::Expression(format!("range({})", dice.below(4)));
            Some(ForEach { over, max: 2, concurrency })
        }
        _ => None,
    }
}

fn policy(dice: &mut Dice, limit: u32) -> RetryPolicy {
    let delay = dice.millis(0, 6_000);
    RetryPolicy { limit, delay, backoff: 1.5, max_delay: Duration::from_secs(15) }
}

/// A run of neighbours becomes a group with retries.
fn grouped(dice: &mut Dice, tasks: &mut [TaskDef]) -> Vec<Group> {
    if tasks.len() < 3 || !dice.permille(200) {
        return Vec::new();
    }
    let first = dice.below(tasks.len() - 1);
    for task in &mut tasks[first..first + 2] {
        task.group = Some("g".to_owned());
    }
    vec![Group { id: "g".to_owned(), retries: policy(dice, 1) }]
}

/// A service is always needed by a task after it, so that its run ends.
fn with_services(dice: &mut Dice, tasks: &mut [TaskDef]) {
    let last = tasks.len() - 1;
    if last == 0 || !dice.permille(250) {
        return;
    }
    let at = dice.below(last);
    let service = Service {
        restart: *dice.pick(&[Restart::Always, Restart::OnFailure, Restart::Never]),
        budget: 1 + dice.below(3) as u32,
        period: Duration::from_secs(60),
        stop_grace: Duration::from_secs(4),
        ready_timeout: Duration::from_secs(20),
        ..Service::default()
    };
    let task = &mut tasks[at];
    (task.uses, task.service) = (kind::SERVICE.to_owned(), Some(service));
    (task.for_each, task.condition) = (None, None);
    // What needs the service must not wait for a place that the service has.
    (task.timeout, task.pool, task.max_active) = (None, None, None);
    if !tasks[last].needs.contains(&at) {
        tasks[last].needs.push(at);
        tasks[last].needs.sort_unstable();
    }
}

fn with_branches(dice: &mut Dice, tasks: &mut [TaskDef]) {
    let at = dice.below(tasks.len());
    let after: Vec<String> =
        tasks.iter().filter(|task| task.needs.contains(&at)).map(|task| task.id.clone()).collect();
    if after.len() < 2 || tasks[at].service.is_some() || !dice.permille(400) {
        return;
    }
    let task = &mut tasks[at];
    (task.uses, task.branch, task.with) = (kind::BRANCH.to_owned(), true, json!({ "choices": after }));
}

fn is_plain(task: &TaskDef) -> bool {
    task.uses == kind::TASK && task.for_each.is_none()
}

/// Some tasks ask people. They have as much time as these need.
fn with_questions(dice: &mut Dice, tasks: &mut [TaskDef]) {
    for task in tasks.iter_mut().filter(|task| is_plain(task)) {
        if dice.permille(80) {
            (task.uses, task.timeout) = (kind::APPROVE.to_owned(), None);
        }
    }
}

fn with_pasts_and_deadlines(dice: &mut Dice, tasks: &mut [TaskDef]) {
    if dice.permille(250) {
        let at = dice.below(tasks.len());
        tasks[at].depends_on_past = tasks[at].service.is_none();
    }
    for task in tasks {
        task.deadline = dice.permille(80).then(|| dice.millis(2_000, 100_000));
    }
}
