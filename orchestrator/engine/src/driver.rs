//! Starts queued runs and takes running ones one step on, on every node that schedules; the store's row locks keep them apart.
//!
//! Most steps are not taken here: an attempt that ends takes its run on in the same transaction. Here is what time brings (retries,
//! pokes, `run_after`), what people ask for (triggers, cancels), and what nobody followed up.

use crate::Result;
use crate::config::delta;
use crate::rounds::{Again, Round};
use crate::worker::{CLAIM_MAX, Core, class_of};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::error;

/// Runs of one kind of look.
const RUNS_MAX: usize = 100;
/// A run whose step fails is left alone for so long, so that it does not hold up the others.
const PUT_OFF: Duration = Duration::from_secs(10);
/// Failed steps after which the store itself is to blame.
const FAILURES_MAX: usize = 5;

pub(crate) struct Driver {
    core: Arc<Core>,
    put_off: HashMap<i64, DateTime<Utc>>,
}

impl Driver {
    pub fn new(core: Arc<Core>) -> Self {
        Driver { core, put_off: HashMap::new() }
    }

    async fn promote(&self) -> Result<usize> {
        let core = &self.core;
        let mut reservation = core.slots.reserve(CLAIM_MAX);
        let claim = core.claim(&reservation);
        let promoted = core.store.promote(core.clock.now(), RUNS_MAX, claim.as_ref()).await?;
        let count = promoted.len();
        for (run, advanced) in promoted {
            // Each keeps the call open until all are started.
            let part = reservation.split_off(advanced.claimed.iter().map(class_of));
            core.follow_up(run, advanced, part);
        }
        Ok(count)
    }

    async fn advance_due(&mut self) -> Result<(usize, Option<DateTime<Utc>>)> {
        let core = self.core.clone();
        let now = core.clock.now();
        let (mut due, mut next) = core.store.due_runs(now, RUNS_MAX).await?;
        self.put_off.retain(|run, until| *until > now && due.contains(run));
        due.retain(|run| !self.put_off.contains_key(run));
        let (mut done, mut failures) = (0, 0);
        for run in due {
            let reservation = core.slots.reserve(CLAIM_MAX);
            let claim = core.claim(&reservation);
            match core.store.advance(run, core.clock.now(), claim.as_ref()).await {
                Ok(advanced) => {
                    done += 1;
                    next = earlier(next, advanced.wake_at);
                    core.follow_up(run, advanced, reservation);
                }
                // Another node was faster.
                Err(store::Error::Stale { .. } | store::Error::NotFound { .. }) => {}
                Err(error) => {
                    error!(run, %error, "a step of this run failed; tried again in {PUT_OFF:?}");
                    core.stats.failed(Self::NAME);
                    failures += 1;
                    if failures == FAILURES_MAX {
                        return Err(error.into());
                    }
                    self.put_off.insert(run, now + delta(PUT_OFF));
                }
            }
        }
        Ok((done, next))
    }
}

#[async_trait]
impl Round for Driver {
    const NAME: &'static str = "driver";

    async fn tick(&mut self) -> Result<Again> {
        // Whatever is learned during this look rings.
        self.core.alarm.set(Some(DateTime::<Utc>::MAX_UTC));
        // A dag whose runs cannot be started does not hold back those that run.
        let promoted = self.promote().await;
        let (advanced, next) = self.advance_due().await?;
        let promoted = promoted?;
        if promoted == RUNS_MAX || advanced == RUNS_MAX {
            return Ok(Again::Now);
        }
        let next_run = self.core.store.next_run_after(self.core.clock.now()).await?;
        let next = earlier(earlier(next, next_run), self.put_off.values().min().copied());
        self.core.alarm.set(next);
        Ok(Again::at(next))
    }
}

fn earlier(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    a.into_iter().chain(b).min()
}
