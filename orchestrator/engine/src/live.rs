//! What this node knows of an attempt that it executes: why it must end, until when it may go on, what it has told.
//!
//! Stopping has two steps: `cancel` asks the kind to finish, and when its grace is over `killed` takes the future away. A lost lease
//! goes straight to the second, and nothing is reported any more.

use crate::config::delta;
use crate::slots::Class;
use chrono::{DateTime, Utc};
use model::CheckResult;
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;
use store::attempts::Claimed;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why an attempt was stopped from outside.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cause {
    /// By a person, or because the run or the need for the service ended.
    Asked(String),
    TimedOut(Duration),
    /// A service, with the last answer to the question whether it is.
    NotReady(Duration, Option<String>),
    /// A service, with the answers that it gave.
    NotAlive(String),
    NodeStops,
    Lost(String),
}

pub(crate) struct Live {
    pub attempt_id: i64,
    pub lease: i64,
    pub run: i64,
    pub class: Class,
    /// `dag/run/task[map_index] try n`, for people.
    pub label: String,
    pub grace: Duration,
    pub cancel: CancellationToken,
    pub killed: CancellationToken,
    pub lost: CancellationToken,
    /// A service that what needs it may use; cancelled means that it is.
    pub became_ready: CancellationToken,
    /// Rung when there is something to pass on.
    pub told: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cause: Option<Cause>,
    timeout: Option<(DateTime<Utc>, Duration)>,
    ready_timeout: Option<(DateTime<Utc>, Duration)>,
    /// Why it is not ready.
    last_answer: Option<String>,
    kill_at: Option<DateTime<Utc>>,
    told: Told,
}

/// What a kind has said through its sink and the store has not heard yet.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub ready: bool,
    pub status: Option<Value>,
    pub checks: Vec<CheckResult>,
    /// Results beyond [`CHECKS_MAX`].
    pub checks_dropped: usize,
}

/// Check results of one attempt that may wait for the store.
const CHECKS_MAX: usize = 10_000;

impl Live {
    pub fn new(claimed: &Claimed, stop_grace: Duration, now: DateTime<Utc>) -> Self {
        let task = &claimed.dag.tasks[claimed.task];
        let service = task.service.as_ref();
        let timeout = task.timeout.filter(|_| service.is_none());
        let killed = CancellationToken::new();
        Live {
            attempt_id: claimed.attempt_id,
            lease: claimed.lease,
            run: claimed.run,
            class: if service.is_some() { Class::Service } else { Class::Task },
            label: label(claimed),
            grace: service.map_or(stop_grace, |service| service.stop_grace),
            cancel: CancellationToken::new(),
            killed,
            lost: CancellationToken::new(),
            became_ready: CancellationToken::new(),
            told: Notify::new(),
            state: Mutex::new(State {
                timeout: timeout.map(|length| (claimed.first_started_at + delta(length), length)),
                ready_timeout: service
                    .map(|service| (now + delta(service.ready_timeout), service.ready_timeout)),
                ..State::default()
            }),
        }
    }

    /// Asks for the end; the first cause counts.
    pub fn stop(&self, cause: Cause, now: DateTime<Utc>) {
        let mut state = self.state();
        if state.cause.is_none() {
            state.cause = Some(cause);
            state.kill_at = Some(now + delta(self.grace));
            self.cancel.cancel();
        }
    }

    /// Ends it at once; whatever it was about to report is not reported.
    pub fn lose(&self, why: &str) {
        self.state().cause = Some(Cause::Lost(why.to_owned()));
        self.lost.cancel();
        self.cancel.cancel();
        self.killed.cancel();
    }

    /// Ends it at once, and reports that.
    pub fn kill(&self) {
        self.killed.cancel();
    }

    pub fn cause(&self) -> Option<Cause> {
        self.state().cause.clone()
    }

    /// Applies the deadlines that have come. Returns the next one.
    pub fn sweep(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (timeout, ready_timeout, last_answer) = {
            let state = self.state();
            (state.timeout, state.ready_timeout, state.last_answer.clone())
        };
        if let Some((_, length)) = timeout.filter(|(at, _)| *at <= now) {
            self.stop(Cause::TimedOut(length), now);
        } else if let Some((_, length)) = ready_timeout.filter(|(at, _)| *at <= now) {
            self.stop(Cause::NotReady(length, last_answer), now);
        }
        let state = self.state();
        match state.kill_at {
            Some(at) if at <= now => {
                self.killed.cancel();
                None
            }
            Some(at) => Some(at),
            // Lost: no deadline matters any more, also while its end is still on its way.
            None if state.cause.is_some() => None,
            None => [state.timeout, state.ready_timeout].into_iter().flatten().map(|(at, _)| at).min(),
        }
    }

    pub fn tell_ready(&self) {
        let mut state = self.state();
        if state.ready_timeout.take().is_some() {
            state.told.ready = true;
            self.told.notify_one();
            self.became_ready.cancel();
        }
    }

    pub fn is_ready(&self) -> bool {
        self.became_ready.is_cancelled()
    }

    /// The last answer to the question whether it is ready.
    pub fn not_ready_yet(&self, why: String) {
        self.state().last_answer = Some(why);
    }

    pub fn tell_status(&self, status: Value) {
        self.state().told.status = Some(status);
        self.told.notify_one();
    }

    pub fn tell_check(&self, result: CheckResult) {
        let told = &mut self.state().told;
        if told.checks.len() < CHECKS_MAX {
            told.checks.push(result);
        } else {
            told.checks_dropped += 1;
        }
        self.told.notify_one();
    }

    pub fn take_told(&self) -> Told {
        std::mem::take(&mut self.state().told)
    }

    /// A status that was taken too early; a newer one stands.
    pub fn put_back(&self, status: Option<Value>) {
        let told = &mut self.state().told;
        told.status = told.status.take().or(status);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

fn label(claimed: &Claimed) -> String {
    let task = &claimed.dag.tasks[claimed.task].id;
    let item = if claimed.map_index < 0 { String::new() } else { format!("[{}]", claimed.map_index) };
    format!("{}/{}/{task}{item} try {}", claimed.dag_id, claimed.run_id, claimed.try_number)
}
