//! All that the nodes of a simulation share: the store, the true time, the executions, and what is wrong with the wire.

use super::dice::Dice;
use super::events::{Event, Events};
use super::kind::Script;
use super::machine::Machine;
use super::rules::{Key, Rules};
use super::store::Tables;
use crate::worker::Core;
use chrono::{DateTime, TimeDelta, Utc};
use model::TaskContext;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::notify::Ring;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const TTL: Duration = Duration::from_secs(30);
/// What a node that has woken up may still run, until its loops have looked at the clock.
const WAKING: Duration = Duration::from_secs(2);

pub(crate) struct World {
    inner: Mutex<Inner>,
    started: Instant,
    /// Nothing disturbs any more, and what hangs ends.
    pub calm: CancellationToken,
    /// A rule is broken: see `Inner::broken`.
    pub broken: CancellationToken,
}

pub(crate) struct Inner {
    pub tables: Tables,
    pub rules: Rules,
    pub events: Events,
    pub dice: Dice,
    pub faults: Faults,
    pub machines: Vec<Machine>,
    pub executions: BTreeMap<u64, Execution>,
    pub started: u64,
    /// Who registered under which id: the machine and its boot.
    pub nodes: BTreeMap<Uuid, (usize, u32)>,
    /// Since when nodes are dead.
    pub dead: BTreeMap<Uuid, Duration>,
    /// Until when the holder of the reaper's duty was disturbed.
    pub reaper: (Option<usize>, Duration),
    /// Boots that have said goodbye.
    pub goodbyes: BTreeSet<(usize, u32)>,
    /// Notices that have reached people.
    pub told: BTreeSet<i64>,
    pub broken: Option<String>,
}

/// How often what goes wrong; each seed has its own mix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// In a thousand calls: so many take very long.
    pub outliers: u32,
    /// In ten thousand calls: the node crashes in the middle of it.
    pub crashes: u32,
    pub longest: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub key: Key,
    pub attempt: i64,
    pub machine: usize,
    pub boot: u32,
    pub is_service: bool,
}

impl std::fmt::Display for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (run, task, map_index) = self.key;
        let Execution { attempt, machine, boot, .. } = self;
        write!(f, "attempt {attempt} (task {task} [{map_index}] of run {run}) on node {machine}, boot {boot}")
    }
}

pub(crate) fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_341_600, 0).expect("in range")
}

/// The clock of one node: as wrong as that of its machine when it was booted, and not quite as fast as it should be. Like the clock of
/// `app` it goes on evenly, whoever sets the machine's.
pub(crate) struct LocalClock {
    pub world: Arc<World>,
    pub skew: TimeDelta,
    /// In millionths.
    pub drift: i64,
}

impl model::Clock for LocalClock {
    fn now(&self) -> DateTime<Utc> {
        let drifted = self.world.elapsed().as_micros() as i64 * self.drift / 1_000_000;
        self.world.now() + self.skew + TimeDelta::microseconds(drifted)
    }
}

impl World {
    pub fn new(dice: Dice, tables: Tables, faults: Faults) -> Arc<World> {
        let inner = Inner {
            tables,
            rules: Rules::default(),
            events: Events::default(),
            dice,
            faults,
            machines: Vec::new(),
            executions: BTreeMap::new(),
            started: 0,
            nodes: BTreeMap::new(),
            dead: BTreeMap::new(),
            reaper: (None, Duration::ZERO),
            goodbyes: BTreeSet::new(),
            told: BTreeSet::new(),
            broken: None,
        };
        let (calm, broken) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(World { inner: Mutex::new(inner), started: Instant::now(), calm, broken })
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The true time, which is the store's.
    pub fn now(&self) -> DateTime<Utc> {
        epoch() + TimeDelta::from_std(self.elapsed()).expect("minutes")
    }

    pub fn below(&self, bound: usize) -> usize {
        self.lock().dice.below(bound)
    }

    /// One transaction, and the rules after it.
    pub fn transaction<T>(
        &self,
        machine: Option<usize>,
        what: &'static str,
        body: impl FnOnce(&mut Tables) -> store::Result<T>,
    ) -> store::Result<T> {
        let (at, now) = (self.elapsed(), self.now());
        let mut inner = self.lock();
        let ended = inner.tables.history.len();
        let answer = body(&mut inner.tables);
        let touched = std::mem::take(&mut inner.tables.touched);
        let rings = inner.tables.take_rings();
        let note = match &answer {
            Ok(_) => "",
            Err(store::Error::Stale { .. }) => "stale",
            Err(_) => "error",
        };
        if !note.is_empty() {
            inner.events.saw(note);
        }
        if inner.tables.history.len() > ended
            && what == "finish"
            && inner.tables.history[ended..].iter().any(|past| past.ending == "lost")
        {
            inner.events.saw("orphan given back");
        }
        let numbers = [
            touched.first().copied().unwrap_or(-1),
            inner.tables.last_lease,
            inner.tables.attempts.len() as i64,
        ];
        inner.events.push(Event { at, machine, what, note, numbers });
        if let Err(error @ store::Error::Inconsistent { .. }) = &answer {
            self.break_down(&mut inner, format!("{what}: {error}"));
        }
        let Inner { rules, tables, .. } = &mut *inner;
        let clears = matches!(what, "clear" | "backfill");
        let held = rules.after(tables, &touched, clears, now);
        let held = held.and_then(|()| inner.executions_are_alone(at));
        let held = held.and_then(|()| inner.dead_nodes_hold_nothing_for_long(at));
        if let Err(rule) = held {
            self.break_down(&mut inner, format!("after {what}: {rule}"));
        }
        inner.tell(&rings);
        answer
    }

    pub fn break_down(&self, inner: &mut Inner, rule: String) {
        if inner.broken.is_none() {
            inner.broken = Some(rule);
            self.broken.cancel();
        }
    }

    pub fn note(&self, machine: Option<usize>, what: &'static str, numbers: [i64; 3]) {
        let at = self.elapsed();
        self.lock().events.push(Event { at, machine, what, note: "", numbers });
    }

    /// An attempt begins to execute on the machine whose work is being polled.
    pub fn execution_starts(&self, ctx: &TaskContext, is_service: bool) -> (u64, Script) {
        let machine = super::realm::Realm::current().map_or(usize::MAX, |realm| realm.machine);
        let at = self.elapsed();
        let mut inner = self.lock();
        inner.started += 1;
        let number = inner.started;
        let boot = inner.machines[machine].boot;
        let key = (ctx.run, ctx.task, ctx.map_index);
        let execution = Execution { key, attempt: ctx.attempt_id, machine, boot, is_service };
        inner.executions.insert(number, execution);
        let numbers = [ctx.attempt_id, ctx.run, ctx.task as i64];
        inner.events.push(Event { at, machine: Some(machine), what: "executes", note: "", numbers });
        let held = inner.executions_are_alone(at).and_then(|()| inner.slots_hold(machine));
        if let Err(rule) = held {
            self.break_down(&mut inner, rule);
        }
        let calm = self.calm.is_cancelled();
        (number, script(&mut inner.dice, is_service, calm))
    }

    pub fn execution_said(&self, attempt: i64, word: &'static str) {
        self.lock().rules.said.insert(attempt, word);
    }

    pub fn execution_ends(&self, number: u64) {
        // The last executions are dropped with the runtime.
        if let Ok(mut inner) = self.inner.lock() {
            inner.executions.remove(&number);
        }
    }
}

fn script(dice: &mut Dice, is_service: bool, calm: bool) -> Script {
    if is_service {
        let breaks = (!calm && dice.permille(400)).then(|| dice.millis(100, 30_000));
        return Script::Serve { ready: dice.millis(0, 5_000), breaks };
    }
    if calm {
        return Script::Done(dice.millis(0, 500));
    }
    match dice.below(20) {
        0..9 => Script::Done(dice.millis(0, 3_000)),
        9..11 => Script::Done(dice.millis(3_000, 60_000)),
        11..14 => Script::Retry(dice.millis(0, 5_000)),
        14 => Script::Fail(dice.millis(0, 5_000)),
        15 => Script::Skip,
        16..18 => Script::Poke(dice.millis(500, 10_000)),
        18 => Script::Panic(dice.millis(0, 2_000)),
        _ => Script::Hang { stubborn: dice.permille(500) },
    }
}

impl Inner {
    /// No instance is executed twice at once by nodes that are awake.
    fn executions_are_alone(&self, at: Duration) -> Result<(), String> {
        let mut seen: BTreeMap<Key, &Execution> = BTreeMap::new();
        for execution in self.executions.values() {
            let machine = &self.machines[execution.machine];
            if !machine.is_awake(execution.boot, at, WAKING) {
                continue;
            }
            if let Some(other) = seen.insert(execution.key, execution) {
                return Err(format!("two live executions of one instance: {other} and {execution}"));
            }
            let fell = machine.core.as_ref().and_then(|core| fence_fell(core));
            if let Some(over) = fell.filter(|over| *over > WAKING) {
                return Err(format!("{execution} goes on {over:?} after the right of its node has ended"));
            }
        }
        Ok(())
    }

    fn slots_hold(&self, machine: usize) -> Result<(), String> {
        let core = self.machines[machine].core.as_ref().ok_or("an execution on a node that is not there")?;
        for (services, slots) in [(false, core.config.task_slots), (true, core.config.service_slots)] {
            let here = self.executions.values().filter(|execution| {
                execution.machine == machine
                    && execution.boot == self.machines[machine].boot
                    && execution.is_service == services
            });
            let count = here.count();
            if count > slots {
                return Err(format!("node {machine} executes {count} at once, it has {slots} slots"));
            }
        }
        Ok(())
    }

    /// Some time after a node has died, its attempts are given up by those that live and are not disturbed.
    fn dead_nodes_hold_nothing_for_long(&self, at: Duration) -> Result<(), String> {
        let Some(healthy) = self.machines.iter().filter_map(|machine| machine.healthy_since(at)).min() else {
            return Ok(());
        };
        let healthy = healthy.max(self.reaper.1);
        for attempt in self.tables.attempts.values() {
            let dead = attempt.node.and_then(|node| self.dead.get(&node));
            let Some(since) = dead else { continue };
            if at > healthy.max(*since) + 2 * TTL + Duration::from_secs(15) {
                return Err(format!("attempt {} is still held by a node dead since {since:?}", attempt.id));
            }
        }
        Ok(())
    }

    fn tell(&mut self, rings: &[Ring]) {
        for machine in &mut self.machines {
            for ring in rings {
                machine.hear(ring.clone());
            }
        }
    }

    /// A machine that is not itself until then.
    pub fn disturb(&mut self, machine: usize, until: Duration) {
        let disturbed = &mut self.machines[machine].disturbed_until;
        *disturbed = (*disturbed).max(until);
        if self.reaper.0 == Some(machine) {
            self.reaper.1 = self.reaper.1.max(until);
        }
    }
}

/// For how long the node has had no right to act any more.
fn fence_fell(core: &Core) -> Option<Duration> {
    let fence = core.node.fence_at()?;
    (core.clock.now() - fence).to_std().ok()
}
