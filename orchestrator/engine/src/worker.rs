//! Takes queued attempts as far as slots allow, and starts each in a tokio task of its own.
//!
//! [`Core`] is what all that execute share: the driver and ended attempts hand over what the store gave them in the same
//! transaction, so that between a task and its successor there is no poll.

use crate::Result;
use crate::attempt;
use crate::bell::Bells;
use crate::config::EngineConfig;
use crate::finisher::Finisher;
use crate::live::{Cause, Live};
use crate::logship::LogShip;
use crate::node::Node;
use crate::realm::within;
use crate::rounds::{Again, Round};
use crate::rows::Rows;
use crate::slots::{Class, Reservation, Slots};
use crate::stats::Stats;
use crate::store_clock::StoreClock;
use crate::trace;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::Registry;
use model::platform::Outbound;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::attempts::{Claim, Claimed};
use store::runs::Advanced;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, warn};

/// Attempts taken by one call.
pub(crate) const CLAIM_MAX: usize = 64;
/// Calls of one tick.
const CALLS_MAX: usize = 16;

pub(crate) struct Core {
    pub store: Arc<dyn Rows>,
    pub registry: Registry,
    pub clock: Arc<StoreClock>,
    pub outbound: Arc<dyn Outbound>,
    pub config: Arc<EngineConfig>,
    pub node: Arc<Node>,
    pub stats: Arc<Stats>,
    pub bells: Bells,
    pub slots: Slots,
    pub ship: LogShip,
    pub finisher: Finisher,
    pub alarm: Alarm,
    live: Mutex<BTreeMap<i64, Arc<Live>>>,
    attempts: TaskTracker,
    pub dags_loaded: CancellationToken,
}

/// When the driver will look at runs by itself. Whoever learns of an earlier instant rings it.
#[derive(Debug)]
pub(crate) struct Alarm(AtomicI64);

impl Default for Alarm {
    fn default() -> Self {
        Alarm(AtomicI64::new(i64::MAX))
    }
}

impl Alarm {
    pub fn set(&self, at: Option<DateTime<Utc>>) {
        self.0.store(at.map_or(i64::MAX, |at| at.timestamp_micros()), Relaxed);
    }

    fn is_too_late_for(&self, at: DateTime<Utc>) -> bool {
        at.timestamp_micros() < self.0.load(Relaxed)
    }
}

impl Core {
    #[expect(clippy::too_many_arguments, reason = "made in one place, of parts that have one owner each")]
    pub fn new(
        store: Arc<dyn Rows>,
        registry: Registry,
        clock: Arc<StoreClock>,
        outbound: Arc<dyn Outbound>,
        config: Arc<EngineConfig>,
        node: Arc<Node>,
        stats: Arc<Stats>,
        bells: Bells,
        ship: LogShip,
    ) -> Self {
        let (tasks, services) =
            if config.worker { (config.task_slots, config.service_slots) } else { (0, 0) };
        let slots = Slots::new(tasks, services, bells.worker.clone());
        let (finisher, alarm) = (Finisher::default(), Alarm::default());
        let (live, attempts) = (Mutex::default(), TaskTracker::new());
        Core {
            store,
            registry,
            clock,
            outbound,
            config,
            node,
            stats,
            bells,
            slots,
            ship,
            finisher,
            alarm,
            live,
            attempts,
            dags_loaded: CancellationToken::new(),
        }
    }

    /// What this node can take with these slots. `None`: nothing, or it has no right to.
    pub fn claim(&self, reservation: &Reservation) -> Option<Claim> {
        if !self.node.may_act(self.clock.now()) {
            return None;
        }
        let routes = self.config.routes.read().expect("no holder of the routes panics").clone();
        reservation.claim(self.node.id(), &self.config.queues, routes)
    }

    /// Starts what the store has given to this node. The reservation is the one whose claim it answers.
    pub fn start(self: &Arc<Self>, claimed: Vec<Claimed>, mut reservation: Reservation) {
        let now = self.clock.now();
        for claimed in claimed {
            let live = Arc::new(Live::new(&claimed, self.config.stop_grace, now));
            if self.slots.is_closed() || !self.node.may_act(now) {
                // It is given back: by leaving, or as an orphan at one of the next heartbeats.
                info!(attempt = live.label, "came too late for this node, not started");
                continue;
            }
            let slot = reservation.take(live.class);
            self.stats.attempts_started.fetch_add(1, Relaxed);
            self.live().insert(live.attempt_id, live.clone());
            let span = trace::log_span(&claimed);
            self.attempts.spawn(within(attempt::run(self.clone(), live, claimed, slot)).instrument(span));
            self.bells.sweep.ring();
        }
    }

    /// Follows up on one step of a run.
    pub fn follow_up(self: &Arc<Self>, run: i64, advanced: Advanced, reservation: Reservation) {
        if advanced.finished.is_some() || advanced.wake_at.is_some_and(|at| self.alarm.is_too_late_for(at)) {
            self.bells.driver.ring();
        }
        if advanced.finished.is_some() {
            trace::run_ended(self, run);
            self.bells.triggers.ring();
        }
        if advanced.queued > advanced.claimed.len() {
            self.bells.worker.ring();
        }
        self.start(advanced.claimed, reservation);
    }

    /// Work that belongs to attempts: a node that stops waits for it.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.attempts.spawn(within(work));
    }

    pub fn forget(&self, live: &Live) {
        self.live().remove(&live.attempt_id);
    }

    pub fn all_live(&self) -> Vec<Arc<Live>> {
        self.live().values().cloned().collect()
    }

    pub fn find_live(&self, attempt_id: i64) -> Option<Arc<Live>> {
        self.live().get(&attempt_id).cloned()
    }

    /// The right to act is gone: everything is killed, nothing is reported.
    pub fn lose_all(&self, why: &str) {
        let all = self.all_live();
        if !all.is_empty() {
            warn!(attempts = all.len(), why, "this node stops all its attempts");
        }
        all.iter().for_each(|live| live.lose(why));
    }

    /// Takes nothing new, lets tasks finish within `drain_grace`, asks services to stop at once. Returns how many attempts did
    /// neither end nor stop in time.
    pub async fn drain(&self) -> usize {
        self.slots.close();
        self.attempts.close();
        self.stop_live(|live| live.class == Class::Service);
        if self.ended_within(self.config.drain_grace).await {
            return 0;
        }
        self.stop_live(|_| true);
        let grace = self.all_live().iter().map(|live| live.grace).max().unwrap_or_default();
        if self.ended_within(grace).await {
            return 0;
        }
        let stubborn = self.all_live();
        stubborn.iter().for_each(|live| live.kill());
        if !self.ended_within(Duration::from_secs(5)).await {
            self.lose_all("the node leaves and could not report in time");
            self.ended_within(Duration::from_secs(1)).await;
        }
        stubborn.len()
    }

    fn stop_live(&self, which: impl Fn(&Live) -> bool) {
        let now = self.clock.now();
        for live in self.all_live().iter().filter(|live| which(live)) {
            live.stop(Cause::NodeStops, now);
        }
        self.bells.sweep.ring();
    }

    async fn ended_within(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.attempts.wait()).await.is_ok()
    }

    fn live(&self) -> std::sync::MutexGuard<'_, BTreeMap<i64, Arc<Live>>> {
        self.live.lock().expect("no holder panics")
    }
}

/// The claim loop.
pub(crate) struct Worker(pub Arc<Core>);

#[async_trait]
impl Round for Worker {
    const NAME: &'static str = "worker";

    async fn tick(&mut self) -> Result<Again> {
        let core = &self.0;
        if !core.node.may_act(core.clock.now()) {
            // Slots that are reserved and given back would ring for the next look, and that one for the next.
            return Ok(Again::Later);
        }
        for _ in 0..CALLS_MAX {
            let reservation = core.slots.reserve_to_look(CLAIM_MAX);
            let Some(claim) = core.claim(&reservation) else { return Ok(Again::Later) };
            let claimed = core.store.claim(&claim, core.clock.now()).await?;
            debug!(claimed = claimed.len(), slots = claim.slots, "looked for work");
            let all = claimed.len() < CLAIM_MAX;
            reservation.looked(claimed.iter().map(class_of));
            core.start(claimed, reservation);
            if all {
                // What is left in the queue waits for a slot, and a slot that comes free rings.
                return Ok(Again::Later);
            }
        }
        Ok(Again::Now)
    }
}

pub(crate) fn class_of(claimed: &Claimed) -> Class {
    match claimed.dag.tasks[claimed.task].service {
        Some(_) => Class::Service,
        None => Class::Task,
    }
}
