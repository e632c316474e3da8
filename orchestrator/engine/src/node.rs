//! Who this node is, and whether it may still act: its right ends by time, also when nobody can tell it so.

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct Node {
    standing: RwLock<Standing>,
    fence_after: TimeDelta,
    /// It says goodbye: a heartbeat that is still under way must not begin anew.
    leaves: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    id: Uuid,
    /// When the newest heartbeat that was answered was sent; `None` before the registration.
    confirmed_at: Option<DateTime<Utc>>,
}

impl Node {
    pub fn new(fence_after: TimeDelta) -> Self {
        let standing = RwLock::new(Standing { id: Uuid::now_v7(), confirmed_at: None });
        Node { standing, fence_after, leaves: AtomicBool::new(false) }
    }

    pub fn id(&self) -> Uuid {
        self.read().id
    }

    /// The store has heard of `id`, which was sent at `sent_at`. A new id does not inherit the right of the old one.
    pub fn confirm(&self, id: Uuid, sent_at: DateTime<Utc>) {
        let mut standing = self.standing.write().expect("no holder panics");
        if standing.id == id {
            standing.confirmed_at = standing.confirmed_at.max(Some(sent_at));
        }
    }

    /// After it was given up: nothing that the old id held counts any more.
    pub fn become_new(&self) -> Uuid {
        let id = Uuid::now_v7();
        *self.standing.write().expect("no holder panics") = Standing { id, confirmed_at: None };
        id
    }

    pub fn leave(&self) {
        self.leaves.store(true, Relaxed);
    }

    pub fn leaves(&self) -> bool {
        self.leaves.load(Relaxed)
    }

    pub fn is_registered(&self) -> bool {
        self.read().confirmed_at.is_some()
    }

    /// When the right to act ends unless a heartbeat comes through.
    pub fn fence_at(&self) -> Option<DateTime<Utc>> {
        self.read().confirmed_at.map(|at| at + self.fence_after)
    }

    pub fn may_act(&self, now: DateTime<Utc>) -> bool {
        self.fence_at().is_some_and(|fence| now < fence)
    }

    /// The newest confirmation, to see whether the store was there since an instant.
    pub fn confirmed_since(&self, instant: DateTime<Utc>) -> bool {
        self.read().confirmed_at.is_some_and(|at| at > instant)
    }

    fn read(&self) -> Standing {
        *self.standing.read().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_to_act_ends_by_time() {
        let node = Node::new(TimeDelta::seconds(25));
        let start = DateTime::UNIX_EPOCH;
        assert!(!node.may_act(start), "not before the registration");
        node.confirm(node.id(), start);
        assert!(node.may_act(start + TimeDelta::seconds(24)));
        assert!(!node.may_act(start + TimeDelta::seconds(25)));
    }

    #[test]
    fn an_old_answer_does_not_confirm_a_new_identity() {
        let node = Node::new(TimeDelta::seconds(25));
        let old = node.id();
        node.confirm(old, DateTime::UNIX_EPOCH);
        assert_ne!(node.become_new(), old);
        node.confirm(old, DateTime::UNIX_EPOCH);
        assert!(!node.is_registered());
    }
}
