//! Waits: how often they look, when they give up, and what becomes of looks that fail. Between two looks a wait holds no slot.
//!
//! A look that failed and may succeed later is told in the log and repeated; [`FAILURES_MAX`] in a row end the try. What was seen is
//! remembered in this process only: a wait that moves to another node begins to count again.

pub mod http;
pub mod kafka_lag;
mod memory;
pub mod object;
pub mod run;
pub mod sql;
pub mod time;
pub mod watermark;

use crate::span::Span;
use chrono::{DateTime, Utc};
use memory::{Key, Memory};
use model::task::Stream;
use model::{Clock, Outcome, TaskContext, TaskError};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Failed looks in a row that are borne.
const FAILURES_MAX: u32 = 20;
/// A wait must not become a busy loop over the database.
const POLL_MIN: Duration = Duration::from_millis(100);
/// Of one look.
const LOOK_MAX: Duration = Duration::from_secs(300);

/// What one look found.
pub enum Look {
    /// With the outputs.
    Met(Value),
    /// How it is instead, in words that go on "...; waiting".
    NotYet(String),
    /// It will not come: the try ends so.
    Over(TaskError),
}

/// How often to look and when to give up.
pub struct Pace {
    pub poll: Duration,
    pub timeout: Option<Duration>,
}

impl Pace {
    pub fn new(poll: Option<Span>, default: Duration, timeout: Option<Span>) -> Self {
        let poll = poll.map_or(default, |span| span.0).max(POLL_MIN);
        Pace { poll, timeout: timeout.map(|span| span.0) }
    }
}

pub struct Waits {
    clock: Arc<dyn Clock>,
    memory: Memory,
}

impl Waits {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Waits { clock, memory: Memory::default() }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Looks once. [`TaskError::Retry`] of a look means that it may succeed later.
    pub async fn look(
        &self,
        ctx: &TaskContext,
        pace: &Pace,
        look: impl Future<Output = Result<Look, TaskError>>,
    ) -> Result<Outcome, TaskError> {
        let found = tokio::select! {
            found = tokio::time::timeout(LOOK_MAX, look) => found,
            () = ctx.cancel.cancelled() => return Err(TaskError::Cancelled),
        };
        let late = || Err(TaskError::Retry(format!("no answer within {LOOK_MAX:?}")));
        let key = Key::of(ctx);
        let outcome = match found.unwrap_or_else(|_| late()) {
            Ok(Look::Met(outputs)) => Ok(Outcome::Done { outputs }),
            Ok(Look::NotYet(state)) => {
                if self.memory.saw(&key, &state, self.now()) {
                    ctx.sink.log(Stream::System, format!("{state}; waiting"));
                }
                self.again(ctx, pace, &state)
            }
            Err(TaskError::Retry(message)) => {
                let failures = self.memory.failed(&key, self.now());
                ctx.sink.log(Stream::System, format!("look failed ({failures} in a row): {message}"));
                if failures >= FAILURES_MAX {
                    Err(TaskError::Retry(format!("{failures} looks in a row failed, the last: {message}")))
                } else {
                    self.again(ctx, pace, &message)
                }
            }
            Ok(Look::Over(error)) | Err(error) => Err(error),
        };
        if !matches!(outcome, Ok(Outcome::Poke { .. })) {
            self.memory.forget(&key);
        }
        outcome
    }

    /// The next look, which comes no later than the timeout; at the timeout, the end.
    fn again(&self, ctx: &TaskContext, pace: &Pace, state: &str) -> Result<Outcome, TaskError> {
        let Some(timeout) = pace.timeout else { return Ok(Outcome::Poke { again_in: pace.poll }) };
        match timeout.checked_sub(self.waited(ctx)).filter(|rest| !rest.is_zero()) {
            Some(rest) => Ok(Outcome::Poke { again_in: pace.poll.min(rest) }),
            None => Err(TaskError::Fail(format!("{state}, and its timeout of {timeout:?} is over"))),
        }
    }

    pub fn waited(&self, ctx: &TaskContext) -> Duration {
        (self.now() - ctx.first_started_at).to_std().unwrap_or_default()
    }
}
