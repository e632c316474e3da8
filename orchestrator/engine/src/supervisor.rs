//! The order in which a node starts and stops.
//!
//! ```text
//! start: register, heartbeats, sweep, log shipping -> bells -> dagbag, planner, driver, reaper, triggers, deadlines, notifier, retention | worker
//! stop:  no new work -> services stop, tasks finish -> logs flushed -> duties and the node given back -> heartbeats end
//! ```

use crate::Result;
use crate::bell::{Bells, Listening, Timer};
use crate::config::EngineConfig;
use crate::dagbag::{self, DagBag};
use crate::deadlines::Deadlines;
use crate::driver::Driver;
use crate::lease::Lease;
use crate::logship::{LogShip, Shipping};
use crate::mask::Mask;
use crate::node::Node;
use crate::notifier::Notifier;
use crate::planner::{self, Planner};
use crate::reaper::{self, Reaper};
use crate::retention::{self, Retention};
use crate::rounds::{Frame, supervise};
use crate::routes::{RouteKeeper, duty_of};
use crate::rows::Timed;
use crate::stats::{Stats, StatsSnapshot};
use crate::store_clock::StoreClock;
use crate::sweep::Sweep;
use crate::triggers::Triggers;
use crate::worker::{Core, Worker};
use model::Registry;
use model::platform::Outbound;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::retention::Policy;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// Each step of the way out, when the store does not answer.
const STEP_MAX: Duration = Duration::from_secs(5);

/// One node.
pub struct Engine {
    core: Arc<Core>,
}

/// How a node ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Attempts that neither ended nor stopped in time; others take them over.
    pub abandoned: usize,
    pub stats: StatsSnapshot,
}

impl Engine {
    /// `clock` is that of the whole node, so that what its pages write fits to what its loops read.
    pub fn new(
        store: Store,
        registry: Registry,
        clock: Arc<StoreClock>,
        outbound: Arc<dyn Outbound>,
        config: EngineConfig,
    ) -> Self {
        let (bells, stats) = (Bells::default(), Arc::new(Stats::default()));
        let mask = Mask::of(&config.secrets);
        let ship = LogShip::new(clock.clone(), stats.clone(), mask, bells.logship.clone());
        let node = Arc::new(Node::new(config.fence_after()));
        let store = Arc::new(Timed { rows: store, stats: stats.clone() });
        let config = Arc::new(config);
        let core = Core::new(store, registry, clock, outbound, config, node, stats, bells, ship);
        Engine { core: Arc::new(core) }
    }

    /// Counters that go on while it runs.
    pub fn stats(&self) -> Arc<Stats> {
        self.core.stats.clone()
    }

    /// Fires once this node has taken in the dags folder, or knows that another node does it.
    pub fn dags_loaded(&self) -> CancellationToken {
        self.core.dags_loaded.clone()
    }

    /// Works until `cancel`, then leaves in good order.
    pub async fn run(self, cancel: CancellationToken) -> Result<Report> {
        let timer = Timer::start(self.core.bells.clone()).await?;
        let report = serve(self.core, Reads::Files, cancel).await;
        timer.stop().await?;
        Ok(report)
    }
}

/// Where dags come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    Files,
    /// They are in the store already.
    #[cfg(test)]
    Nothing,
}

/// All loops of a node but the timer, until `cancel`.
pub(crate) async fn serve(core: Arc<Core>, reads: Reads, cancel: CancellationToken) -> Report {
    let frame = |cancel: &CancellationToken| Frame {
        clock: core.clock.clone(),
        stats: core.stats.clone(),
        cancel: cancel.clone(),
    };
    // Dropping this future must end what it started, too.
    let (intake, upkeep) = (CancellationToken::new(), CancellationToken::new());
    let _ends = (intake.clone().drop_guard(), upkeep.clone().drop_guard());
    let (taking_in, keeping_up) = (TaskTracker::new(), TaskTracker::new());
    start_upkeep(&core, &keeping_up, &frame(&upkeep));
    if core.config.scheduler && reads == Reads::Files {
        let core = core.clone();
        let bell = core.bells.dagbag.clone();
        supervise(&taking_in, &bell, &frame(&intake), move || DagBag::new(core.clone()));
    }
    start_intake(&core, &taking_in, &frame(&intake));
    cancel.cancelled().await;

    info!("stopping: nothing new is taken");
    intake.cancel();
    core.slots.close();
    within_step("the loops", ended(&taking_in)).await;
    let abandoned = core.drain().await;
    within_step("the rest of the logs", core.ship.flush_all()).await;
    // A heartbeat after the goodbye would find the node gone and begin anew.
    upkeep.cancel();
    within_step("heartbeats and log shipping", ended(&keeping_up)).await;
    give_back(&core).await;
    Report { abandoned, stats: core.stats.snapshot() }
}

/// What goes on until the very end.
fn start_upkeep(core: &Arc<Core>, tracker: &TaskTracker, frame: &Frame) {
    let bells = &core.bells;
    let of = |core: &Arc<Core>| core.clone();
    supervise(tracker, &bells.lease, frame, {
        let core = of(core);
        move || Lease::new(core.clone())
    });
    supervise(tracker, &bells.sweep, frame, {
        let core = of(core);
        move || Sweep(core.clone())
    });
    supervise(tracker, &bells.logship, frame, {
        let core = of(core);
        move || Shipping::new(core.ship.clone(), core.store.clone(), core.node.clone())
    });
    supervise(tracker, &bells.routes, frame, {
        let core = of(core);
        move || RouteKeeper::new(core.clone())
    });
}

/// What brings new work.
fn start_intake(core: &Arc<Core>, tracker: &TaskTracker, frame: &Frame) {
    let bells = &core.bells;
    let cancel = frame.cancel.clone();
    let of = |core: &Arc<Core>| core.clone();
    supervise(tracker, &Default::default(), frame, {
        let core = of(core);
        move || Listening::new(core.store.clone(), core.bells.clone(), cancel.clone())
    });
    if core.config.scheduler {
        supervise(tracker, &bells.planner, frame, {
            let core = of(core);
            move || Planner::new(core.clone())
        });
        supervise(tracker, &bells.driver, frame, {
            let core = of(core);
            move || Driver::new(core.clone())
        });
        supervise(tracker, &bells.reaper, frame, {
            let core = of(core);
            move || Reaper::new(core.clone())
        });
        supervise(tracker, &bells.triggers, frame, {
            let core = of(core);
            move || Triggers::new(core.clone())
        });
        supervise(tracker, &bells.deadlines, frame, {
            let core = of(core);
            move || Deadlines(core.clone())
        });
        supervise(tracker, &bells.notifier, frame, {
            let core = of(core);
            move || Notifier::new(core.clone())
        });
        if core.config.retention != Policy::never() {
            supervise(tracker, &Default::default(), frame, {
                let core = of(core);
                move || Retention::new(core.clone())
            });
        }
    }
    if core.config.worker {
        supervise(tracker, &bells.worker, frame, {
            let core = of(core);
            move || Worker(core.clone())
        });
    }
}

async fn ended(tracker: &TaskTracker) {
    tracker.close();
    tracker.wait().await;
}

async fn within_step(what: &str, step: impl Future<Output = ()>) {
    if tokio::time::timeout(STEP_MAX, step).await.is_err() {
        warn!(what, "did not end within {STEP_MAX:?}; going on without it");
    }
}

/// Others need not wait for leases to run out.
async fn give_back(core: &Core) {
    // A heartbeat that did not end in time must not take it back.
    core.node.leave();
    if !core.node.is_registered() {
        return;
    }
    let node = core.node.id();
    let routes = core.config.routes.read().expect("no holder of the routes panics").clone();
    let duties = [dagbag::DUTY, planner::DUTY, reaper::DUTY, retention::DUTY].map(str::to_owned);
    within_step("giving back the node", async {
        for duty in duties.into_iter().chain(routes.iter().map(|route| duty_of(route))) {
            if let Err(error) = core.store.release_duty(&duty, node).await {
                warn!(duty, %error, "could not be given back");
            }
        }
        match core.store.deregister_node(node, core.clock.now()).await {
            Ok(()) => info!(%node, "left"),
            Err(error) => warn!(%node, %error, "could not say goodbye; the others will notice"),
        }
    })
    .await;
}
