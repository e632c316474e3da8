//! Ends of attempts on their way to the store: what comes while a transaction is under way goes together into the next one.
//!
//! A single end waits for nobody. Many ends at once cost one commit, and one decision for each run instead of one for each end.

use crate::report::CALL_MAX;
use crate::slots::{Class, Slot};
use crate::worker::{CLAIM_MAX, Core, class_of};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use store::attempts::{End, Finished};
use tokio::sync::oneshot;

/// Transactions under way at once: the second is prepared while the first is written.
const LANES: usize = 2;
/// Ends of one transaction; more would hold the locks of their runs for too long.
const BATCH_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct Finisher(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Request>,
    lanes: usize,
}

struct Request {
    end: End,
    class: Class,
    slot: Slot,
    alone: bool,
    answer: oneshot::Sender<Answer>,
}

pub(crate) enum Answer {
    Stored,
    /// The lease was lost: nothing has changed.
    Stale,
    /// The slot comes back for another try.
    Failed(String, Slot),
}

/// Frees the place of a lane that ends by a panic.
struct Lane<'a>(&'a Finisher);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.0.state().lanes -= 1;
    }
}

impl Finisher {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// The next ends. `None`: there are none, and the lane has ended in the same moment, so that who comes next opens a new one.
    fn next(&self) -> Option<Vec<Request>> {
        let mut state = self.state();
        let Some(first) = state.waiting.pop_front() else {
            state.lanes -= 1;
            return None;
        };
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX && !batch[0].alone {
            if state.waiting.front().is_none_or(|request| request.alone) {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        Some(batch)
    }
}

/// Stores an end. `alone`: in a transaction of its own, for it has failed before, and others must not fail with it. `None`: the
/// lane broke, and the end may or may not be stored.
pub(crate) async fn finish(
    core: &Arc<Core>,
    end: End,
    class: Class,
    slot: Slot,
    alone: bool,
) -> Option<Answer> {
    let (answer, heard) = oneshot::channel();
    {
        let mut state = core.finisher.state();
        state.waiting.push_back(Request { end, class, slot, alone, answer });
        if state.lanes < LANES {
            state.lanes += 1;
            core.spawn(run_lane(core.clone()));
        }
    }
    heard.await.ok()
}

async fn run_lane(core: Arc<Core>) {
    let lane = Lane(&core.finisher);
    while let Some(batch) = core.finisher.next() {
        end_batch(&core, batch).await;
    }
    std::mem::forget(lane);
}

async fn end_batch(core: &Arc<Core>, batch: Vec<Request>) {
    let mut reservation = core.slots.reserve(CLAIM_MAX);
    let mut ends = Vec::with_capacity(batch.len());
    let mut answers = Vec::with_capacity(batch.len());
    for Request { end, class, slot, answer, .. } in batch {
        reservation.absorb(slot);
        answers.push((end.attempt_id, class, answer));
        ends.push(end);
    }
    let claim = core.claim(&reservation);
    let call = core.store.finish_batch(ends, core.clock.now(), claim.as_ref());
    match tokio::time::timeout(CALL_MAX, call).await.unwrap_or_else(|_| Err(no_answer())) {
        Ok(Finished { runs, stale }) => {
            for (run, advanced) in runs {
                let part = reservation.split_off(advanced.claimed.iter().map(class_of));
                core.follow_up(run, advanced, part);
            }
            drop(reservation);
            let stale: HashSet<i64> = stale.into_iter().collect();
            for (attempt_id, _, answer) in answers {
                let outcome = if stale.contains(&attempt_id) { Answer::Stale } else { Answer::Stored };
                answer.send(outcome).ok();
            }
        }
        Err(error) => {
            for (_, class, answer) in answers {
                let slot = reservation.take(class);
                answer.send(Answer::Failed(error.to_string(), slot)).ok();
            }
        }
    }
}

fn no_answer() -> store::Error {
    store::Error::Connect { message: format!("no answer within {CALL_MAX:?}") }
}
