//! One simulation from its seed: a small world, minutes of trouble, then calm, in which everything must come to its end.

use super::dags;
use super::dice::Dice;
use super::events::Counts;
use super::machine::{self, Machine};
use super::people;
use super::store::{BackfillState, Plant, RunRow, Tables};
use super::world::{Faults, World, epoch};
use chrono::TimeDelta;
use model::RunState;
use model::dag::Schedule;
use model::notify::Event;
use std::sync::Arc;
use std::time::Duration;
use store::notify::Ring;
use store::runs::RunType;

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(200);
/// All runs end so soon after nothing goes wrong any more.
const CALM_MAX: Duration = Duration::from_secs(400);
const SKEW_MAX: i64 = 300_000;

/// What a simulation came to.
pub(crate) struct Told {
    pub broken: Option<String>,
    pub story: String,
    pub events: u64,
    pub hash: u64,
    pub executions: u64,
    pub runs: usize,
    pub counts: Counts,
}

pub(crate) fn play(seed: u64, plant: Option<Plant>) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let world = runtime.block_on(async {
        let mut dice = Dice::of(seed);
        let tables = tables(&mut dice, plant);
        let faults = faults(&mut dice);
        let world = World::new(dice, tables, faults);
        scenario(&world).await;
        world
    });
    machine::end_all(&world);
    drop(runtime);
    let inner = world.lock();
    Told {
        broken: inner.broken.clone(),
        story: inner.events.story(),
        events: inner.events.count,
        hash: inner.events.hash,
        executions: inner.started,
        runs: inner.tables.runs.len(),
        counts: inner.counts(),
    }
}

fn tables(dice: &mut Dice, plant: Option<Plant>) -> Tables {
    let mut tables = Tables { plant, ..Tables::default() };
    let until = epoch() + TimeDelta::from_std(TROUBLE).expect("minutes");
    for number in 0..1 + dice.below(3) {
        let dag = dags::dag(dice, number, epoch(), until);
        tables.register(dag, epoch());
    }
    tables.pools.insert(dags::POOL.to_owned(), 2 + dice.below(3) as u32);
    tables
}

fn faults(dice: &mut Dice) -> Faults {
    Faults {
        outliers: *dice.pick(&[0, 2, 10]),
        crashes: *dice.pick(&[0, 0, 4, 15]),
        longest: Duration::from_secs(*dice.pick(&[2, 20, 70])),
    }
}

async fn scenario(world: &Arc<World>) {
    let count = {
        let mut inner = world.lock();
        let count = 2 + inner.dice.below(2);
        for number in 0..count {
            let slots = 1 + inner.dice.below(4);
            // Two nodes schedule, so that one is there when the other is not.
            let schedules = number < 2 || inner.dice.permille(500);
            let mut machine = Machine::new(slots, schedules);
            let skew = inner.dice.between(-SKEW_MAX, SKEW_MAX);
            machine.skew = TimeDelta::milliseconds(skew);
            inner.machines.push(machine);
        }
        count
    };
    (0..count).for_each(|machine| machine::boot(world, machine));
    while world.elapsed() < TROUBLE && !world.broken.is_cancelled() {
        let pause = world.lock().dice.millis(200, 6_000);
        rest(world, pause).await;
        something_happens(world);
    }
    calm(world);
    let deadline = world.elapsed() + CALM_MAX;
    while !world.broken.is_cancelled() {
        rest(world, Duration::from_secs(2)).await;
        // Also those that were about to leave.
        (0..count).for_each(|machine| restart(world, machine));
        people::answer_all(world);
        people::give_up_what_waits_for_its_past(world);
        let open = open_runs(world);
        if open.is_empty() {
            break;
        }
        if world.elapsed() > deadline {
            let mut inner = world.lock();
            let shown = inner.shown(open[0]);
            let rule = format!("runs {open:?} have not ended {CALM_MAX:?} after the last trouble; {shown}");
            return world.break_down(&mut inner, rule);
        }
    }
    // A round of the planner.
    rest(world, Duration::from_secs(70)).await;
    let due = world.now() - TimeDelta::seconds(65);
    let mut inner = world.lock();
    let held =
        inner.rules.no_tick_is_lost(&inner.tables, due).and_then(|()| inner.what_was_sent_has_arrived());
    if let Err(rule) = held {
        world.break_down(&mut inner, rule);
    }
}

/// Time goes by, unless a rule is broken.
async fn rest(world: &World, time: Duration) {
    tokio::select! {
        biased;
        () = world.broken.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// Runs that should end: a paused dag keeps what waits.
fn open_runs(world: &World) -> Vec<i64> {
    let inner = world.lock();
    let open = inner.tables.runs.values().filter(|run| {
        let waits = run.state == RunState::Queued && inner.tables.dags[&run.dag_id].paused;
        !run.state.is_final() && !waits
    });
    open.map(|run| run.id).collect()
}

fn something_happens(world: &Arc<World>) {
    let (kind, machine) = {
        let mut inner = world.lock();
        let count = inner.machines.len();
        (inner.dice.below(32), inner.dice.below(count))
    };
    match kind {
        0..2 => crash(world, machine),
        2 => leave(world, machine),
        3..6 => freeze(world, machine),
        6..9 => cut(world, machine),
        9 => go_deaf(world, machine),
        10..13 => set_clock(world, machine),
        13 => slow_down(world, machine),
        14..16 => lose(world, machine),
        16..31 => people::do_something(world),
        _ => restart(world, machine),
    }
}

fn until(world: &World, longest: u64) -> Duration {
    let time = world.lock().dice.millis(500, longest);
    world.elapsed() + time
}

fn crash(world: &Arc<World>, machine: usize) {
    let (boot, up) = {
        let inner = world.lock();
        (inner.machines[machine].boot, inner.machines[machine].is_up())
    };
    if up {
        machine::ended(world, machine, boot, "crashes");
    }
    come_back(world, machine, 40_000);
}

/// Whatever ended it, a node comes back after a while.
fn come_back(world: &Arc<World>, machine: usize, longest: u64) {
    let pause = world.lock().dice.millis(100, longest);
    let world = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        restart(&world, machine);
    });
}

fn restart(world: &Arc<World>, machine: usize) {
    if !world.lock().machines.get(machine).is_none_or(Machine::is_up) {
        machine::boot(world, machine);
    }
}

fn leave(world: &Arc<World>, machine: usize) {
    world.note(Some(machine), "is asked to leave", [0; 3]);
    let until = world.elapsed() + Duration::from_secs(40);
    let mut inner = world.lock();
    inner.disturb(machine, until);
    inner.machines[machine].leave.cancel();
    drop(inner);
    come_back(world, machine, 60_000);
}

fn freeze(world: &Arc<World>, machine: usize) {
    let until = until(world, 70_000);
    let mut inner = world.lock();
    let Some(realm) = inner.machines[machine].realm.clone().filter(|realm| !realm.is_frozen()) else {
        return;
    };
    inner.disturb(machine, until + Duration::from_secs(5));
    drop(inner);
    world.note(Some(machine), "freezes", [until.as_millis() as i64, 0, 0]);
    realm.freeze();
    let world = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(until.saturating_sub(world.elapsed())).await;
        thaw(&world, machine);
    });
}

fn thaw(world: &World, machine: usize) {
    let at = world.elapsed();
    let realm = {
        let mut inner = world.lock();
        let Some(machine) = inner.machines.get_mut(machine) else { return };
        machine.thawed_at = at;
        machine.realm.clone()
    };
    if let Some(realm) = realm.filter(|realm| realm.is_frozen()) {
        world.note(Some(machine), "thaws", [0; 3]);
        realm.thaw();
    }
}

fn cut(world: &Arc<World>, machine: usize) {
    let until = until(world, 70_000);
    world.note(Some(machine), "is cut off", [until.as_millis() as i64, 0, 0]);
    let mut inner = world.lock();
    inner.disturb(machine, until + Duration::from_secs(15));
    inner.machines[machine].cut_until = until;
    drop(inner);
    deaf_until(world, machine, until);
}

fn go_deaf(world: &Arc<World>, machine: usize) {
    let until = until(world, 60_000);
    deaf_until(world, machine, until);
}

/// What is rung is lost; once it hears again it knows that it has missed something.
fn deaf_until(world: &Arc<World>, machine: usize, until: Duration) {
    world.note(Some(machine), "is deaf", [until.as_millis() as i64, 0, 0]);
    let Some(ear) = world.lock().machines[machine].ear.take() else { return };
    let world = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(until.saturating_sub(world.elapsed())).await;
        let mut inner = world.lock();
        let Some(machine) = inner.machines.get_mut(machine) else { return };
        if machine.ear.is_none() && !ear.is_closed() {
            machine.ear = Some(ear);
            machine.hear(Ring::Reconnected);
        }
    });
}

fn set_clock(world: &World, machine: usize) {
    let mut inner = world.lock();
    let skew = inner.dice.between(-SKEW_MAX, SKEW_MAX);
    inner.machines[machine].skew = TimeDelta::milliseconds(skew);
    drop(inner);
    world.note(Some(machine), "sets its clock", [skew, 0, 0]);
}

fn slow_down(world: &World, machine: usize) {
    let until = until(world, 60_000);
    world.note(Some(machine), "is slow", [until.as_millis() as i64, 0, 0]);
    let mut inner = world.lock();
    inner.disturb(machine, until + Duration::from_secs(15));
    let slowness = inner.dice.millis(50, 6_000);
    let machine = &mut inner.machines[machine];
    (machine.slow_until, machine.slowness) = (until, slowness);
}

fn lose(world: &World, machine: usize) {
    let until = until(world, 60_000);
    world.note(Some(machine), "loses calls", [until.as_millis() as i64, 0, 0]);
    let mut inner = world.lock();
    inner.disturb(machine, until + Duration::from_secs(15));
    let losses = *inner.dice.pick(&[50, 200, 500]);
    let machine = &mut inner.machines[machine];
    (machine.lossy_until, machine.losses) = (until, losses);
}

/// All faults end: nodes come back, wires heal. Schedules without an end are paused; clocks stay wrong.
fn calm(world: &Arc<World>) {
    world.note(None, "calm", [0; 3]);
    let at = world.elapsed();
    let count = {
        let mut inner = world.lock();
        for machine in &mut inner.machines {
            (machine.cut_until, machine.slow_until, machine.lossy_until) = (at, at, at);
        }
        inner.machines.len()
    };
    world.calm.cancel();
    for machine in 0..count {
        thaw(world, machine);
        restart(world, machine);
    }
    let body = |tables: &mut Tables| {
        let dags: Vec<String> = tables.dags.keys().cloned().collect();
        for dag_id in dags {
            let schedule = &tables.newest(&dag_id).schedule;
            let endless = matches!(schedule, Schedule::Every { .. } | Schedule::Continuous);
            tables.set_paused(&dag_id, endless);
        }
        Ok(())
    };
    world.transaction(None, "pause", body).ok();
    people::unpause_backfills(world);
}

impl super::world::Inner {
    fn what_was_sent_has_arrived(&self) -> Result<(), String> {
        match self.tables.notices.iter().find(|(id, row)| row.is_sent && !self.told.contains(id)) {
            Some((id, _)) => Err(format!("notice {id} counts as sent, but nobody has it")),
            None => Ok(()),
        }
    }

    /// What happened, and how attempts, tasks and runs ended.
    fn counts(&self) -> Counts {
        let mut counts = self.events.counts.clone();
        let mut saw = |what: &'static str| *counts.entry(what).or_default() += 1;
        self.tables.history.iter().for_each(|past| saw(past.ending));
        for run in self.tables.runs.values() {
            saw(match run.state {
                RunState::Success => "run succeeded",
                RunState::Failed => "run failed",
                RunState::Cancelled => "run cancelled",
                RunState::Queued | RunState::Running => "run open",
            });
            run.retries
                .keys()
                .for_each(|id| saw(if id.is_empty() { "run retried" } else { "group retried" }));
            run.items.keys().for_each(|_| saw("expanded"));
        }
        self.tables.ticks.iter().filter(|tick| !tick.ran).for_each(|_| saw("tick skipped"));
        let assets = self.tables.runs.values().filter(|run| run.run_type == RunType::AssetTriggered);
        assets.for_each(|_| saw("run by assets"));
        self.tables.backfills.values().for_each(|row| match row.state {
            BackfillState::Completed => saw("backfill completed"),
            BackfillState::Cancelled => saw("backfill cancelled"),
            BackfillState::Running | BackfillState::Paused => {}
        });
        let runs_again = |run: &&RunRow| run.run_type == RunType::Backfill;
        self.tables.runs.values().filter(runs_again).for_each(|_| saw("run of a backfill"));
        let answers = self.tables.approvals.values().filter_map(|row| row.decided.as_ref());
        answers.for_each(|(approved, _)| saw(if *approved { "approved" } else { "rejected" }));
        self.tables.notices.values().for_each(|row| {
            saw(if row.event == Event::Deadline { "deadline missed" } else { "failure told" });
            if row.is_sent {
                saw("notice sent");
            }
        });
        counts.insert("stale end", self.tables.stale_ends);
        counts
    }

    /// A run, for people.
    fn shown(&self, run: i64) -> String {
        let row = self.tables.run_row(run);
        let instances: Vec<String> = row
            .instances
            .iter()
            .map(|(key, instance)| {
                let def = &row.dag.tasks[key.0];
                let (state, at, attempt) = (instance.state.0, instance.next_at, instance.attempt);
                format!("{key:?} {} needs {:?}: {state} {at:?} {attempt:?}", def.trigger_rule, def.needs)
            })
            .collect();
        let live: Vec<_> = self.tables.attempts.values().collect();
        let (state, wake_at, dag) = (row.state, row.wake_at, &row.dag_id);
        format!(
            "run {run} of {dag} is {state}, wakes at {wake_at:?}, retries {:?}: {instances:#?}, live are {live:#?}, before it {:#?}",
            row.retries,
            self.tables.before(run).map(|before| (before.id, before.state, &before.instances)),
        )
    }
}
