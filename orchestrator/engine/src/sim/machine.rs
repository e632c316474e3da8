//! One machine of the simulation and the node on it, the real engine: booted, crashed, frozen, asked to leave.

use super::kind::{APPROVE, BRANCH, Fake, SERVICE, TASK};
use super::realm::{Realm, within};
use super::wire::Wire;
use super::world::{LocalClock, TTL, World};
use crate::bell::Bells;
use crate::config::EngineConfig;
use crate::logship::LogShip;
use crate::mask::Mask;
use crate::node::Node;
use crate::stats::Stats;
use crate::store_clock::StoreClock;
use crate::supervisor::{Reads, serve};
use crate::worker::Core;
use async_trait::async_trait;
use chrono::TimeDelta;
use model::notify::Notice;
use model::platform::Outbound;
use model::probe::Ask;
use model::{Registry, Task};
use std::sync::Arc;
use std::time::Duration;
use store::notify::Ring;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The timer under all loops, as `bell::Timer`.
const TIMER: Duration = Duration::from_secs(5);

pub(crate) struct Machine {
    /// Of the clock on its wall.
    pub skew: TimeDelta,
    /// Counts the nodes that ran here.
    pub boot: u32,
    pub realm: Option<Arc<Realm>>,
    pub core: Option<Arc<Core>>,
    pub leave: CancellationToken,
    pub slots: usize,
    pub schedules: bool,
    /// The wire to the store is cut until then.
    pub cut_until: Duration,
    pub slow_until: Duration,
    pub slowness: Duration,
    pub lossy_until: Duration,
    pub losses: u32,
    pub thawed_at: Duration,
    pub booted_at: Duration,
    pub disturbed_until: Duration,
    pub ear: Option<mpsc::Sender<Ring>>,
}

impl Machine {
    pub fn new(slots: usize, schedules: bool) -> Self {
        let zero = Duration::ZERO;
        Machine {
            skew: TimeDelta::zero(),
            boot: 0,
            realm: None,
            core: None,
            leave: CancellationToken::new(),
            slots,
            schedules,
            cut_until: zero,
            slow_until: zero,
            slowness: zero,
            lossy_until: zero,
            losses: 0,
            thawed_at: zero,
            booted_at: zero,
            disturbed_until: zero,
            ear: None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.realm.is_some()
    }

    pub fn is_frozen(&self) -> bool {
        self.realm.as_ref().is_some_and(|realm| realm.is_frozen())
    }

    /// Whether what this boot of it started runs, and has run for a while since the machine was frozen.
    pub fn is_awake(&self, boot: u32, at: Duration, waking: Duration) -> bool {
        self.boot == boot && self.is_up() && !self.is_frozen() && at > self.thawed_at + waking
    }

    /// Since when it could have done a reaper's work.
    pub fn healthy_since(&self, at: Duration) -> Option<Duration> {
        let since = self.booted_at.max(self.disturbed_until);
        let healthy = self.is_up() && self.schedules && !self.is_frozen() && since <= at;
        healthy.then_some(since)
    }

    pub fn hear(&mut self, ring: Ring) {
        if let Some(ear) = &self.ear {
            // A full ear has enough to do.
            ear.try_send(ring).ok();
        }
    }
}

/// Starts a node on a machine that has none.
pub(crate) fn boot(world: &Arc<World>, machine: usize) {
    let realm = Realm::new(machine);
    let leave = CancellationToken::new();
    let number = {
        let at = world.elapsed();
        let mut inner = world.lock();
        let machine = &mut inner.machines[machine];
        machine.boot += 1;
        machine.realm = Some(realm.clone());
        machine.leave = leave.clone();
        (machine.booted_at, machine.thawed_at) = (at, at);
        machine.boot
    };
    world.note(Some(machine), "boots", [i64::from(number), 0, 0]);
    let node = run(world.clone(), machine, number, leave);
    realm.enter(|| tokio::spawn(within(node)));
}

async fn run(world: Arc<World>, machine: usize, boot: u32, leave: CancellationToken) {
    let core = prepared(&world, machine, boot).await;
    world.lock().machines[machine].core = Some(core.clone());
    let bells = core.bells.clone();
    let timer = AbortOnDropHandle::new(tokio::spawn(within(async move {
        loop {
            tokio::time::sleep(TIMER).await;
            bells.ring_all();
        }
    })));
    serve(core, Reads::Nothing, leave).await;
    drop(timer);
    ended(&world, machine, boot, "left");
}

async fn prepared(world: &Arc<World>, machine: usize, boot: u32) -> Arc<Core> {
    let (skew, drift, slots, schedules) = {
        let mut inner = world.lock();
        let drift = inner.dice.between(-200, 200);
        let machine = &inner.machines[machine];
        (machine.skew, drift, machine.slots, machine.schedules)
    };
    let wire = Arc::new(Wire { world: world.clone(), machine, boot });
    let clock = loop {
        let local = Arc::new(LocalClock { world: world.clone(), skew, drift });
        match StoreClock::start(local, wire.clone()).await {
            Ok(clock) => break clock,
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    };
    let config = EngineConfig {
        task_slots: slots,
        service_slots: 2,
        lease_ttl: TTL,
        scheduler: schedules,
        drain_grace: Duration::from_secs(10),
        stop_grace: Duration::from_secs(5),
        ..EngineConfig::new(format!("n{machine}"), "/nonexistent")
    };
    let (bells, stats) = (Bells::default(), Arc::new(Stats::default()));
    let ship = LogShip::new(clock.clone(), stats.clone(), Mask::of(&config.secrets), bells.logship.clone());
    let node = Arc::new(Node::new(config.fence_after()));
    let kind = |name| Arc::new(Fake { world: world.clone(), name }) as Arc<dyn Task>;
    let registry = Registry::new([TASK, SERVICE, BRANCH, APPROVE].map(kind));
    let config = Arc::new(config);
    let people = Arc::new(People { world: world.clone() });
    Arc::new(Core::new(wire, registry, clock, people, config, node, stats, bells, ship))
}

/// Who is told about deadlines and failures. While there is trouble, not all that is sent arrives.
struct People {
    world: Arc<World>,
}

#[async_trait]
impl Outbound for People {
    async fn send(&self, notice: &Notice) -> Result<(), String> {
        let (arrives, pause) = {
            let mut inner = self.world.lock();
            let arrives = self.world.calm.is_cancelled() || inner.dice.permille(700);
            if arrives {
                inner.told.insert(notice.id);
            }
            (arrives, inner.dice.millis(1, 3_000))
        };
        tokio::time::sleep(pause).await;
        if arrives { Ok(()) } else { Err("nobody is there".to_owned()) }
    }

    async fn probe(&self, _ask: &Ask, _timeout: Duration) -> Result<(), String> {
        Err("nobody is there".to_owned())
    }
}

/// The node is gone: `kill -9`, or it has left.
pub(crate) fn ended(world: &World, machine: usize, boot: u32, how: &'static str) {
    let at = world.elapsed();
    world.note(Some(machine), how, [i64::from(boot), 0, 0]);
    let (realm, core) = {
        let mut inner = world.lock();
        if inner.machines[machine].boot != boot {
            return;
        }
        let here = inner.nodes.iter().filter(|(_, of)| **of == (machine, boot)).map(|(node, _)| *node);
        let here: Vec<_> = here.collect();
        for node in here {
            inner.dead.entry(node).or_insert(at);
        }
        inner.disturb(machine, at);
        let machine = &mut inner.machines[machine];
        machine.ear = None;
        (machine.realm.take(), machine.core.take())
    };
    if let Some(realm) = realm {
        realm.kill();
    }
    drop(core);
}

/// Nodes and the world hold each other: lets go of them.
pub(crate) fn end_all(world: &World) {
    let machines = std::mem::take(&mut world.lock().machines);
    drop(machines);
}
