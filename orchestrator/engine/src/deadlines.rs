//! Finds runs and tasks that have not ended by the instant that their dag gives them. What is told about it is written in the same transaction.

use crate::Result;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Deadlines of one look.
const LOOK_MAX: usize = 200;
/// What is due and not taken is in another node's hands.
const PAUSE_MIN: Duration = Duration::from_millis(200);

pub(crate) struct Deadlines(pub Arc<Core>);

#[async_trait]
impl Round for Deadlines {
    const NAME: &'static str = "deadlines";

    async fn tick(&mut self) -> Result<Again> {
        let core = &self.0;
        let now = core.clock.now();
        let (missed, next) = core.store.miss_deadlines(now, LOOK_MAX).await?;
        if missed > 0 {
            warn!(missed, "deadlines were missed");
            core.bells.notifier.ring();
        }
        Ok(match next {
            Some(at) if at <= now => Again::In(PAUSE_MIN),
            next => Again::at(next),
        })
    }
}
