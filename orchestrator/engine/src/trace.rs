//! What is told of attempts while and after they run: the fields of log lines about them, and their spans.
//!
//! Not here: the ids (`model::trace`), the span of a run (it follows from its row), and where spans go.

use crate::attempt::End;
use crate::worker::Core;
use chrono::{DateTime, Utc};
use model::Ending;
use model::trace::{Span, Value};
use store::attempts::Claimed;

/// Around all that an attempt does, so that each line about it says which it was. Of the highest level, lest a filter of lines drop it.
pub(crate) fn log_span(claimed: &Claimed) -> tracing::Span {
    tracing::error_span!(
        "attempt",
        dag_id = claimed.dag_id,
        run_id = claimed.run_id,
        task_id = claimed.dag.tasks[claimed.task].id,
        map_index = claimed.map_index,
        try_number = claimed.try_number,
        attempt_id = claimed.attempt_id,
    )
}

/// What the attempt hands on to those it calls.
pub(crate) fn handed_on(core: &Core, claimed: &Claimed) -> Option<String> {
    let tracer = core.config.tracer.as_ref()?;
    Some(tracer.traces.task(claimed.run, claimed.attempt_id).to_string())
}

pub(crate) fn run_ended(core: &Core, run: i64) {
    if let Some(tracer) = &core.config.tracer {
        tracer.spans.run_ended(run);
    }
}

/// What the kind did, from its start to its return.
pub(crate) fn task_ended(core: &Core, claimed: &Claimed, began: DateTime<Utc>, end: &End) {
    let Some(tracer) = core.config.tracer.as_ref().filter(|_| !is_poke(end)) else { return };
    let task = &claimed.dag.tasks[claimed.task];
    let message = end.message.clone().map(|message| core.ship.masked(message));
    let error = message.filter(|_| is_failure(&end.ending));
    tracer.spans.emit(Span {
        place: tracer.traces.task(claimed.run, claimed.attempt_id),
        parent: Some(tracer.traces.attempt(claimed.run, claimed.attempt_id).span),
        name: format!("{} {}", task.uses, task.id),
        start: began,
        end: core.clock.now(),
        attributes: attributes(claimed, end.ending.as_str()),
        error,
    });
}

/// The span of an attempt that has come to its end, and waits for the store to take that.
pub(crate) struct Ended(Span);

impl Ended {
    /// `None`: nobody takes traces, or it is only poked and goes on later under the same id.
    pub fn of(core: &Core, claimed: &Claimed, began: DateTime<Utc>, end: &End) -> Option<Ended> {
        let tracer = core.config.tracer.as_ref().filter(|_| !is_poke(end))?;
        let task = &claimed.dag.tasks[claimed.task];
        Some(Ended(Span {
            place: tracer.traces.attempt(claimed.run, claimed.attempt_id),
            parent: Some(tracer.traces.run(claimed.run).span),
            name: format!("attempt {}", task.id),
            start: began.min(claimed.first_started_at),
            end: began,
            attributes: attributes(claimed, end.ending.as_str()),
            error: end.message.clone().filter(|_| is_failure(&end.ending)),
        }))
    }

    /// `is_stored`: else whatever it came to changed nothing.
    pub fn tell(self, core: &Core, is_stored: bool) {
        let Some(tracer) = &core.config.tracer else { return };
        let mut span = self.0;
        span.end = core.clock.now();
        if !is_stored {
            span.error = Some("its lease was lost".to_owned());
            for (name, value) in &mut span.attributes {
                if *name == OUTCOME {
                    *value = Ending::Lost.as_str().into();
                }
            }
        }
        tracer.spans.emit(span);
    }
}

const OUTCOME: &str = "streamify.outcome";

fn attributes(claimed: &Claimed, outcome: &str) -> Vec<(&'static str, Value)> {
    let task = &claimed.dag.tasks[claimed.task];
    vec![
        ("streamify.dag_id", claimed.dag_id.as_str().into()),
        ("streamify.run_id", claimed.run_id.as_str().into()),
        ("streamify.task_id", task.id.as_str().into()),
        ("streamify.kind", task.uses.as_str().into()),
        ("streamify.map_index", i64::from(claimed.map_index).into()),
        ("streamify.try_number", i64::from(claimed.try_number).into()),
        ("streamify.attempt_id", claimed.attempt_id.into()),
        (OUTCOME, outcome.into()),
    ]
}

fn is_poke(end: &End) -> bool {
    matches!(end.ending, Ending::Poke { .. })
}

fn is_failure(ending: &Ending) -> bool {
    match ending {
        Ending::Failed | Ending::FailedForGood | Ending::TimedOut | Ending::Lost => true,
        Ending::Done | Ending::Skipped | Ending::Poke { .. } | Ending::Cancelled => false,
    }
}
