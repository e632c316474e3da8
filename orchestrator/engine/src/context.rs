//! What an attempt gets: `with:` and `env:` with their templates rendered, and the rest of its [`TaskContext`].

use crate::live::Live;
use crate::platform::StorePlatform;
use crate::sink::AttemptSink;
use crate::worker::Core;
use model::TaskContext;
use model::template::{
    DagFacts, RunFacts, TaskFacts, TemplateContext, has_template, is_template, render, render_env,
};
use serde_json::{Map, Value};
use std::sync::Arc;
use store::attempts::Claimed;

/// The error says which template is wrong and why; trying again would not help.
pub(crate) fn build(core: &Core, live: &Arc<Live>, claimed: &Claimed) -> Result<TaskContext, String> {
    let task = &claimed.dag.tasks[claimed.task];
    let (mut with, mut env) = (task.with.clone(), task.env.clone());
    if has_template(&with) || env.values().any(|text| is_template(text)) {
        let names = names(core, claimed);
        with = render(&with, &names).map_err(|error| format!("with: {error}"))?;
        env = render_env(&env, &names).map_err(|error| format!("env: {error}"))?;
    }
    Ok(TaskContext {
        dag_id: claimed.dag_id.clone(),
        run_id: claimed.run_id.clone(),
        run: claimed.run,
        task: claimed.task,
        task_id: task.id.clone(),
        map_index: claimed.map_index,
        try_number: claimed.try_number,
        attempt_id: claimed.attempt_id,
        window: claimed.window,
        with,
        env,
        first_started_at: claimed.first_started_at,
        cancel: live.cancel.clone(),
        grace: live.grace,
        sink: Arc::new(AttemptSink { ship: core.ship.clone(), live: live.clone() }),
        platform: Arc::new(StorePlatform::new(core.store.clone(), core.clock.clone())),
    })
}

fn names(core: &Core, claimed: &Claimed) -> TemplateContext {
    let dag = &claimed.dag;
    let task = &dag.tasks[claimed.task];
    let index = usize::try_from(claimed.map_index).ok();
    let text = |(name, value): (&String, &String)| (name.clone(), Value::String(value.clone()));
    let config = &core.config;
    TemplateContext {
        dag: DagFacts { id: dag.id.clone(), description: dag.description.clone(), tags: dag.tags.clone() },
        run: RunFacts {
            id: claimed.run_id.clone(),
            // An attempt exists only while its run is running.
            state: model::RunState::Running.as_str().to_owned(),
            tick: claimed.logical_date,
        },
        task: TaskFacts { id: task.id.clone(), map_index: claimed.map_index, try_number: claimed.try_number },
        window: claimed.window,
        params: claimed.params.clone(),
        item: index.and_then(|index| task.items()?.get(index).cloned()),
        conn: map_of(&config.conns),
        var: map_of(&config.vars),
        secret: config.secrets.iter().map(text).collect(),
        outputs: match &claimed.outputs {
            Value::Object(outputs) => outputs.clone().into_iter().collect(),
            _ => Default::default(),
        },
    }
}

fn map_of(values: &std::collections::BTreeMap<String, Value>) -> Map<String, Value> {
    values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
