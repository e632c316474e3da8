//! Every dag of up to four tasks, every trigger rule, every outcome: each run ends, nothing runs before its needs, commands are
//! legal, at most one an instance, and a decision repeated says nothing new.

use super::*;
use crate::dag::TaskDef;
use crate::for_each::ForEach;
use crate::testing::{dag, service, task, utc};
use crate::trigger_rule::TriggerRule;
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashSet;

const NOON: &str = "2026-03-01T12:00:00Z";
const OUTCOMES: [TaskState; 3] = [TaskState::Success, TaskState::Failed, TaskState::Skipped];

/// Applies the commands and checks that each was legal; returns the run's end.
fn apply(run: &mut RunSnapshot<'_>, commands: &[Command], what: &str) -> Option<RunState> {
    let mut touched = HashSet::new();
    let mut end = None;
    for command in commands {
        let (task, map_index, to) = match command {
            Command::Queue { task, map_index } => (*task, *map_index, Some(TaskState::Queued)),
            Command::Settle { task, map_index, state, .. } => (*task, *map_index, Some(*state)),
            Command::Stop { task, map_index, .. } => (*task, *map_index, None),
            Command::FinishRun { state } => {
                assert!(end.is_none() && run.state.may_become(*state), "{what}: {} -> {state}", run.state);
                end = Some(*state);
                continue;
            }
            Command::WakeAt { .. } => continue,
        };
        assert!(touched.insert((task, map_index)), "{what}: two commands for {task}[{map_index}]");
        let instance = run.tasks.iter_mut().find(|i| i.task == task && i.map_index == map_index).unwrap();
        match to {
            Some(to) => {
                assert!(instance.state.may_become(to), "{what}: {} -> {to}", instance.state);
                instance.state = to;
                instance.try_number += i32::from(to == TaskState::Queued);
            }
            None => {
                assert!(instance.state.is_live() && !instance.stopping, "{what}: stops what is not live");
                instance.stopping = true;
            }
        }
    }
    if let Some(end) = end {
        assert!(run.tasks.iter().all(|i| i.state.is_final()), "{what}: ended with unfinished tasks");
        run.state = end;
    }
    end
}

fn starts_early(rule: TriggerRule) -> bool {
    use TriggerRule::*;
    matches!(rule, Always | OneSuccess | OneFailed | OneDone)
}

fn fresh(dag: &Dag) -> RunSnapshot<'_> {
    let tasks = dag.tasks.iter().enumerate().flat_map(|(task, def)| {
        def.map_indexes().into_iter().map(move |map_index| TaskSnapshot {
            task,
            map_index,
            state: TaskState::None,
            try_number: 0,
            next_at: None,
            ready: false,
            stopping: false,
            chosen: None,
        })
    });
    RunSnapshot { dag, state: RunState::Running, cancel_requested: false, tasks: tasks.collect() }
}

/// Plays a run to its end; `outcome` says how instance number `i` ends, `pick` which of the live ones is next.
fn play(
    dag: &Dag,
    outcome: impl Fn(usize) -> TaskState,
    mut pick: impl FnMut(usize) -> usize,
    what: &str,
) -> RunState {
    let now = utc(NOON);
    let mut run = fresh(dag);
    for _ in 0..=2 * run.tasks.len() {
        let commands = decide(&run, now);
        let end = apply(&mut run, &commands, what);
        for command in &commands {
            if let Command::Queue { task, .. } = command {
                let def = &dag.tasks[*task];
                let done = |need: &usize| {
                    let mut instances = run.tasks.iter().filter(|i| i.task == *need);
                    instances.all(|i| i.state.is_final() || (i.ready && i.state.is_live()))
                };
                assert!(
                    starts_early(def.trigger_rule) || def.needs.iter().all(done),
                    "{what}: {} before its needs",
                    def.id
                );
            }
        }
        assert_eq!(decide(&run, now), [], "{what}: decided twice");
        if let Some(end) = end {
            return end;
        }
        let unready = run.tasks.iter().position(|i| {
            i.state.is_live() && !i.ready && !i.stopping && dag.tasks[i.task].service.is_some()
        });
        if let Some(service) = unready {
            run.tasks[service].ready = true;
            continue;
        }
        let live: Vec<usize> = (0..run.tasks.len()).filter(|i| run.tasks[*i].state.is_live()).collect();
        assert!(!live.is_empty(), "{what}: stuck");
        let used = live.iter().filter(|i| dag.tasks[run.tasks[**i].task].service.is_none()).count();
        assert!(used <= dag.max_active_tasks as usize, "{what}: {used} at once");
        let ended = live[pick(live.len()) % live.len()];
        run.tasks[ended].state = if run.tasks[ended].stopping { TaskState::Success } else { outcome(ended) };
    }
    panic!("{what}: did not end");
}

/// The dag number `shape` of `size` tasks: one bit for each possible need on an earlier task.
fn shaped(size: usize, mut shape: usize) -> Vec<TaskDef> {
    (0..size)
        .map(|at| {
            let needs: Vec<usize> = (0..at).filter(|need| shape >> need & 1 == 1).collect();
            shape >>= at;
            task(&format!("t{at}"), &needs)
        })
        .collect()
}

fn all_outcomes(size: usize) -> impl Iterator<Item = Vec<TaskState>> {
    (0..3usize.pow(size as u32))
        .map(move |number| (0..size).map(|at| OUTCOMES[number / 3usize.pow(at as u32) % 3]).collect())
}

#[test]
fn every_dag_of_three_tasks_with_every_mix_of_rules_ends() {
    let mut played = 0;
    for shape in 0..8 {
        for rules in 0..13 * 13 {
            let mut tasks = shaped(3, shape);
            tasks[1].trigger_rule = TriggerRule::ALL[rules / 13];
            tasks[2].trigger_rule = TriggerRule::ALL[rules % 13];
            let dag = dag(tasks);
            for outcomes in all_outcomes(3) {
                let what = format!("shape {shape} rules {rules} outcomes {outcomes:?}");
                play(&dag, |i| outcomes[i], |_| 0, &what);
                played += 1;
            }
        }
    }
    assert_eq!(played, 8 * 169 * 27);
}

#[test]
fn every_dag_of_four_tasks_ends_as_its_leaves_say_in_any_order_and_with_one_slot() {
    for shape in 0..64 {
        for rule in TriggerRule::ALL {
            let mut tasks = shaped(4, shape);
            tasks.iter_mut().for_each(|task| task.trigger_rule = rule);
            let wide = dag(tasks.clone());
            let mut narrow = dag(tasks);
            narrow.max_active_tasks = 1;
            for outcomes in all_outcomes(4) {
                let what = format!("shape {shape} rule {rule} outcomes {outcomes:?}");
                let ends = [
                    play(&wide, |i| outcomes[i], |_| 0, &what),
                    play(&wide, |i| outcomes[i], |live| live - 1, &what),
                    play(&narrow, |i| outcomes[i], |_| 0, &what),
                ];
                if !starts_early(rule) {
                    assert_eq!(ends[0], ends[1], "{what}: the order of ends must not matter");
                    assert_eq!(ends[0], ends[2], "{what}: the number of slots must not matter");
                }
                if outcomes.iter().all(|state| *state == TaskState::Success) {
                    assert_eq!(ends[0], RunState::Success, "{what}");
                }
                if outcomes[3] == TaskState::Failed && rule == TriggerRule::Always {
                    assert_eq!(ends[0], RunState::Failed, "{what}: a failed leaf fails the run");
                }
            }
        }
    }
}

#[test]
fn cancelling_at_any_state_ends_the_run() {
    let dag = dag(shaped(3, 0b011));
    for number in 0..TaskState::ALL.len().pow(3) {
        let mut run = fresh(&dag);
        for (at, instance) in run.tasks.iter_mut().enumerate() {
            instance.state = TaskState::ALL[number / 10usize.pow(at as u32) % 10];
        }
        run.cancel_requested = true;
        let what = format!("cancelled at {number}");
        let commands = decide(&run, utc(NOON));
        let mut end = apply(&mut run, &commands, &what);
        assert_eq!(decide(&run, utc(NOON)), [], "{what}: decided twice");
        if end.is_none() {
            run.tasks.iter_mut().filter(|i| i.state.is_live()).for_each(|i| i.state = TaskState::Cancelled);
            let commands = decide(&run, utc(NOON));
            end = apply(&mut run, &commands, &what);
        }
        assert_eq!(end, Some(RunState::Cancelled), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Bigger dags with services, maps (also over nothing), priorities and few slots, ended in random order.
    #[test]
    fn random_dags_with_services_and_maps_end(
        shape in prop::collection::vec((any::<u16>(), 0usize..13, 0usize..8, -2i32..3), 1..9),
        slots in 1u32..4,
        outcomes in prop::collection::vec(0usize..3, 1..40),
        picks in prop::collection::vec(any::<u16>(), 1..40),
    ) {
        let tasks = shape.iter().enumerate().map(|(at, (needs, rule, sort, priority))| {
            let needs: Vec<usize> = (0..at).filter(|need| needs >> need & 1 == 1).collect();
            let id = format!("t{at}");
            let base = if *sort == 0 { service(&id, &needs) } else { task(&id, &needs) };
            let for_each = (4..7).contains(sort).then(|| ForEach::list(vec![json!(0); sort - 4]));
            TaskDef { trigger_rule: TriggerRule::ALL[*rule], for_each, priority: *priority, ..base }
        });
        let mut dag = dag(tasks.collect());
        dag.max_active_tasks = slots;
        let mut at = 0;
        let pick = |_| { at += 1; usize::from(picks[at % picks.len()]) };
        play(&dag, |i| OUTCOMES[outcomes[i % outcomes.len()]], pick, &format!("{dag:?}"));
    }
}
