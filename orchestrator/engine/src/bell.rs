//! Who wakes which loop. A bell says "look", never what; rings between two looks are one.
//!
//! Three hands ring: the store's NOTIFY (as it happens), loops of the same node (at once), and a slow timer (the net under both).

use crate::rounds::{Again, Round};
use crate::rows::{Rings, Rows};
use crate::{Error, Result};
use async_trait::async_trait;
use std::sync::Arc;
use store::notify::Ring;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

/// A ring is kept until somebody hears it, so that one rung during a tick is not missed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bell(Arc<Notify>);

impl Bell {
    pub fn ring(&self) {
        self.0.notify_one();
    }

    pub async fn rung(&self) {
        self.0.notified().await;
    }
}

/// One for each loop that waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells {
    pub planner: Bell,
    pub driver: Bell,
    pub worker: Bell,
    pub lease: Bell,
    /// Deadlines of live attempts.
    pub sweep: Bell,
    pub reaper: Bell,
    /// Runs that no clock brings.
    pub triggers: Bell,
    /// Of runs and tasks, told to people.
    pub deadlines: Bell,
    pub notifier: Bell,
    pub dagbag: Bell,
    pub routes: Bell,
    pub logship: Bell,
}

impl Bells {
    fn hear(&self, ring: &Ring) {
        match ring {
            Ring::Work => self.worker.ring(),
            Ring::Runs => {
                self.driver.ring();
                self.triggers.ring();
            }
            Ring::Dags => {
                self.planner.ring();
                // A dag that is no longer paused may have runs waiting.
                self.driver.ring();
                self.triggers.ring();
            }
            Ring::Assets => self.triggers.ring(),
            Ring::Notify => self.notifier.ring(),
            Ring::Deadlines => self.deadlines.ring(),
            Ring::Log(_) => {}
            Ring::Stop => self.lease.ring(),
            Ring::Reconnected => self.ring_all(),
        }
    }

    pub fn ring_all(&self) {
        let Bells { planner, driver, worker, lease, sweep, reaper, dagbag, routes, logship, .. } = self;
        let Bells { triggers, deadlines, notifier, .. } = self;
        for bell in [planner, driver, worker, lease, sweep, reaper, dagbag, routes, logship] {
            bell.ring();
        }
        for bell in [triggers, deadlines, notifier] {
            bell.ring();
        }
    }
}

/// Passes on what the store says, one ring a tick.
pub(crate) struct Listening {
    store: Arc<dyn Rows>,
    bells: Bells,
    cancel: CancellationToken,
    listener: Option<Box<dyn Rings>>,
}

impl Listening {
    pub fn new(store: Arc<dyn Rows>, bells: Bells, cancel: CancellationToken) -> Self {
        Listening { store, bells, cancel, listener: None }
    }
}

#[async_trait]
impl Round for Listening {
    const NAME: &'static str = "listen";

    async fn tick(&mut self) -> Result<Again> {
        let listener = match &mut self.listener {
            Some(listener) => listener,
            none => {
                let listener = none.insert(self.store.listen().await?);
                // What was said before we listened.
                self.bells.ring_all();
                listener
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Ok(Again::Later),
            ring = listener.next() => {
                self.bells.hear(&ring);
                Ok(Again::Now)
            }
        }
    }
}

/// The net: every five seconds each loop looks by itself. Exact instants are the loops' own affair (`Again::At`).
pub(crate) struct Timer(JobScheduler);

impl Timer {
    const EVERY: &'static str = "*/5 * * * * *";

    pub async fn start(bells: Bells) -> Result<Self> {
        let scheduler = JobScheduler::new().await?;
        scheduler.add(Job::new(Self::EVERY, move |_, _| bells.ring_all())?).await?;
        scheduler.start().await?;
        Ok(Timer(scheduler))
    }

    pub async fn stop(mut self) -> Result<()> {
        self.0.shutdown().await.map_err(Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn rings_between_two_looks_are_one_and_none_is_missed() {
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        bell.rung().await;
        assert!(tokio::time::timeout(Duration::ZERO, bell.rung()).await.is_err());
    }

    #[tokio::test]
    async fn a_ring_reaches_the_loops_that_it_concerns() {
        let bells = Bells::default();
        bells.hear(&Ring::Stop);
        bells.lease.rung().await;
        bells.hear(&Ring::Work);
        bells.worker.rung().await;
        bells.hear(&Ring::Assets);
        bells.triggers.rung().await;
        bells.hear(&Ring::Notify);
        bells.notifier.rung().await;
        bells.hear(&Ring::Deadlines);
        bells.deadlines.rung().await;
        bells.hear(&Ring::Log(7));
        assert!(tokio::time::timeout(Duration::ZERO, bells.driver.rung()).await.is_err());
        bells.hear(&Ring::Reconnected);
        bells.driver.rung().await;
        bells.routes.rung().await;
    }

    #[tokio::test]
    async fn the_timer_rings_by_itself() {
        let bells = Bells::default();
        let timer = Timer::start(bells.clone()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(15), bells.planner.rung()).await.expect("a ring within 5 s");
        timer.stop().await.unwrap();
    }
}
