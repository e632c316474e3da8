//! What happened in a simulation: the newest events for people, and a hash over all, by which two runs of a seed are compared.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

/// Events that are shown with a failure.
const SHOWN: usize = 200;

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub at: Duration,
    /// `None`: people, or the world itself.
    pub machine: Option<usize>,
    pub what: &'static str,
    /// How it went, or whom it concerns.
    pub note: &'static str,
    /// Ids: attempts, runs, counts.
    pub numbers: [i64; 3],
}

pub(crate) struct Events {
    newest: VecDeque<Event>,
    pub count: u64,
    /// FNV-1a over all events.
    pub hash: u64,
    /// How often what happened.
    pub counts: Counts,
}

pub(crate) type Counts = BTreeMap<&'static str, u64>;

impl Default for Events {
    fn default() -> Self {
        let (newest, counts) = (VecDeque::with_capacity(SHOWN), Counts::new());
        Events { newest, count: 0, hash: 0xcbf2_9ce4_8422_2325, counts }
    }
}

impl Events {
    pub fn push(&mut self, event: Event) {
        self.count += 1;
        self.fold(event.at.as_micros() as u64);
        self.fold(event.machine.map_or(u64::MAX, |machine| machine as u64));
        self.fold(event.what.len() as u64 | (event.note.len() as u64) << 32);
        event.what.bytes().for_each(|byte| self.fold(u64::from(byte)));
        event.numbers.into_iter().for_each(|number| self.fold(number as u64));
        self.saw(event.what);
        if self.newest.len() == SHOWN {
            self.newest.pop_front();
        }
        self.newest.push_back(event);
    }

    pub fn saw(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn fold(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3);
    }

    pub fn story(&self) -> String {
        self.newest.iter().map(|event| format!("{event}\n")).collect()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.machine.map_or("world".to_owned(), |machine| format!("node {machine}"));
        let [a, b, c] = self.numbers;
        let at = self.at.as_secs_f64();
        write!(f, "{at:>9.3}s {who:<7} {:<22} {:<12} {a} {b} {c}", self.what, self.note)
    }
}
