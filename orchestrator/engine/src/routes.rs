//! Says to the other nodes what only this one owns, so that pages which need it find their way.
//!
//! Not here: the owning itself (a file lock, say); whoever has it writes it into [`crate::Routes`].

use crate::Result;
use crate::config::delta;
use crate::duty::Duty;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Nobody rings when a route is taken or let go.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) fn duty_of(route: &str) -> String {
    format!("route:{route}")
}

pub(crate) struct RouteKeeper {
    core: Arc<Core>,
    duties: BTreeMap<String, Duty>,
}

impl RouteKeeper {
    pub fn new(core: Arc<Core>) -> Self {
        RouteKeeper { core, duties: BTreeMap::new() }
    }
}

#[async_trait]
impl Round for RouteKeeper {
    const NAME: &'static str = "routes";

    async fn tick(&mut self) -> Result<Again> {
        let core = &self.core;
        let now = core.clock.now();
        let owned = core.config.routes.read().expect("no holder of the routes panics").clone();
        let gone: Vec<String> = self.duties.keys().filter(|route| !owned.contains(route)).cloned().collect();
        for route in gone {
            if let Some(mut duty) = self.duties.remove(&route) {
                duty.release().await?;
            }
        }
        let mut again = now + delta(LOOK_EVERY);
        for route in owned {
            let duty = self.duties.entry(route.clone()).or_insert_with(|| {
                // New here: what waits in the queue for it can be taken now.
                core.bells.worker.ring();
                Duty::new(duty_of(&route), core.store.clone(), core.node.clone(), core.config.lease_ttl)
            });
            duty.hold(now).await?;
            again = again.min(duty.again_at(now));
        }
        Ok(Again::At(again))
    }
}
