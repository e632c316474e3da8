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
use crate::suspects::{Before, Held, Suspects};
use crate::worker::Core;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::Ending;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::attempts::{End, Finished};
use store::nodes::{Heartbeat, NewNode};
use tracing::{info, warn};

pub(crate) struct Lease {
    core: Arc<Core>,
    suspects: Suspects,
}

impl Lease {
    pub fn new(core: Arc<Core>) -> Self {
        Lease { core, suspects: Suspects::default() }
    }

    async fn register(&mut self, now: DateTime<Utc>) -> Result<()> {
        let core = &self.core;
        if core.node.leaves() {
            return Ok(());
        }
        let node = NewNode {
            id: core.node.id(),
            name: core.config.node_name.clone(),
            host: core.config.host.clone(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            http_url: core.config.http_url.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            task_slots: core.config.offered(core.config.task_slots),
            service_slots: core.config.offered(core.config.service_slots),
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
        // Before the heartbeat, and calls first: what is started meanwhile is not missed in its answer, and what has ended before it is
        // not in it any more.
        let (_, oldest_open) = core.slots.calls();
        let known = core.all_live();
        let limit = core.config.lease_ttl / 3;
        let heartbeat = tokio::time::timeout(limit, core.store.heartbeat(id, now))
            .await
            .map_err(|_| Error::Interrupted("a heartbeat"))??;
        if heartbeat.given_up && core.node.leaves() {
            core.lose_all("the node has left");
            return Ok(());
        }
        if heartbeat.given_up {
            warn!(node = %id, "this node was given up by the others; it begins anew");
            core.lose_all("the node was given up by the others");
            core.node.become_new();
            self.suspects.clear();
            return self.register(core.clock.now()).await;
        }
        core.node.confirm(id, now);
        let (next_call, _) = core.slots.calls();
        let held: HashSet<Held> = heartbeat.held.iter().copied().collect();
        for live in known.iter().filter(|live| !held.contains(&(live.attempt_id, live.lease))) {
            live.lose("its lease was taken away");
        }
        self.stop_asked(&heartbeat, core.clock.now());
        let known = known.iter().map(|live| (live.attempt_id, live.lease)).collect();
        let orphans = self.suspects.after(&Before { oldest_open, known }, &held, next_call);
        self.return_orphans(orphans).await
    }

    fn stop_asked(&self, heartbeat: &Heartbeat, now: DateTime<Utc>) {
        for (attempt_id, reason) in &heartbeat.stop {
            if let Some(live) = self.core.find_live(*attempt_id) {
                live.stop(Cause::Asked(reason.clone()), now);
                self.core.bells.sweep.ring();
            }
        }
    }

    /// What this node holds and does not run would be held for ever by its own heartbeats: a claim whose answer never arrived, an
    /// attempt whose end could not be stored.
    async fn return_orphans(&self, orphans: Vec<Held>) -> Result<()> {
        let core = &self.core;
        for (attempt_id, lease) in orphans {
            let message = Some("its node holds it and does not run it".to_owned());
            let now = core.clock.now();
            let end = End { attempt_id, lease, ending: Ending::Lost, outputs: None, message };
            match core.store.finish_batch(vec![end], now, None).await? {
                // Somebody else has ended it meanwhile.
                Finished { stale, .. } if !stale.is_empty() => {
                    core.stats.stale_results.fetch_add(1, Relaxed);
                }
                Finished { runs, .. } => {
                    warn!(
                        attempt_id,
                        "the store held it for this node, which does not run it (its claim or its end got lost): given back"
                    );
                    core.stats.orphans_returned.fetch_add(1, Relaxed);
                    for (run, advanced) in runs {
                        core.follow_up(run, advanced, core.slots.reserve(0));
                    }
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Round for Lease {
    const NAME: &'static str = "lease";

    async fn tick(&mut self) -> Result<Again> {
        let core = self.core.clone();
        let limit = core.config.lease_ttl / 3;
        if !core.node.is_registered() {
            core.clock.measure(limit).await?;
            let now = core.clock.now();
            self.register(now).await?;
            return Ok(Again::At(now + delta(core.config.heartbeat_every())));
        }
        let now = core.clock.now();
        let (beaten, measured) = tokio::join!(self.beat(now), core.clock.measure(limit));
        beaten?;
        measured?;
        Ok(Again::At(now + delta(core.config.heartbeat_every())))
    }
}
