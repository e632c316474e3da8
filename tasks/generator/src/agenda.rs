//! Who is next: a calendar of hours, and a heap for the hour under way.
//!
//! Most users come back days later, so the heap holds only those active now and stays in the processor's cache
//! however many users there are. Order is by second, then by user: it does not depend on how entries came in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

const HOUR: u32 = 3_600;

/// An entry is `second << 32 | user`: one comparison orders both.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    now: BinaryHeap<Reverse<u64>>,
    /// Hours up to and including this one are in the heap.
    hour: u32,
    later: BTreeMap<u32, Vec<u64>>,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: u32, user: u32) {
        let entry = u64::from(at) << 32 | u64::from(user);
        if at / HOUR <= self.hour {
            self.now.push(Reverse(entry));
        } else {
            self.later.entry(at / HOUR).or_default().push(entry);
        }
    }

    /// The next instant and user, left in place.
    pub(crate) fn peek(&mut self) -> Option<(u32, u32)> {
        if self.now.is_empty() {
            let (hour, entries) = self.later.pop_first()?;
            self.hour = hour;
            self.now = entries.into_iter().map(Reverse).collect();
        }
        self.now.peek().map(|Reverse(entry)| ((entry >> 32) as u32, *entry as u32))
    }

    /// Takes away what [`Self::peek`] showed.
    pub(crate) fn remove(&mut self) {
        self.now.pop();
    }

    /// Puts the user that [`Self::peek`] showed at a later instant.
    pub(crate) fn move_to(&mut self, at: u32, user: u32) {
        if at / HOUR > self.hour {
            self.now.pop();
            self.add(at, user);
        } else if let Some(mut first) = self.now.peek_mut() {
            *first = Reverse(u64::from(at) << 32 | u64::from(user));
        }
    }
}

#[cfg(test)]
impl Agenda {
    pub(crate) fn bytes(&self) -> usize {
        (self.now.capacity() + self.later.values().map(Vec::capacity).sum::<usize>()) * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn entries_come_out_by_second_then_by_user() {
        let mut random = Random::stream(21, 0);
        let mut agenda = Agenda::default();
        let mut expected = Vec::new();
        for user in 0..5_000u32 {
            let at = (random.unit() * 200_000.0) as u32;
            agenda.add(at, user);
            expected.push((at, user));
        }
        expected.sort_unstable();
        for entry in expected {
            assert_eq!(agenda.peek(), Some(entry), "seed 21");
            agenda.remove();
        }
        assert_eq!(agenda.peek(), None);
    }

    #[test]
    fn moving_the_first_keeps_the_order_within_and_across_hours() {
        let mut random = Random::stream(22, 0);
        let mut agenda = Agenda::default();
        (0..100).for_each(|user| agenda.add(user, user));
        let mut last = (0, 0);
        for _ in 0..20_000 {
            let (at, user) = agenda.peek().unwrap();
            assert!((at, user) >= last || at > last.0, "seed 22: {at} {user} after {last:?}");
            last = (at, user);
            agenda.move_to(at + 1 + (random.exponential(2_000.0) as u32), user);
        }
    }
}
