//! Attempts that the store holds for this node and that it does not run: which of them are on their way, and which are lost.
//!
//! A heartbeat's answer is as old as its snapshot: by the time it is read, an attempt in it may have ended, and one that this node
//! does not know may come with the answer of a call that is still open. So an attempt is an orphan only if a *later* heartbeat
//! holds it too, one that began when no call was open any more that could have brought it, and when it still was not known.

use std::collections::{BTreeMap, HashSet};

/// Attempt and lease: one pair is held once, and never again after its end.
pub(crate) type Held = (i64, i64);

/// With the number of the first call that cannot have claimed it.
#[derive(Default)]
pub(crate) struct Suspects(BTreeMap<Held, u64>);

/// What the node knew when a heartbeat began.
pub(crate) struct Before {
    /// Of the calls that may bring attempts. Read before `known`: what they brought by then is known.
    pub oldest_open: Option<u64>,
    pub known: HashSet<Held>,
}

impl Suspects {
    /// Takes in what a heartbeat found held. `next_call` is read after its answer: whatever it shows was claimed by an earlier call.
    /// Returns the orphans; they stay suspects until they are held no more.
    pub fn after(&mut self, before: &Before, held: &HashSet<Held>, next_call: u64) -> Vec<Held> {
        let unknown = |attempt: &Held| held.contains(attempt) && !before.known.contains(attempt);
        self.0.retain(|attempt, _| unknown(attempt));
        let arrived = |call: u64| before.oldest_open.is_none_or(|open| open >= call);
        let orphans =
            self.0.iter().filter(|(_, call)| arrived(**call)).map(|(attempt, _)| *attempt).collect();
        for attempt in held.iter().filter(|attempt| unknown(attempt)) {
            self.0.entry(*attempt).or_insert(next_call);
        }
        orphans
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IT: Held = (316, 7);

    fn look(
        suspects: &mut Suspects,
        oldest_open: Option<u64>,
        known: &[Held],
        held: &[Held],
        next_call: u64,
    ) -> Vec<Held> {
        let before = Before { oldest_open, known: known.iter().copied().collect() };
        suspects.after(&before, &held.iter().copied().collect(), next_call)
    }

    #[test]
    fn what_two_heartbeats_hold_and_nobody_knows_is_an_orphan_until_it_is_held_no_more() {
        let mut suspects = Suspects::default();
        assert!(look(&mut suspects, None, &[], &[IT], 5).is_empty(), "its answer may have come meanwhile");
        assert_eq!(look(&mut suspects, None, &[], &[IT], 9), [IT]);
        assert_eq!(look(&mut suspects, None, &[], &[IT], 9), [IT], "giving it back may have failed");
        assert!(look(&mut suspects, None, &[], &[], 9).is_empty());
    }

    #[test]
    fn what_ended_while_a_heartbeat_was_under_way_is_no_orphan() {
        let mut suspects = Suspects::default();
        assert!(look(&mut suspects, None, &[IT], &[IT], 5).is_empty());
        assert!(look(&mut suspects, None, &[], &[], 5).is_empty());
        // Begun and ended between two heartbeats, and the second one's snapshot is from before its end.
        assert!(look(&mut suspects, None, &[], &[IT], 7).is_empty());
        assert!(look(&mut suspects, None, &[], &[], 7).is_empty());
    }

    #[test]
    fn what_an_open_call_may_bring_is_waited_for_also_if_it_began_during_the_heartbeat() {
        let mut suspects = Suspects::default();
        assert!(look(&mut suspects, None, &[], &[IT], 5).is_empty());
        assert!(look(&mut suspects, Some(4), &[], &[IT], 8).is_empty(), "call 4 began during the first");
        assert!(look(&mut suspects, Some(4), &[], &[IT], 9).is_empty());
        assert_eq!(
            look(&mut suspects, Some(5), &[], &[IT], 9),
            [IT],
            "call 5 came too late to have taken it"
        );
    }

    #[test]
    fn who_has_arrived_is_no_suspect_any_more() {
        let mut suspects = Suspects::default();
        assert!(look(&mut suspects, None, &[], &[IT], 5).is_empty());
        assert!(look(&mut suspects, None, &[IT], &[IT], 6).is_empty());
        assert!(look(&mut suspects, None, &[], &[IT], 7).is_empty(), "suspicion begins anew");
    }
}
