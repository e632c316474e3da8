//! Gives up nodes that have not been heard of, so that others take over their attempts. One node at a time does it.

use crate::Result;
use crate::config::delta;
use crate::duty::Duty;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use std::sync::Arc;
use tracing::warn;

pub(crate) const DUTY: &str = "reaper";

pub(crate) struct Reaper {
    core: Arc<Core>,
    duty: Duty,
}

impl Reaper {
    pub fn new(core: Arc<Core>) -> Self {
        let duty = Duty::new(DUTY, core.store.clone(), core.node.clone(), core.config.lease_ttl);
        Reaper { core, duty }
    }
}

#[async_trait]
impl Round for Reaper {
    const NAME: &'static str = "reaper";

    async fn tick(&mut self) -> Result<Again> {
        let now = self.core.clock.now();
        let ttl = self.core.config.lease_ttl;
        // After a clock was set, heartbeats from before say nothing: each node may send one of the new time first.
        if self.duty.hold(now).await?.is_some() && self.core.clock.is_steady_for(delta(ttl)) {
            let (nodes, attempts) = self.core.store.expire_nodes(now, ttl).await?;
            if nodes > 0 {
                warn!(nodes, attempts, "nodes were not heard of and are given up");
                self.core.bells.driver.ring();
                self.core.bells.worker.ring();
            }
        }
        Ok(Again::At(now + delta(ttl / 6)))
    }
}
