//! How much this node may run at once. Slots are given back by dropping what holds them, so no path can leak one.
//!
//! A [`Reservation`] also marks a call to the store that may hand attempts to this node: while it is open, an attempt that the
//! store says we hold and that we do not know may still be on its way.

use crate::bell::Bell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use store::attempts::Claim;
use uuid::Uuid;

/// Of so many free slots one is left for other calls.
const SPARED: usize = 8;

/// Tasks end, services do not; each class has its own slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Task = 0,
    Service = 1,
}

#[derive(Clone)]
pub(crate) struct Slots(Arc<Mutex<Inner>>);

struct Inner {
    free: [usize; 2],
    /// The last look for work was, or may have been, cut short by slots of this class: look again when one comes free.
    hungry: [bool; 2],
    closed: bool,
    open_calls: BTreeSet<u64>,
    next_call: u64,
    bell: Bell,
}

impl Slots {
    pub fn new(tasks: usize, services: usize, bell: Bell) -> Self {
        Slots(Arc::new(Mutex::new(Inner {
            free: [tasks, services],
            hungry: [false; 2],
            closed: false,
            open_calls: BTreeSet::new(),
            next_call: 0,
            bell,
        })))
    }

    /// Takes up to `max` free slots of each class for the time of one call. Of many free ones some stay: another call may come meanwhile,
    /// and what it queues would have to wait for a third.
    pub fn reserve(&self, max: usize) -> Reservation {
        self.take(|free| (free - free / SPARED).min(max))
    }

    fn take(&self, of_free: impl Fn(usize) -> usize) -> Reservation {
        let mut inner = self.lock();
        let taken = if inner.closed { [0; 2] } else { inner.free.map(of_free) };
        for (free, taken) in inner.free.iter_mut().zip(taken) {
            *free -= taken;
        }
        let call = inner.next_call;
        inner.next_call += 1;
        inner.open_calls.insert(call);
        drop(inner);
        Reservation { slots: self.clone(), left: taken, call }
    }

    /// Up to `max` of all that are free, for a look at all that is queued: until it has [`looked`](Reservation::looked), each slot that comes free rings.
    pub fn reserve_to_look(&self, max: usize) -> Reservation {
        self.lock().hungry = [true; 2];
        self.take(|free| free.min(max))
    }

    /// Nothing is taken from now on.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The number of the next call, and of the oldest one still open.
    pub fn calls(&self) -> (u64, Option<u64>) {
        let inner = self.lock();
        (inner.next_call, inner.open_calls.first().copied())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("counting slots does not panic")
    }

    fn give_back(&self, class: Class, count: usize) {
        if count > 0 {
            let mut inner = self.lock();
            inner.free[class as usize] += count;
            if inner.hungry[class as usize] {
                inner.bell.ring();
            }
        }
    }
}

/// The right to run one attempt.
pub(crate) struct Slot {
    slots: Slots,
    class: Class,
    /// `false` once it has gone into a reservation, or if the store gave more than was asked for.
    counted: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.counted {
            self.slots.give_back(self.class, 1);
        }
    }
}

/// Slots set aside for the answer of one call. What is not used goes back when it is dropped.
pub(crate) struct Reservation {
    slots: Slots,
    left: [usize; 2],
    call: u64,
}

impl Reservation {
    /// What to ask the store for; `None` if there is no room at all or the node is closing.
    pub fn claim(&self, node: Uuid, queues: &[String], routes: Vec<String>) -> Option<Claim> {
        let [slots, service_slots] = self.left;
        if slots + service_slots == 0 || self.slots.lock().closed {
            return None;
        }
        Some(Claim { node, queues: queues.to_vec(), routes, slots, service_slots })
    }

    /// The slot of an attempt that ends by this call, for what follows it.
    pub fn absorb(&mut self, mut slot: Slot) {
        if std::mem::take(&mut slot.counted) {
            self.left[slot.class as usize] += 1;
        }
    }

    pub fn take(&mut self, class: Class) -> Slot {
        let left = &mut self.left[class as usize];
        let counted = *left > 0;
        *left -= usize::from(counted);
        Slot { slots: self.slots.clone(), class, counted }
    }

    /// Slots for a part of the answer, in an open call of its own.
    pub fn split_off(&mut self, needed: impl Iterator<Item = Class>) -> Reservation {
        let mut part = self.slots.reserve(0);
        for class in needed.map(|class| class as usize) {
            if self.left[class] > 0 {
                self.left[class] -= 1;
                part.left[class] += 1;
            }
        }
        part
    }

    /// After a look, which brought attempts of these classes: where slots are left over there was nothing more to take.
    pub fn looked(&self, found: impl Iterator<Item = Class>) {
        let mut used = [0; 2];
        found.for_each(|class| used[class as usize] += 1);
        self.slots.lock().hungry = [used[0] >= self.left[0], used[1] >= self.left[1]];
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.slots.lock().open_calls.remove(&self.call);
        let [tasks, services] = self.left;
        self.slots.give_back(Class::Task, tasks);
        self.slots.give_back(Class::Service, services);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(reservation: &Reservation) -> (usize, usize) {
        let claim = reservation.claim(Uuid::nil(), &[], Vec::new());
        claim.map_or((0, 0), |claim| (claim.slots, claim.service_slots))
    }

    #[test]
    fn slots_come_back_however_they_are_let_go() {
        let slots = Slots::new(2, 1, Bell::default());
        let mut reservation = slots.reserve(10);
        assert_eq!(asked(&reservation), (2, 1));
        let task = reservation.take(Class::Task);
        drop(reservation);
        assert_eq!(asked(&slots.reserve(10)), (1, 1));
        let mut handed_on = slots.reserve(10);
        handed_on.absorb(task);
        assert_eq!(asked(&handed_on), (2, 1));
        drop(handed_on);
        assert_eq!(asked(&slots.reserve(10)), (2, 1));
    }

    #[test]
    fn two_calls_at_the_same_time_both_find_slots() {
        let slots = Slots::new(64, 64, Bell::default());
        let first = slots.reserve(64);
        assert_eq!(asked(&first), (56, 56));
        assert_eq!(asked(&slots.reserve(64)), (7, 7));
        drop(first);
        assert_eq!(asked(&slots.reserve(3)), (3, 3));
    }

    #[test]
    fn a_slot_that_was_never_there_is_not_given_back() {
        let slots = Slots::new(1, 0, Bell::default());
        let mut reservation = slots.reserve(10);
        let both = (reservation.take(Class::Task), reservation.take(Class::Task));
        drop((both, reservation));
        assert_eq!(asked(&slots.reserve(10)), (1, 0));
    }

    #[tokio::test]
    async fn who_went_hungry_is_rung_when_a_slot_comes_free() {
        let bell = Bell::default();
        let slots = Slots::new(1, 1, bell.clone());
        let mut reservation = slots.reserve_to_look(10);
        reservation.looked([Class::Task].into_iter());
        let task = reservation.take(Class::Task);
        drop(reservation);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, bell.rung()).await.is_err());
        drop(task);
        bell.rung().await;
    }

    #[test]
    fn open_calls_are_known_until_they_are_dropped() {
        let slots = Slots::new(1, 1, Bell::default());
        let first = slots.reserve(1);
        let second = slots.reserve(1);
        assert_eq!(slots.calls(), (2, Some(0)));
        drop(first);
        assert_eq!(slots.calls(), (2, Some(1)));
        drop(second);
        assert_eq!(slots.calls(), (2, None));
    }

    #[test]
    fn a_closed_node_asks_for_nothing() {
        let slots = Slots::new(4, 4, Bell::default());
        let reservation = slots.reserve(4);
        slots.close();
        assert_eq!(asked(&reservation), (0, 0));
    }
}
