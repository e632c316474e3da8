//! What an attempt gets: `with:` and `env:` with their templates rendered, and the rest of its [`TaskContext`].

use crate::attempt::End;
use crate::live::Live;
use crate::platform::StorePlatform;
use crate::probes::Watch;
use crate::sink::AttemptSink;
use crate::trace;
use crate::worker::Core;
use model::dag::TaskDef;
use model::for_each::not_wanted;
use model::template::{
    DagFacts, RunFacts, TaskFacts, TemplateContext, condition, has_template, is_template, render, render_env,
};
use model::{Ending, RunState, TaskContext, TriggerRule};
use serde_json::{Map, Value};
use std::cell::LazyCell;
use std::sync::Arc;
use store::attempts::Claimed;

/// All that an attempt needs to run.
pub(crate) struct Built {
    pub context: TaskContext,
    /// For a service whose dag says how to ask it.
    pub watch: Option<Arc<Watch>>,
}

/// The error is the attempt's end: its condition is not met, or a template is wrong, and trying again would not help.
pub(crate) fn build(
    core: &Core,
    live: &Arc<Live>,
    claimed: &Claimed,
    run_has_failed: bool,
) -> Result<Built, End> {
    let task = &claimed.dag.tasks[claimed.task];
    let names = LazyCell::new(|| names(core, claimed, run_has_failed));
    let for_good = |message| End::with(Ending::FailedForGood, message);
    if let Some(expression) = &task.condition {
        match condition(expression, &names) {
            Ok(true) => {}
            Ok(false) => return Err(End::with(Ending::Skipped, not_wanted(expression))),
            Err(message) => return Err(for_good(format!("if: {message}"))),
        }
    }
    let (mut with, mut env) = (task.with.clone(), task.env.clone());
    if has_template(&with) {
        with = render(&with, &names).map_err(|error| for_good(format!("with: {error}")))?;
    }
    if env.values().any(|text| is_template(text)) {
        env = render_env(&env, &names).map_err(|error| for_good(format!("env: {error}")))?;
    }
    let service = task.service.as_ref();
    let watched = service.filter(|service| service.ready.is_some() || service.live.is_some());
    let watch = watched.map(|service| Watch::of(service, &names)).transpose().map_err(for_good)?;
    let watch = watch.map(Arc::new);
    let sink = AttemptSink { ship: core.ship.clone(), live: live.clone(), watch: watch.clone() };
    let context = TaskContext {
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
        stop_signal: service.and_then(|service| service.stop_signal.clone()),
        traceparent: trace::handed_on(core, claimed),
        sink: Arc::new(sink),
        platform: Arc::new(StorePlatform::new(core.store.clone(), core.clock.clone())),
    };
    Ok(Built { context, watch })
}

/// Whether its templates name the state of a run in which something may have failed already.
pub(crate) fn asks_for_failures(task: &TaskDef) -> bool {
    let names_state = |text: &str| text.contains("run") && text.contains("state");
    task.trigger_rule != TriggerRule::AllSuccess
        && (task.condition.as_deref().is_some_and(names_state)
            || task.env.values().any(|text| names_state(text))
            || (has_template(&task.with) && names_state(&task.with.to_string())))
}

fn names(core: &Core, claimed: &Claimed, run_has_failed: bool) -> TemplateContext {
    let dag = &claimed.dag;
    let task = &dag.tasks[claimed.task];
    let text = |(name, value): (&String, &String)| (name.clone(), Value::String(value.clone()));
    let config = &core.config;
    TemplateContext {
        dag: DagFacts { id: dag.id.clone(), description: dag.description.clone(), tags: dag.tags.clone() },
        run: RunFacts {
            id: claimed.run_id.clone(),
            // An attempt exists only while its run is running; what it will come to is known once something has failed.
            state: if run_has_failed { RunState::Failed } else { RunState::Running }.as_str().to_owned(),
            tick: claimed.logical_date,
        },
        task: TaskFacts { id: task.id.clone(), map_index: claimed.map_index, try_number: claimed.try_number },
        window: claimed.window,
        params: claimed.params.clone(),
        item: claimed.item.clone(),
        conn: map_of(&config.conns),
        var: map_of(&config.vars),
        secret: config.secrets.iter().map(text).collect(),
        outputs: match &claimed.outputs {
            Value::Object(outputs) => outputs.clone().into_iter().collect(),
            _ => Default::default(),
        },
        extra: Map::new(),
    }
}

pub(crate) fn map_of(values: &std::collections::BTreeMap<String, Value>) -> Map<String, Value> {
    values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
