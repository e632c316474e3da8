//! Tells the store what an attempt says and how it ended, for as long as the lease allows, also when the store is away meanwhile.

use crate::attempt::End;
use crate::finisher::{self, Answer};
use crate::live::{Live, Told};
use crate::rounds::backoff;
use crate::slots::Slot;
use crate::worker::{CLAIM_MAX, Core};
use model::Ending;
use model::task::Stream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// A service's figures are stored at most once in this time.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer will not come.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(60);
/// Refusals of one report by a store that is there; then something simpler is tried, then it is left to the reaper.
const REFUSALS_MAX: u32 = 20;

/// Reports the end until the store has it or the lease is lost. `false`: the store has not taken it, and never will from us.
///
/// A call is not given up when the lease seems lost meanwhile: its answer may bring successors, and the guard decides anyway.
pub(crate) async fn finish(core: &Arc<Core>, live: &Live, mut end: End, mut slot: Slot) -> bool {
    let since = core.clock.now();
    for failures in 1.. {
        let report = store::attempts::End {
            attempt_id: live.attempt_id,
            lease: live.lease,
            ending: end.ending.clone(),
            outputs: end.outputs.clone(),
            message: end.message.clone(),
        };
        let error = match finisher::finish(core, report, live.class, slot, failures > 1).await {
            Some(Answer::Stored) => {
                debug!(attempt = live.label, ending = ?end.ending, "ended");
                core.stats.ended(&end.ending);
                return true;
            }
            Some(Answer::Stale) => {
                core.stats.stale_results.fetch_add(1, Relaxed);
                return false;
            }
            // What is not stored is given back by the next heartbeats.
            None => return false,
            Some(Answer::Failed(error, back)) => {
                slot = back;
                error
            }
        };
        core.stats.reports_repeated.fetch_add(1, Relaxed);
        warn!(attempt = live.label, failures, error, "its end could not be reported yet");
        if failures % REFUSALS_MAX == 0 && core.node.confirmed_since(since) {
            if failures > REFUSALS_MAX {
                error!(attempt = live.label, error, "its end cannot be reported; it is given back as lost");
                return false;
            }
            end = End::with(Ending::FailedForGood, format!("its result could not be stored: {error}"));
        }
        tokio::select! {
            biased;
            () = live.lost.cancelled() => return false,
            () = tokio::time::sleep(backoff(failures)) => {}
        }
    }
    false
}

/// Passes on what the kind tells until `told_all`, and then the rest of it.
pub(crate) async fn pass_on(core: Arc<Core>, live: Arc<Live>, told_all: CancellationToken) {
    let mut next_status = Instant::now();
    loop {
        let closing = told_all.is_cancelled();
        let mut told = live.take_told();
        let early = !closing && told.status.is_some() && Instant::now() < next_status;
        let held_back = if early { told.status.take() } else { None };
        if told.status.is_some() {
            next_status = Instant::now() + STATUS_EVERY;
        }
        deliver(&core, &live, told).await;
        if closing {
            return;
        }
        let waits = held_back.is_some();
        live.put_back(held_back);
        tokio::select! {
            biased;
            () = told_all.cancelled() => {}
            () = live.told.notified() => {}
            () = tokio::time::sleep_until(next_status), if waits => {}
        }
    }
}

async fn deliver(core: &Arc<Core>, live: &Live, told: Told) {
    let Told { ready, status, checks, checks_dropped } = told;
    if ready {
        mark_ready(core, live).await;
    }
    if let Some(status) = status {
        let status = crate::mask::json_without_nul(status);
        insist(live, "its status", || {
            core.store.put_status(live.attempt_id, live.lease, &status, core.clock.now())
        })
        .await;
    }
    for check in &checks {
        insist(live, "a check result", || core.store.put_check(live.attempt_id, check, core.clock.now()))
            .await;
    }
    if checks_dropped > 0 {
        let note = format!("{checks_dropped} check results dropped: too many at once");
        core.ship.log(live.attempt_id, Stream::System, note);
    }
}

async fn mark_ready(core: &Arc<Core>, live: &Live) {
    let reservation = core.slots.reserve(CLAIM_MAX);
    let claim = core.claim(&reservation);
    let told = insist(live, "that it is ready", || {
        core.store.mark_ready(live.attempt_id, live.lease, core.clock.now(), claim.as_ref())
    });
    if let Some(advanced) = told.await {
        core.follow_up(live.run, advanced, reservation);
    }
}

/// Repeats a call while the store is away. `None` when it is not worth any more: the lease is lost, or the store refuses.
pub(crate) async fn insist<T, F>(live: &Live, what: &str, mut call: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = store::Result<T>>,
{
    for failures in 1..=REFUSALS_MAX {
        let error = tokio::select! {
            biased;
            () = live.lost.cancelled() => return None,
            result = call() => match result {
                Ok(value) => return Some(value),
                Err(store::Error::Stale { .. }) => return None,
                Err(error) => error,
            },
        };
        warn!(attempt = live.label, what, failures, %error, "could not be reported yet");
        tokio::select! {
            biased;
            () = live.lost.cancelled() => return None,
            () = tokio::time::sleep(backoff(failures)) => {}
        }
    }
    error!(attempt = live.label, what, "could not be reported and is dropped");
    None
}
