//! Counters of this node, for `/metrics` and health. Only counted here, never read for a decision.

use crate::calls::{CallFigures, micros};
use chrono::{DateTime, Utc};
use model::Ending;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const ERROR_BYTES_MAX: usize = 500;

#[derive(Debug, Default)]
pub struct Stats {
    loops: Mutex<BTreeMap<&'static str, LoopFigures>>,
    endings: Mutex<BTreeMap<&'static str, u64>>,
    calls: Mutex<BTreeMap<&'static str, CallFigures>>,
    pub(crate) attempts_started: AtomicU64,
    /// Results that came too late: the lease was lost, and nothing changed.
    pub(crate) stale_results: AtomicU64,
    /// Ends that could not be reported at once, because the store was away.
    pub(crate) reports_repeated: AtomicU64,
    /// Attempts that this node held and did not run (a claim's answer or an end got lost); they were given back.
    pub(crate) orphans_returned: AtomicU64,
    /// Answers of services that did not say that they live.
    pub(crate) bad_answers: AtomicU64,
    pub(crate) notices_sent: AtomicU64,
    /// Tries to send a notice that failed.
    pub(crate) notices_failed: AtomicU64,
    pub(crate) lines_shipped: AtomicU64,
    pub(crate) lines_dropped: AtomicU64,
}

/// One loop's life so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LoopFigures {
    pub ticks: u64,
    pub errors: u64,
    /// Times it was started again after a panic.
    pub restarts: u64,
    /// Time spent in rounds, also in those that failed.
    pub busy_micros: u64,
    /// `None` until the first round has succeeded.
    pub last_tick_at: Option<DateTime<Utc>>,
    /// Why the last round failed; `None` once one has succeeded.
    pub error: Option<String>,
}

/// All figures at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatsSnapshot {
    pub loops: BTreeMap<&'static str, LoopFigures>,
    /// Attempts by how they ended: done, skipped, poke, failed, failed_for_good, timed_out, cancelled, lost.
    pub endings: BTreeMap<&'static str, u64>,
    /// Calls of the store by name, with how long they took.
    pub calls: BTreeMap<&'static str, CallFigures>,
    pub attempts_started: u64,
    pub stale_results: u64,
    pub reports_repeated: u64,
    pub orphans_returned: u64,
    pub bad_answers: u64,
    pub notices_sent: u64,
    pub notices_failed: u64,
    pub lines_shipped: u64,
    pub lines_dropped: u64,
}

impl Stats {
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            loops: self.loops.lock().expect("counting does not panic").clone(),
            endings: self.endings.lock().expect("counting does not panic").clone(),
            calls: self.calls.lock().expect("counting does not panic").clone(),
            attempts_started: self.attempts_started.load(Relaxed),
            stale_results: self.stale_results.load(Relaxed),
            reports_repeated: self.reports_repeated.load(Relaxed),
            orphans_returned: self.orphans_returned.load(Relaxed),
            bad_answers: self.bad_answers.load(Relaxed),
            notices_sent: self.notices_sent.load(Relaxed),
            notices_failed: self.notices_failed.load(Relaxed),
            lines_shipped: self.lines_shipped.load(Relaxed),
            lines_dropped: self.lines_dropped.load(Relaxed),
        }
    }

    pub(crate) fn ticked(&self, name: &'static str, at: DateTime<Utc>) {
        self.of_loop(name, |figures| {
            figures.ticks += 1;
            figures.last_tick_at = Some(at);
            figures.error = None;
        });
    }

    pub(crate) fn turned(&self, name: &'static str, took: Duration) {
        self.of_loop(name, |figures| figures.busy_micros += micros(took));
    }

    pub(crate) fn called(&self, name: &'static str, took: Duration, has_failed: bool) {
        let mut calls = self.calls.lock().expect("counting does not panic");
        calls.entry(name).or_default().add(took, has_failed);
    }

    pub(crate) fn failed(&self, name: &'static str) {
        self.of_loop(name, |figures| figures.errors += 1);
    }

    /// Of the round that has just failed.
    pub(crate) fn failed_because(&self, name: &'static str, error: &dyn std::fmt::Display) {
        let text = crate::mask::cut(error.to_string(), ERROR_BYTES_MAX);
        self.of_loop(name, |figures| figures.error = Some(text));
    }

    pub(crate) fn restarted(&self, name: &'static str) {
        self.of_loop(name, |figures| figures.restarts += 1);
    }

    pub(crate) fn ended(&self, ending: &Ending) {
        *self.endings.lock().expect("counting does not panic").entry(ending.as_str()).or_default() += 1;
    }

    fn of_loop(&self, name: &'static str, change: impl FnOnce(&mut LoopFigures)) {
        change(self.loops.lock().expect("counting does not panic").entry(name).or_default());
    }
}
