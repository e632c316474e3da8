//! Whatever tasks come to, a played run ends, and within the limits of its dag.

use super::*;
use crate::dag::{Dag, TaskDef};
use crate::for_each::ForEach;
use crate::registry::Registry;
use crate::state::{RunState, TaskState};
use crate::testing::{dag, task, utc};
use crate::trigger_rule::TriggerRule;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone)]
struct Random {
    needs: u8,
    rule: TriggerRule,
    retries: u32,
    items: Option<usize>,
    script: Script,
}

fn script() -> impl Strategy<Value = Script> {
    let end = prop::option::of(prop::sample::select(vec![
        Finish::Success,
        Finish::Skipped,
        Finish::Failed,
        Finish::FailedForGood,
    ]));
    (0u64..20, end, 0u32..4, 0u32..3, 0u32..3).prop_map(|(seconds, end, fails, loses, pokes)| Script {
        takes: Some(std::time::Duration::from_secs(seconds)),
        end,
        fails: Some(fails),
        loses: Some(loses),
        pokes: Some(pokes),
        ..Script::default()
    })
}

fn tasks() -> impl Strategy<Value = Vec<Random>> {
    let rule = prop::sample::select(&TriggerRule::ALL[..]);
    let items = prop::option::of(0usize..4);
    let one = (any::<u8>(), rule, 0u32..3, items, script());
    let one =
        one.prop_map(|(needs, rule, retries, items, script)| Random { needs, rule, retries, items, script });
    prop::collection::vec(one, 1..8)
}

fn built(random: &[Random], max_active_tasks: u32) -> Dag {
    let tasks = random.iter().enumerate().map(|(at, random)| TaskDef {
        needs: (0..at).filter(|need| random.needs >> need & 1 == 1).collect(),
        trigger_rule: random.rule,
        retries: super::tests::retries(random.retries),
        for_each: random.items.map(|count| ForEach::list(vec![json!(1); count])),
        ..task(&format!("t{at}"), &[])
    });
    Dag { max_active_tasks, ..dag(tasks.collect()) }
}

proptest! {
    #[test]
    fn a_run_of_tasks_ends_and_no_task_is_tried_more_often_than_allowed(random in tasks(), active in 1u32..4) {
        let dag = built(&random, active);
        let scripts = random.iter().enumerate().map(|(at, random)| {
            (Selector { id: format!("t{at}"), map_index: None }, random.script.clone())
        });
        let case = Case {
            name: String::new(),
            place: Place::default(),
            at: utc("2026-01-01T00:00:00Z"),
            window: None,
            params: Value::Null,
            vars: Map::new(),
            conns: Map::new(),
            secrets: Map::new(),
            cancel_after: None,
            scripts: scripts.collect(),
            expect: Expect::default(),
        };
        let story = simulate(&dag, &case, &Registry::default());
        prop_assert!(story.run.is_final(), "{}", super::tests::told(&story));
        prop_assert!(story.events.is_sorted_by_key(|event| event.at));
        for seen in &story.instances {
            let random = &random[seen.task];
            prop_assert!(seen.state.is_final());
            let lost = random.script.loses.unwrap_or(0) as i32;
            prop_assert!(seen.tries <= 1 + random.retries as i32 + lost, "{} tries", seen.tries);
            prop_assert_eq!(seen.tries > 0, seen.started.is_some());
            prop_assert!(seen.started.is_none_or(|began| seen.ended.is_some_and(|ended| began <= ended)));
            let may_succeed = seen.tries > 0 && random.script.end.is_none_or(|end| end == Finish::Success);
            prop_assert!(seen.state != TaskState::Success || may_succeed);
        }
        let failed = story.instances.iter().any(|seen| seen.state == TaskState::Failed);
        prop_assert!(story.run == RunState::Success || failed, "nothing failed but the run");
        prop_assert_eq!(simulate(&dag, &case, &Registry::default()), story);
    }
}
