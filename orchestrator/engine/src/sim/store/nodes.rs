//! Nodes, heartbeats and duties, as in `store::nodes`.

use super::{DutyRow, NodeRow, Plant, Tables};
use chrono::{DateTime, TimeDelta, Utc};
use model::Ending;
use std::time::Duration;
use store::attempts::End;
use store::nodes::Heartbeat;
use uuid::Uuid;

impl Tables {
    pub fn register_node(&mut self, node: Uuid, now: DateTime<Utc>) {
        self.nodes.insert(node, NodeRow { last_seen_at: now, ended: false });
    }

    pub fn heartbeat(&mut self, node: Uuid, now: DateTime<Utc>) -> Heartbeat {
        let known = self.nodes.get_mut(&node).filter(|row| !row.ended);
        let Some(row) = known else { return Heartbeat { given_up: true, ..Heartbeat::default() } };
        row.last_seen_at = row.last_seen_at.max(now);
        let held = self.attempts.values().filter(|attempt| attempt.node == Some(node));
        let mut heartbeat = Heartbeat::default();
        for attempt in held {
            heartbeat.held.extend(attempt.lease.map(|lease| (attempt.id, lease)));
            heartbeat.stop.extend(attempt.stop_reason.clone().map(|reason| (attempt.id, reason)));
        }
        heartbeat
    }

    /// The first transaction of a node that leaves.
    pub fn end_node(&mut self, node: Uuid) {
        if let Some(row) = self.nodes.get_mut(&node) {
            row.ended = true;
        }
        for duty in self.duties.values_mut().filter(|duty| duty.node == node) {
            duty.expires_at = DateTime::UNIX_EPOCH;
        }
    }

    /// The first transaction of `expire_nodes`.
    pub fn end_silent_nodes(&mut self, now: DateTime<Utc>, ttl: Duration) -> usize {
        let ttl = TimeDelta::from_std(ttl).expect("a lease is no century");
        let ttl = if self.has(Plant::ReaperIsEarly) { ttl / 2 } else { ttl };
        let silent = self.nodes.values_mut().filter(|node| !node.ended && node.last_seen_at < now - ttl);
        silent.map(|node| node.ended = true).count()
    }

    /// What is held by no live node, as ends.
    pub fn lost(&self) -> Vec<End> {
        if self.has(Plant::LostAttemptsStay) {
            return Vec::new();
        }
        let lost = self.attempts.values().filter_map(|attempt| {
            let lease = attempt.lease?;
            let held = attempt.node.is_some_and(|node| self.is_live_node(node));
            (!held).then_some((attempt.id, lease))
        });
        let end = |(attempt_id, lease)| End {
            attempt_id,
            lease,
            ending: Ending::Lost,
            outputs: None,
            message: None,
        };
        lost.map(end).collect()
    }

    pub fn hold_duty(&mut self, name: &str, node: Uuid, now: DateTime<Utc>, ttl: Duration) -> Option<i64> {
        let expires_at = now + TimeDelta::from_std(ttl).expect("a term is no century");
        let Some(duty) = self.duties.get_mut(name) else {
            self.duties.insert(name.to_owned(), DutyRow { node, term: 1, expires_at });
            return Some(1);
        };
        if duty.node != node && duty.expires_at > now {
            return None;
        }
        duty.term += i64::from(duty.node != node);
        (duty.node, duty.expires_at) = (node, expires_at);
        Some(duty.term)
    }

    pub fn release_duty(&mut self, name: &str, node: Uuid) {
        if let Some(duty) = self.duties.get_mut(name).filter(|duty| duty.node == node) {
            duty.expires_at = DateTime::UNIX_EPOCH;
        }
    }
}
