//! The life of one attempt on this node: render, run, watch, report.
//!
//! The kind runs in a tokio task of its own, so that a panic is an outcome and a kind that does not stop can be left behind. What is
//! reported is decided by the first reason to stop it, else by what the kind returned. After a lost lease nothing is reported.

use crate::context::{self, Built};
use crate::live::{Cause, Live};
use crate::mask;
use crate::outputs;
use crate::probes;
use crate::realm::within;
use crate::report;
use crate::slots::{Class, Slot};
use crate::trace;
use crate::worker::Core;
use model::task::Stream;
use model::{Ending, Outcome, TaskError};
use serde_json::Value;
use std::any::Any;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use store::attempts::{Claimed, OUTPUTS_MAX_BYTES};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, warn};

const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// A killed attempt gets so long to drop what it holds (child processes are killed by that) before its end is reported.
const DROP_GRACE: Duration = Duration::from_secs(1);

/// How an attempt ended, with all that is told about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub ending: Ending,
    pub outputs: Option<Value>,
    pub message: Option<String>,
}

impl End {
    pub fn with(ending: Ending, message: impl Into<String>) -> Self {
        End { ending, outputs: None, message: Some(message.into()) }
    }
}

type Returned = Result<Result<Outcome, TaskError>, JoinError>;

pub(crate) async fn run(core: Arc<Core>, live: Arc<Live>, claimed: Claimed, slot: Slot) {
    let _known = Known { core: &core, live: &live };
    core.ship.open(live.attempt_id);
    debug!(attempt = live.label, "started");
    let began = core.clock.now();
    let end = polished(&core, execute(&core, &live, &claimed).await);
    let span = trace::Ended::of(&core, &claimed, began, &end);
    let is_stored = tell_end(&core, &live, end, slot).await;
    if let Some(span) = span {
        span.tell(&core, is_stored);
    }
    if is_stored {
        return;
    }
    let why = match live.cause() {
        Some(Cause::Lost(why)) => why,
        _ => "the store would not take its end".to_owned(),
    };
    warn!(attempt = live.label, why, "lost; whatever it came to changes nothing");
    core.stats.ended(&Ending::Lost);
}

/// Stores the rest of the log, then the end. `false`: the lease was lost first.
async fn tell_end(core: &Arc<Core>, live: &Live, end: End, slot: Slot) -> bool {
    if live.lost.is_cancelled() {
        return false;
    }
    if let Some(line) = last_line(&end) {
        core.ship.log(live.attempt_id, Stream::System, line);
    }
    tokio::select! {
        biased;
        () = core.ship.flush(live.attempt_id) => {}
        () = live.lost.cancelled() => return false,
    }
    report::finish(core, live, end, slot).await
}

/// However the attempt goes, it is forgotten and its log closed at the end.
struct Known<'a> {
    core: &'a Core,
    live: &'a Live,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.core.ship.close(self.live.attempt_id);
        self.core.forget(self.live);
    }
}

async fn execute(core: &Arc<Core>, live: &Arc<Live>, claimed: &Claimed) -> End {
    let task = &claimed.dag.tasks[claimed.task];
    let Some(kind) = core.registry.get(&task.uses).cloned() else {
        let message =
            format!("this node knows no kind '{}'; is it an older version of the program?", task.uses);
        return End::with(Ending::FailedForGood, message);
    };
    let mut run_has_failed = false;
    if context::asks_for_failures(task) {
        let asked =
            report::insist(live, "whether its run has failed", || core.store.has_failures(claimed.run));
        let Some(answer) = asked.await else {
            return End::with(Ending::Failed, "the store does not say whether its run has failed");
        };
        run_has_failed = answer;
    }
    let Built { context, watch } = match context::build(core, live, claimed, run_has_failed) {
        Ok(built) => built,
        Err(end) => return end,
    };
    if let Some(service) = &task.service
        && service.ready.is_none()
        && !kind.is_service()
    {
        // Such a kind never says it.
        live.tell_ready();
    }
    let _watched = watch.map(|watch| {
        AbortOnDropHandle::new(tokio::spawn(
            within(probes::watch(core.clone(), live.clone(), watch)).in_current_span(),
        ))
    });
    let told_all = CancellationToken::new();
    let mut passing_on = pin!(report::pass_on(core.clone(), live.clone(), told_all.clone()));
    let began = core.clock.now();
    let job = within(async move { kind.run(context).await }).in_current_span();
    let mut job = AbortOnDropHandle::new(tokio::spawn(job));
    let returned = tokio::select! {
        biased;
        returned = &mut job => Some(returned),
        () = live.killed.cancelled() => None,
        // Not before all is told.
        () = &mut passing_on => None,
    };
    if returned.is_none() {
        job.abort();
        tokio::time::timeout(DROP_GRACE, &mut job).await.ok();
    }
    told_all.cancel();
    tokio::select! {
        biased;
        () = passing_on => {}
        () = live.lost.cancelled() => {}
    }
    let end = kept_promises(&task.outputs, end_of(returned, live));
    trace::task_ended(core, claimed, began, &end);
    end
}

/// What is done must have given what it promised.
fn kept_promises(declared: &BTreeMap<String, String>, end: End) -> End {
    if end.ending != Ending::Done {
        return end;
    }
    match outputs::check(declared, end.outputs.as_ref()) {
        Ok(()) => end,
        Err(broken) => End::with(Ending::FailedForGood, format!("{broken} (declared by its 'outputs:')")),
    }
}

fn end_of(returned: Option<Returned>, live: &Live) -> End {
    let cause = live.cause();
    let Some(returned) = returned else { return abandoned(cause, live.grace) };
    let natural = natural_end(returned, cause.is_some());
    match cause {
        None => natural,
        Some(Cause::TimedOut(limit)) => End::with(Ending::TimedOut, format!("timed out after {limit:?}")),
        Some(Cause::NotReady(limit, answer)) => End::with(Ending::Failed, not_ready(limit, answer)),
        Some(Cause::NotAlive(why)) => End::with(Ending::Failed, format!("not alive: {why}")),
        Some(Cause::Asked(reason)) => match natural.ending {
            Ending::Cancelled => End { message: Some(reason), ..natural },
            _ => natural,
        },
        // The stop was ours, not the task's: only what it finished counts, the rest is done again elsewhere.
        Some(Cause::NodeStops) => match natural.ending {
            Ending::Done | Ending::Skipped if live.class == Class::Task => natural,
            _ => End::with(Ending::Lost, "its node was stopped"),
        },
        Some(Cause::Lost(why)) => End::with(Ending::Lost, why),
    }
}

fn natural_end(returned: Returned, asked_to_stop: bool) -> End {
    match returned {
        Ok(Ok(Outcome::Done { outputs })) => End {
            ending: Ending::Done,
            outputs: Some(outputs).filter(|outputs| !outputs.is_null()),
            message: None,
        },
        Ok(Ok(Outcome::Skipped { reason })) => End::with(Ending::Skipped, reason),
        Ok(Ok(Outcome::Poke { again_in })) => {
            End { ending: Ending::Poke { again_in }, outputs: None, message: None }
        }
        Ok(Err(TaskError::Retry(message))) => End::with(Ending::Failed, message),
        Ok(Err(TaskError::Fail(message))) => End::with(Ending::FailedForGood, message),
        Ok(Err(TaskError::Cancelled)) if asked_to_stop => End::with(Ending::Cancelled, "cancelled"),
        Ok(Err(TaskError::Cancelled)) => {
            End::with(Ending::Failed, "it stopped as if cancelled, though nobody asked it to")
        }
        Err(error) => match error.try_into_panic() {
            Ok(panic) => End::with(Ending::FailedForGood, format!("panicked: {}", panic_text(&*panic))),
            Err(_) => End::with(Ending::Failed, "its execution was torn down"),
        },
    }
}

fn abandoned(cause: Option<Cause>, grace: Duration) -> End {
    let tail = format!("and did not stop within {grace:?}; abandoned");
    match cause {
        Some(Cause::TimedOut(limit)) => {
            End::with(Ending::TimedOut, format!("timed out after {limit:?} {tail}"))
        }
        Some(Cause::NotReady(limit, answer)) => {
            End::with(Ending::Failed, format!("{} {tail}", not_ready(limit, answer)))
        }
        Some(Cause::NotAlive(why)) => End::with(Ending::Failed, format!("not alive: {why} {tail}")),
        Some(Cause::Asked(reason)) => End::with(Ending::Cancelled, format!("{reason}, {tail}")),
        Some(Cause::Lost(why)) => End::with(Ending::Lost, why),
        Some(Cause::NodeStops) | None => End::with(Ending::Lost, format!("its node was stopped {tail}")),
    }
}

fn not_ready(limit: Duration, answer: Option<String>) -> String {
    let answer = answer.map(|answer| format!(" (the last answer: {answer})")).unwrap_or_default();
    format!("not ready within {limit:?}{answer}")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// What may be stored: within limits, without secrets.
fn polished(core: &Core, end: End) -> End {
    let message = end.message.map(|message| mask::cut(core.ship.masked(message), MESSAGE_BYTES_MAX));
    let outputs = end.outputs.map(mask::json_without_nul);
    let bytes = outputs.as_ref().map_or(0, |outputs| outputs.to_string().len());
    if bytes > OUTPUTS_MAX_BYTES {
        let message = format!(
            "its outputs are {bytes} bytes, at most {OUTPUTS_MAX_BYTES} are kept; write data to the lake and return where it is"
        );
        return End::with(Ending::FailedForGood, message);
    }
    End { ending: end.ending, outputs, message }
}

/// The log of an attempt that did not simply succeed ends with why.
fn last_line(end: &End) -> Option<String> {
    let word = match end.ending {
        Ending::Done | Ending::Poke { .. } => return None,
        Ending::Skipped => "skipped",
        Ending::Failed => "failed",
        Ending::FailedForGood => "failed for good",
        Ending::TimedOut => "timed out",
        Ending::Cancelled => "cancelled",
        Ending::Lost => "lost",
    };
    Some(match &end.message {
        Some(message) => format!("{word}: {message}"),
        None => word.to_owned(),
    })
}
