//! One heartbeat for the whole node: it keeps the leases of all its attempts, and brings back what was taken away or must stop.
//!
//! ```text
//! unknown --register--> known --heartbeat--> known
//!                         |  given up: all attempts are lost, a new identity
//!                         v
//!                      unknown
//! ```

use crate::Result;
use crate::config::delta;
use crate::error::Error;
use crate::live::Cause;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::Ending;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::nodes::{Heartbeat, NewNode};
use tracing::{info, warn};

pub(crate) struct Lease {
    core: Arc<Core>,
    /// Attempts that the store says we hold and we do not know, with the number of the next call when that was first seen. When no
    /// call from before is open any more, their answer got lost.
    suspects: HashMap<(i64, i64), u64>,
}

impl Lease {
    pub fn new(core: Arc<Core>) -> Self {
        Lease { core, suspects: HashMap::new() }
    }

    async fn register(&mut self, now: DateTime<Utc>) -> Result<()> {
        let core = &self.core;
        let node = NewNode {
            id: core.node.id(),
            name: core.config.node_name.clone(),
            host: core.config.host.clone(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            http_url: core.config.http_url.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        core.store.register_node(&node, now).await?;
        core.node.confirm(node.id, now);
        info!(node = %node.id, name = node.name, "registered");
        core.bells.ring_all();
        Ok(())
    }

    async fn beat(&mut self, now: DateTime<Utc>) -> Result<()> {
        let core = self.core.clone();
        let id = core.node.id();
        // Before the call: what is started meanwhile is not missed in its answer.
        let known: Vec<_> = core.all_live();
        let (next_call, _) = core.slots.calls();
        let limit = core.config.lease_ttl / 3;
        let heartbeat = tokio::time::timeout(limit, core.store.heartbeat(id, now))
            .await
            .map_err(|_| Error::Interrupted("a heartbeat"))??;
        if heartbeat.given_up {
            warn!(node = %id, "this node was given up by the others; it begins anew");
            core.lose_all("the node was given up by the others");
            core.node.become_new();
            self.suspects.clear();
            return self.register(core.clock.now()).await;
        }
        core.node.confirm(id, now);
        let held: HashSet<(i64, i64)> = heartbeat.held.iter().copied().collect();
        for live in known.iter().filter(|live| !held.contains(&(live.attempt_id, live.lease))) {
            live.lose("its lease was taken away");
        }
        self.stop_asked(&heartbeat, core.clock.now());
        self.return_orphans(&held, next_call).await
    }

    fn stop_asked(&self, heartbeat: &Heartbeat, now: DateTime<Utc>) {
        for (attempt_id, reason) in &heartbeat.stop {
            if let Some(live) = self.core.find_live(*attempt_id) {
                live.stop(Cause::Asked(reason.clone()), now);
                self.core.bells.sweep.ring();
            }
        }
    }

    /// A claim whose answer never arrived would be held for ever by our own heartbeats.
    async fn return_orphans(&mut self, held: &HashSet<(i64, i64)>, next_call: u64) -> Result<()> {
        let core = self.core.clone();
        // Calls first: an answer that arrives between the two looks is then found among the live.
        let (_, oldest_open) = core.slots.calls();
        let unknown = |(attempt_id, _): &(i64, i64)| core.find_live(*attempt_id).is_none();
        self.suspects.retain(|suspect, _| held.contains(suspect) && unknown(suspect));
        for suspect in held.iter().filter(|suspect| unknown(suspect)) {
            self.suspects.entry(*suspect).or_insert(next_call);
        }
        let orphans: Vec<(i64, i64)> = self
            .suspects
            .iter()
            .filter(|(_, seen_before)| oldest_open.is_none_or(|open| open >= **seen_before))
            .map(|(orphan, _)| *orphan)
            .collect();
        for (attempt_id, lease) in orphans {
            warn!(
                attempt_id,
                "the store gave it to this node, but the answer never arrived; it is given back"
            );
            let message = Some("its node never learned of it".to_owned());
            let now = core.clock.now();
            match core.store.finish(attempt_id, lease, Ending::Lost, None, message, now, None).await {
                Ok(advanced) => {
                    core.stats.orphans_returned.fetch_add(1, Relaxed);
                    core.follow_up(advanced, core.slots.reserve(0));
                }
                Err(store::Error::Stale { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.suspects.remove(&(attempt_id, lease));
        }
        Ok(())
    }
}

#[async_trait]
impl Round for Lease {
    const NAME: &'static str = "lease";

    async fn tick(&mut self) -> Result<Again> {
        let now = self.core.clock.now();
        if self.core.node.is_registered() {
            self.beat(now).await?;
        } else {
            self.register(now).await?;
        }
        Ok(Again::At(now + delta(self.core.config.heartbeat_every())))
    }
}
