//! Runs that no clock brings: the next one of a continuous dag, and those of dags that wait for assets. Backfills whose last run has ended
//! are found here, too.
//!
//! On every node that schedules: the store's row locks keep them apart, and the node on which a run ends makes the next one at once.

use crate::Result;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;

/// Every end of a run rings; thousands of them a second are a few looks.
const DISTANCE: Duration = Duration::from_millis(50);

pub(crate) struct Triggers {
    core: Arc<Core>,
    looked_at: Option<Instant>,
}

impl Triggers {
    pub fn new(core: Arc<Core>) -> Self {
        Triggers { core, looked_at: None }
    }
}

#[async_trait]
impl Round for Triggers {
    const NAME: &'static str = "triggers";

    async fn tick(&mut self) -> Result<Again> {
        let soon = self.looked_at.and_then(|at| DISTANCE.checked_sub(at.elapsed()));
        if let Some(rest) = soon.filter(|rest| !rest.is_zero()) {
            return Ok(Again::In(rest));
        }
        self.looked_at = Some(Instant::now());
        let core = &self.core;
        let (continuous, next) = core.store.continuous_due(core.clock.now()).await?;
        let by_assets = core.store.assets_due(core.clock.now()).await?;
        let completed = core.store.complete_backfills(core.clock.now()).await?;
        if continuous + by_assets > 0 {
            info!(continuous, by_assets, "started without a tick");
            core.bells.driver.ring();
        }
        if completed > 0 {
            info!(completed, "backfills have come to their end");
        }
        Ok(Again::at(next))
    }
}
