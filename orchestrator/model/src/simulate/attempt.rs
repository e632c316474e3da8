//! What becomes of one try: found when it begins, from its templates and from what the test says.

use super::case::{Finish, Script};
use super::facts;
use super::play::{Key, Play};
use super::story::span;
use crate::dag::{Service, TaskDef};
use crate::ending::Ending;
use crate::for_each::not_wanted;
use crate::template::{TemplateContext, condition, render, render_env};
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a try takes, and how soon a service is ready, if the test does not say.
const USUAL: Duration = Duration::from_secs(1);
/// Between two looks.
const POKE_EVERY: Duration = Duration::from_secs(60);

/// The try as it will go, unless it is stopped before.
pub(super) struct Plan {
    pub ready_after: Option<Duration>,
    /// `None`: a service that goes on.
    pub end: Option<(Duration, End)>,
    pub rendered: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct End {
    pub ending: Ending,
    pub message: Option<String>,
    pub outputs: Option<Value>,
}

/// What the test wanted of earlier tries has been done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Played {
    pub lost: u32,
    pub failed: u32,
    pub poked: u32,
}

impl End {
    pub fn with(ending: Ending, message: impl Into<String>) -> Self {
        End { ending, message: Some(message.into()), outputs: None }
    }

    fn of(ending: Ending) -> Self {
        End { ending, message: None, outputs: None }
    }
}

impl Play<'_> {
    pub(super) fn plan(&self, key: Key, script: &Script, played: Played) -> Plan {
        let task = &self.dag.tasks[key.0];
        let rendered = match rendered(task, &self.facts(key)) {
            Ok(rendered) => rendered,
            Err(end) => return Plan { ready_after: None, end: Some((Duration::ZERO, end)), rendered: None },
        };
        let end = self.end_of(task, &rendered["with"], script, played);
        let (ready_after, end) = match &task.service {
            Some(service) => service_try(service, script, end),
            None => (None, Some((script.takes.unwrap_or(USUAL), end))),
        };
        let limit = task.timeout.filter(|limit| end.as_ref().is_none_or(|(takes, _)| takes > limit));
        let end = match limit {
            Some(limit) => {
                Some((limit, End::with(Ending::TimedOut, format!("timed out after {}", text(limit)))))
            }
            None => end,
        };
        Plan { ready_after, end, rendered: Some(rendered) }
    }
}

/// `{with, env}`, or how the try ends before the kind is asked.
fn rendered(task: &TaskDef, facts: &TemplateContext) -> Result<Value, End> {
    let for_good = |message: String| End::with(Ending::FailedForGood, message);
    if let Some(expression) = &task.condition {
        match condition(expression, facts) {
            Ok(true) => {}
            Ok(false) => return Err(End::with(Ending::Skipped, not_wanted(expression))),
            Err(message) => return Err(for_good(format!("if: {message}"))),
        }
    }
    let with = render(&task.with, facts).map_err(|error| for_good(format!("with: {error}")))?;
    let env = render_env(&task.env, facts).map_err(|error| for_good(format!("env: {error}")))?;
    Ok(json!({ "with": with, "env": env }))
}

fn service_try(service: &Service, script: &Script, end: End) -> (Option<Duration>, Option<(Duration, End)>) {
    let ready_after = script.ready_after.unwrap_or(USUAL);
    let ends = script.takes.or((end.ending != Ending::Done || script.end.is_some()).then_some(USUAL));
    let end = ends.map(|takes| (takes, end));
    if ready_after > service.ready_timeout && ends.is_none_or(|takes| takes > service.ready_timeout) {
        let message = format!("not ready within {}", text(service.ready_timeout));
        return (None, Some((service.ready_timeout, End::with(Ending::Failed, message))));
    }
    (Some(ready_after).filter(|ready| ends.is_none_or(|takes| *ready < takes)), end)
}

impl Play<'_> {
    fn end_of(&self, task: &TaskDef, with: &Value, script: &Script, played: Played) -> End {
        if played.lost < script.loses.unwrap_or(0) {
            return End::of(Ending::Lost);
        }
        if played.failed < script.fails.unwrap_or(0) {
            return End::of(Ending::Failed);
        }
        if played.poked < script.pokes.unwrap_or(0) {
            return End::of(Ending::Poke { again_in: script.poke_every.unwrap_or(POKE_EVERY) });
        }
        match script.end.unwrap_or(Finish::Success) {
            Finish::Success | Finish::Approved => self.success(task, with, script),
            Finish::Rejected if with["on_reject"] == "skip" => End::with(Ending::Skipped, "rejected"),
            Finish::Rejected => End::with(Ending::FailedForGood, "rejected"),
            Finish::Skipped => End::of(Ending::Skipped),
            Finish::Failed => End::of(Ending::Failed),
            Finish::FailedForGood => End::of(Ending::FailedForGood),
        }
    }

    fn success(&self, task: &TaskDef, with: &Value, script: &Script) -> End {
        let of_kind = || self.registry.get(&task.uses).and_then(|kind| kind.outputs_of(with));
        let said = match (&script.outputs, of_kind) {
            (Some(said), _) => Some(Ok(said.clone())),
            (None, of_kind) => {
                of_kind().map(|given| given.map(|given| given.as_object().cloned().unwrap_or_default()))
            }
        };
        let outputs = said.transpose().and_then(|said| facts::outputs(task, said.as_ref()));
        match outputs {
            Ok(outputs) => End { outputs: Some(outputs), ..End::of(Ending::Done) },
            Err(broken) => End::with(Ending::FailedForGood, broken),
        }
    }
}

fn text(duration: Duration) -> String {
    span(TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX))
}
