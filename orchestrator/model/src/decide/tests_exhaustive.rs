//! Every dag of up to four tasks, every trigger rule, every outcome: each run ends, nothing runs before its needs, commands are
//! legal, at most one an instance, and a decision repeated says nothing new.

use super::tests_play::{Game, OUTCOMES, apply};
use super::*;
use crate::dag::TaskDef;
use crate::dag::{Group, Role};
use crate::for_each::{ForEach, Over};
use crate::retry::RetryPolicy;
use crate::testing::{dag, service, task, utc};
use crate::trigger_rule::TriggerRule;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

const NOON: &str = "2026-03-01T12:00:00Z";

/// Plays a run to its end; `outcome` says how instance number `i` ends.
fn play(
    dag: &Dag,
    outcome: impl Fn(usize) -> TaskState,
    mut pick: impl FnMut(usize) -> usize,
    what: &str,
) -> RunState {
    Game::new(dag).play(|position, _| outcome(position), &mut pick, what)
}

fn starts_early(rule: TriggerRule) -> bool {
    use TriggerRule::*;
    matches!(rule, Always | OneSuccess | OneFailed | OneDone)
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
        let mut run = RunSnapshot::begun(&dag);
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

fn policy(limit: u32, delay: u64) -> RetryPolicy {
    let delay = Duration::from_secs(delay);
    RetryPolicy { limit, delay, backoff: 1.0, max_delay: delay }
}

/// In group `g` (1), its inner group `g.h` (2), another group (3), or in none (0).
fn in_group(number: usize, def: TaskDef) -> TaskDef {
    let group = [None, Some("g"), Some("g.h"), Some("k")][number % 4];
    let id = group.map_or(def.id.clone(), |group| format!("{group}.{}", def.id));
    TaskDef { id, group: group.map(str::to_owned), ..def }
}

fn groups(limits: [u32; 3], delay: u64) -> Vec<Group> {
    let group = |id: &str, limit| Group { id: id.to_owned(), retries: policy(limit, delay) };
    vec![group("g", limits[0]), group("g.h", limits[1]), group("k", limits[2])]
}

#[test]
fn every_dag_of_four_tasks_with_any_two_groups_that_are_tried_again_ends() {
    for shape in 0..64 {
        for places in 0..16 {
            let place = |at: usize| [(places & 3), (places >> 2), (places & 3) ^ (places >> 2), 1][at];
            let tasks = shaped(4, shape).into_iter().enumerate().map(|(at, def)| in_group(place(at), def));
            let mut dag = dag(tasks.collect());
            dag.groups = groups([4, 4, 4], (places % 2) as u64);
            for outcomes in all_outcomes(4) {
                let what = format!("shape {shape} places {places} outcomes {outcomes:?}");
                let cured = |position: usize, tries: i32| {
                    if tries > 1 { TaskState::Success } else { outcomes[position] }
                };
                let end = Game::new(&dag).play(cured, &mut |_| 0, &what);
                let grouped = |at: &usize| dag.tasks[*at].group.is_some();
                let failed = |at: &usize| outcomes[*at] == TaskState::Failed;
                if (0..4).filter(failed).all(|at| grouped(&at))
                    && outcomes.iter().all(|o| *o != TaskState::Skipped)
                {
                    assert_eq!(end, RunState::Success, "{what}: the second try succeeds");
                }
                let broken =
                    Game::new(&dag).play(|position, _| outcomes[position], &mut |live| live - 1, &what);
                if outcomes[3] == TaskState::Failed && shape == 0 {
                    assert_eq!(broken, RunState::Failed, "{what}");
                }
            }
        }
    }
}

#[test]
fn every_dag_of_four_tasks_whose_run_is_tried_again_ends_well_if_the_second_try_does() {
    for shape in 0..64 {
        for rule in TriggerRule::ALL {
            let mut tasks = shaped(4, shape);
            tasks.iter_mut().skip(1).for_each(|task| task.trigger_rule = rule);
            let mut dag = dag(tasks);
            dag.retries = policy(4, 30);
            for outcomes in all_outcomes(4) {
                let what = format!("shape {shape} rule {rule} outcomes {outcomes:?}");
                let cured = |position: usize, tries: i32| match outcomes[position] {
                    TaskState::Failed if tries > 1 => TaskState::Success,
                    outcome => outcome,
                };
                let end = Game::new(&dag).play(cured, &mut |_| 0, &what);
                let skips = outcomes.contains(&TaskState::Skipped);
                if matches!(rule, TriggerRule::AllSuccess | TriggerRule::AllDone) && !skips {
                    assert_eq!(end, RunState::Success, "{what}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// All at once: branches, groups and runs that are tried again, late maps with few at once, setups, and instances held by the past.
    #[test]
    fn random_dags_with_everything_end(
        shape in prop::collection::vec((any::<u16>(), 0usize..13, 0usize..12, 0usize..4, any::<bool>()), 1..9),
        limits in prop::array::uniform4(0u32..3),
        delay in 0u64..2,
        slots in 1u32..4,
        outcomes in prop::collection::vec(0usize..3, 1..40),
        picks in prop::collection::vec(any::<u16>(), 1..40),
    ) {
        let tasks = shape.iter().enumerate().map(|(at, (needs, rule, sort, place, past))| {
            let needs: Vec<usize> = (0..at).filter(|need| needs >> need & 1 == 1).collect();
            let id = format!("t{at}");
            let late = |concurrency| ForEach { over: Over::Expression("x".to_owned()), max: 9, concurrency };
            let base = in_group(*place, task(&id, &needs));
            let base = TaskDef { trigger_rule: TriggerRule::ALL[*rule], depends_on_past: *past, ..base };
            match sort {
                0 => TaskDef { trigger_rule: TriggerRule::ALL[*rule], ..service(&id, &needs) },
                1 | 2 => TaskDef { for_each: Some(late(None)), ..base },
                3 => TaskDef { for_each: Some(late(Some(1))), ..base },
                4 => TaskDef { for_each: Some(ForEach::list(vec![json!(0); 3])), ..base },
                5 | 6 => TaskDef { branch: true, ..base },
                7 => TaskDef { role: Role::Setup, ..base },
                8 => TaskDef { role: Role::Teardown, trigger_rule: TriggerRule::AllDoneSetupSuccess, ..base },
                _ => base,
            }
        });
        let mut dag = dag(tasks.collect());
        dag.max_active_tasks = slots;
        dag.groups = groups([limits[0], limits[1], limits[2]], delay);
        dag.retries = policy(limits[3], delay);
        let mut at = 0;
        let mut pick = |_| { at += 1; usize::from(picks[at % picks.len()]) };
        let outcome = |position: usize, tries: i32| OUTCOMES[outcomes[(position + tries as usize) % outcomes.len()]];
        Game::new(&dag).play(outcome, &mut pick, &format!("{dag:?}"));
    }
}
