//! Forgets what is old, in passes of small steps. One node at a time makes a pass, and gives the duty back after it, so that a person can
//! make one (`streamify db prune`), too.
//!
//! Not here: what may go (`store::retention`).

use crate::Result;
use crate::config::delta;
use crate::duty::Duty;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use store::retention::{Mode, Position, Pruned, Step};
use tracing::{info, warn};

pub(crate) const DUTY: &str = store::retention::DUTY;
/// From the end of one pass to the next.
const EVERY: Duration = Duration::from_secs(3600);
/// After a step that removed something: others want the disk, too.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Retention {
    core: Arc<Core>,
    duty: Duty,
    pass: Option<Pass>,
}

#[derive(Default)]
struct Pass {
    at: Position,
    pruned: Pruned,
}

impl Retention {
    pub fn new(core: Arc<Core>) -> Self {
        let duty = Duty::new(DUTY, core.store.clone(), core.node.clone(), core.config.lease_ttl);
        Retention { core, duty, pass: None }
    }
}

#[async_trait]
impl Round for Retention {
    const NAME: &'static str = "retention";

    async fn tick(&mut self) -> Result<Again> {
        let now = self.core.clock.now();
        if self.pass.is_none() {
            let last = self.core.store.last_prune().await?;
            if let Some(next) = last.map(|last| last + delta(EVERY)).filter(|next| now < *next) {
                return Ok(Again::At(next));
            }
        }
        if self.duty.hold(now).await?.is_none() {
            // Whoever has it begins at the beginning.
            self.pass = None;
            return Ok(Again::At(self.duty.again_at(now)));
        }
        let pass = self.pass.get_or_insert_default();
        let policy = &self.core.config.retention;
        let Step { pruned, next, left } =
            self.core.store.prune_step(policy, &pass.at, Mode::Remove, now).await?;
        if let Some(left) = left {
            warn!(left, "not pruned");
        }
        let removed = pruned.values().any(|rows| *rows > 0);
        for (what, rows) in pruned {
            *pass.pruned.entry(what).or_default() += rows;
        }
        if let Some(next) = next {
            pass.at = next;
            return Ok(if removed { Again::In(PAUSE) } else { Again::Now });
        }
        let pruned = self.pass.take().unwrap_or_default().pruned;
        self.core.store.end_prune("retention", &pruned, now).await?;
        if !pruned.is_empty() {
            info!(?pruned, "pruned");
        }
        self.duty.release().await?;
        Ok(Again::At(now + delta(EVERY)))
    }
}
