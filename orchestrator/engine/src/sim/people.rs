//! What people do: they trigger, cancel, clear, pause, fill in what was missed, answer questions and tell of assets.

use super::dags;
use super::dice::Dice;
use super::store::{BackfillState, Tables, Wish};
use super::world::{World, epoch};
use chrono::{DateTime, TimeDelta, Utc};
use model::{RunState, TaskState};
use serde_json::json;
use store::backfills::Reprocess;
use store::runs::{NewRun, RunType};

pub(super) fn do_something(world: &World) {
    let kind = world.below(15);
    match kind {
        0..4 => trigger(world),
        4 => cancel(world),
        5 => clear(world),
        6 => pause(world),
        7..10 => answer(world),
        10 => tell_asset(world),
        11..13 => fill_in(world),
        13 => pause_backfill(world),
        _ => cancel_backfill(world),
    }
}

fn trigger(world: &World) {
    let now = world.now();
    let run = {
        let mut inner = world.lock();
        let inner = &mut *inner;
        let dag_id = some(&mut inner.dice, inner.tables.dags.keys().cloned());
        let Some(dag_id) = dag_id else { return };
        let number = inner.tables.runs.len();
        NewRun {
            run_id: format!("manual__{number}"),
            version_id: inner.tables.dags[&dag_id].version_id,
            dag_id,
            run_type: RunType::Manual,
            window: None,
            logical_date: None,
            run_after: now,
            params: json!({}),
            requested_by: "people".to_owned(),
            note: None,
        }
    };
    world.transaction(None, "trigger", |tables| tables.trigger(run, now).map(|_| ())).ok();
}

fn some<T>(dice: &mut Dice, from: impl Iterator<Item = T>) -> Option<T> {
    let mut from: Vec<T> = from.collect();
    if from.is_empty() { None } else { Some(from.swap_remove(dice.below(from.len()))) }
}

fn cancel(world: &World) {
    let now = world.now();
    let run = {
        let mut inner = world.lock();
        let inner = &mut *inner;
        let open = inner.tables.runs.values().filter(|run| !run.state.is_final()).map(|run| run.id);
        some(&mut inner.dice, open)
    };
    let Some(run) = run else { return };
    let body = |tables: &mut Tables| {
        tables.request_cancel(run, now);
        Ok(())
    };
    world.transaction(None, "cancel", body).ok();
}

fn clear(world: &World) {
    let now: DateTime<Utc> = world.now();
    let chosen = {
        let mut inner = world.lock();
        let inner = &mut *inner;
        let begun = inner.tables.runs.values().filter(|run| !run.instances.is_empty());
        let begun: Vec<(i64, usize)> = begun.map(|run| (run.id, run.dag.tasks.len())).collect();
        let run = some(&mut inner.dice, begun.into_iter());
        run.map(|(run, tasks)| (run, inner.dice.below(tasks)))
    };
    let Some((run, task)) = chosen else { return };
    world.transaction(None, "clear", |tables| tables.clear(run, task, now)).ok();
}

fn pause(world: &World) {
    let chosen = {
        let mut inner = world.lock();
        let inner = &mut *inner;
        let dags: Vec<(String, bool)> =
            inner.tables.dags.iter().map(|(dag_id, row)| (dag_id.clone(), row.paused)).collect();
        some(&mut inner.dice, dags.into_iter())
    };
    let Some((dag_id, paused)) = chosen else { return };
    let body = |tables: &mut Tables| {
        tables.set_paused(&dag_id, !paused);
        Ok(())
    };
    world.transaction(None, "pause", body).ok();
}

/// One person answers one question, and now and then a second one does so at the same time.
fn answer(world: &World) {
    let now = world.now();
    let chosen = {
        let mut inner = world.lock();
        let inner = &mut *inner;
        let asked = some(&mut inner.dice, inner.tables.approvals.keys().copied());
        asked.map(|key| (key, 1 + usize::from(inner.dice.permille(300))))
    };
    let Some((key, people)) = chosen else { return };
    for person in 0..people {
        let approved = world.lock().dice.permille(700);
        decide(world, key, approved, ["ann", "bob"][person], now);
    }
}

fn decide(world: &World, key: (i64, usize, i32), approved: bool, who: &str, now: DateTime<Utc>) {
    world.transaction(None, "answer", |tables| tables.decide_approval(key, approved, who, now)).ok();
}

/// In the end nobody waits for people.
pub(super) fn answer_all(world: &World) {
    let now = world.now();
    let open: Vec<(i64, usize, i32)> = {
        let inner = world.lock();
        let open = inner.tables.approvals.iter().filter(|(_, row)| row.decided.is_none());
        open.map(|(key, _)| *key).collect()
    };
    open.into_iter().for_each(|key| decide(world, key, true, "ann", now));
}

fn tell_asset(world: &World) {
    let asset = {
        let mut inner = world.lock();
        let count = inner.tables.dags.len();
        dags::asset(inner.dice.below(count))
    };
    let body = |tables: &mut Tables| {
        tables.wrote(&asset, None);
        Ok(())
    };
    world.transaction(None, "tell asset", body).ok();
}

/// A backfill of some minutes.
fn fill_in(world: &World) {
    let now = world.now();
    let wish = {
        let mut inner = world.lock();
        let inner = &mut *inner;
        let Some(dag_id) = some(&mut inner.dice, inner.tables.dags.keys().cloned()) else { return };
        let dice = &mut inner.dice;
        let from = epoch() + TimeDelta::seconds(dice.between(-200, 150));
        Wish {
            dag_id,
            from,
            to: from + TimeDelta::seconds(dice.between(30, 300)),
            reprocess: *dice.pick(&[Reprocess::None, Reprocess::Failed, Reprocess::Completed]),
            backwards: dice.permille(300),
            max_active_runs: 1 + dice.below(2) as u32,
        }
    };
    world.transaction(None, "backfill", |tables| tables.create_backfill(&wish, now)).ok();
}

fn some_backfill(world: &World) -> Option<(i64, BackfillState)> {
    let mut inner = world.lock();
    let inner = &mut *inner;
    let open = inner.tables.backfills.iter().filter(|(_, row)| !row.state.has_ended());
    some(&mut inner.dice, open.map(|(id, row)| (*id, row.state)))
}

fn pause_backfill(world: &World) {
    let Some((id, state)) = some_backfill(world) else { return };
    let paused = state == BackfillState::Running;
    world.transaction(None, "pause backfill", |tables| tables.pause_backfill(id, paused)).ok();
}

fn cancel_backfill(world: &World) {
    let now = world.now();
    let Some((id, _)) = some_backfill(world).filter(|_| world.below(2) == 0) else { return };
    world.transaction(None, "cancel backfill", |tables| tables.cancel_backfill(id, now)).ok();
}

pub(super) fn unpause_backfills(world: &World) {
    let body = |tables: &mut Tables| {
        let paused = tables.backfills.iter().filter(|(_, row)| row.state == BackfillState::Paused);
        let paused: Vec<i64> = paused.map(|(id, _)| *id).collect();
        paused.into_iter().try_for_each(|id| tables.pause_backfill(id, false))
    };
    world.transaction(None, "pause backfill", body).ok();
}

/// What depends on its past waits for ever behind a run that failed, or that stays in the queue: its dag is paused, or the waiting run has
/// the place that it needs (it was cleared meanwhile). That is said in the docs, and people end it.
pub(super) fn give_up_what_waits_for_its_past(world: &World) {
    let now = world.now();
    let stuck: Vec<i64> = {
        let inner = world.lock();
        let tables = &inner.tables;
        let waits = |run: i64| {
            let row = tables.run_row(run);
            let Some(before) = tables.before(run) else { return false };
            let stays = before.state == RunState::Queued
                && (tables.dags[&row.dag_id].paused
                    || before.backfill.is_some()
                    || tables.is_full(&row.dag_id));
            let held = row.instances.iter().any(|(key, instance)| {
                let past = before.instances.get(key).or_else(|| before.instances.get(&(key.0, -1)));
                let done = past.map(|instance| instance.state.0);
                instance.state.0 == TaskState::None
                    && row.dag.tasks[key.0].depends_on_past
                    && !matches!(done, Some(TaskState::Success | TaskState::Skipped))
            });
            held && (before.state.is_final() || stays)
        };
        let running = tables.runs.values().filter(|run| run.state == RunState::Running);
        running.map(|run| run.id).filter(|run| waits(*run)).collect()
    };
    for run in stuck {
        let body = |tables: &mut Tables| {
            tables.request_cancel(run, now);
            Ok(())
        };
        world.transaction(None, "cancel", body).ok();
    }
}
