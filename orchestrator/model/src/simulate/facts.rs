//! What templates see in a played run: the same names as in a real one.

use super::play::{Key, Play};
use crate::dag::TaskDef;
use crate::decide::TaskSnapshot;
use crate::params;
use crate::state::{RunState, TaskState};
use crate::template::{DagFacts, RunFacts, TaskFacts, TemplateContext};
use crate::trigger_rule::TriggerRule;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) const RUN_ID: &str = "test";

impl Play<'_> {
    pub(super) fn facts(&self, (task, map_index): Key) -> TemplateContext {
        let (dag, case) = (self.dag, self.case);
        let instance = self.instances.get(&(task, map_index));
        TemplateContext {
            dag: DagFacts {
                id: dag.id.clone(),
                description: dag.description.clone(),
                tags: dag.tags.clone(),
            },
            run: RunFacts {
                id: RUN_ID.to_owned(),
                state: self.run_state_for(task).as_str().to_owned(),
                tick: Some(case.at),
            },
            task: TaskFacts {
                id: dag.tasks[task].id.clone(),
                map_index,
                try_number: instance.map_or(0, |instance| instance.seen.tries),
            },
            window: case.window,
            params: case.params.clone(),
            item: instance.and_then(|instance| instance.item.clone()),
            conn: case.conns.clone(),
            var: case.vars.clone(),
            secret: case.secrets.clone(),
            outputs: self.outputs_before(task),
            ..TemplateContext::default()
        }
    }

    /// What runs whatever happened knows whether something has failed; what runs after successes need not ask.
    fn run_state_for(&self, task: usize) -> RunState {
        let failed =
            |instance: &TaskSnapshot| matches!(instance.state, TaskState::Failed | TaskState::UpstreamFailed);
        let asks = self.dag.tasks[task].trigger_rule != TriggerRule::AllSuccess;
        if asks && self.run.tasks.iter().any(failed) { RunState::Failed } else { RunState::Running }
    }

    /// What the tasks before this one gave; a mapped task's is a list with null for those that gave nothing.
    fn outputs_before(&self, task: usize) -> BTreeMap<String, Value> {
        let mut before = vec![false; self.dag.tasks.len()];
        for at in (0..=task).rev() {
            if at == task || before[at] {
                self.dag.tasks[at].needs.iter().for_each(|need| before[*need] = true);
            }
        }
        let mut found = BTreeMap::new();
        for (at, def) in self.dag.tasks.iter().enumerate().filter(|(at, _)| before[*at]) {
            let of_task: Vec<_> = self.instances.range((at, i32::MIN)..=(at, i32::MAX)).collect();
            if of_task.iter().all(|(_, instance)| instance.outputs.is_none()) {
                found.insert(def.id.clone(), def.nothing_given());
                continue;
            }
            let outputs = of_task.iter().map(|(_, instance)| instance.outputs.clone().unwrap_or_default());
            let outputs: Vec<Value> = outputs.collect();
            let value = match &of_task[..] {
                [((_, -1), _)] => outputs.into_iter().next().unwrap_or_default(),
                _ => Value::Array(outputs),
            };
            found.insert(def.id.clone(), value);
        }
        found
    }
}

/// What a successful try gives: what the test says, and something of the right type for what is declared and not said.
pub(super) fn outputs(task: &TaskDef, said: Option<&Map<String, Value>>) -> Result<Value, String> {
    let mut outputs = said.cloned().unwrap_or_default();
    for (name, kind) in &task.outputs {
        let Some(value) = outputs.get(name) else {
            outputs.insert(name.clone(), empty(kind));
            continue;
        };
        let given = params::type_name(value);
        if given != kind && !(kind == "number" && value.is_number()) {
            return Err(format!(
                "output '{name}' must be of type {kind}, not {given} (declared by its 'outputs:')"
            ));
        }
    }
    Ok(Value::Object(outputs))
}

fn empty(kind: &str) -> Value {
    match kind {
        "integer" | "number" => json!(0),
        "boolean" => json!(false),
        "array" => json!([]),
        "object" => json!({}),
        _ => json!(""),
    }
}
