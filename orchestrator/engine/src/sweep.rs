//! Deadlines of the attempts on this node, and its own: timeouts, readiness, the end of a grace, the end of the right to act.
//!
//! Needs no store: this is what still works when the store is away, and why two nodes never run the same attempt.

use crate::Result;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use std::sync::Arc;

pub(crate) struct Sweep(pub Arc<Core>);

#[async_trait]
impl Round for Sweep {
    const NAME: &'static str = "sweep";

    async fn tick(&mut self) -> Result<Again> {
        let core = &self.0;
        let now = core.clock.now();
        if core.node.is_registered() && !core.node.may_act(now) {
            core.lose_all("no heartbeat came through for so long that other nodes may take over");
        }
        let next = core.all_live().iter().filter_map(|live| live.sweep(now)).min();
        Ok(Again::at(next.into_iter().chain(core.node.fence_at().filter(|at| *at > now)).min()))
    }
}
