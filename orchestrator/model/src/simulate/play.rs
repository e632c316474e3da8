//! The clock of a played run: decide, let happen what comes next, decide again.

use super::attempt::{End, Played};
use super::case::Case;
use super::story::{Event, Seen, Story, name, span};
use crate::dag::Dag;
use crate::decide::{Command, RunSnapshot, TaskSnapshot, decide, retried};
use crate::ending::{self, Ending, History};
use crate::for_each;
use crate::registry::Registry;
use crate::state::{RunState, TaskState};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// Task and map index.
pub(super) type Key = (usize, i32);

/// A run that has not ended after so long, or so many events, goes on.
const HORIZON: TimeDelta = TimeDelta::days(366);
const EVENTS_MAX: usize = 1_000_000;
/// Decisions at one instant.
const ROUNDS_MAX: usize = 100_000;
/// Delays are then exactly as the file says, without jitter: `RetryPolicy::delay_after` takes nothing away for this seed.
const NO_JITTER: u64 = 0x9E37_79B9_7F4A_7C15u64.wrapping_neg();

pub(super) struct Play<'a> {
    pub dag: &'a Dag,
    pub case: &'a Case,
    pub registry: &'a Registry,
    pub run: RunSnapshot<'a>,
    pub now: DateTime<Utc>,
    pub instances: BTreeMap<Key, Instance>,
    agenda: BinaryHeap<Reverse<Entry>>,
    /// Counts tries and entries, so that each has a number of its own.
    numbers: u64,
    events: Vec<Event>,
}

pub(super) struct Instance {
    pub seen: Seen,
    pub item: Option<Value>,
    pub outputs: Option<Value>,
    played: Played,
    failures: u32,
    losses: u32,
    /// When tries of a service began, lost ones not counted.
    starts: Vec<DateTime<Utc>>,
    /// The try that is running; 0 for none.
    attempt: u64,
    end: Option<End>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: DateTime<Utc>,
    number: u64,
    what: Happening,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Cancel,
    Ready { key: Key, attempt: u64 },
    End { key: Key, attempt: u64 },
}

/// Plays the case to its end. The kinds say what follows from their `with:` alone; without them the case must.
pub fn simulate(dag: &Dag, case: &Case, registry: &Registry) -> Story {
    let mut play = Play {
        dag,
        case,
        registry,
        run: RunSnapshot { seed: NO_JITTER, ..RunSnapshot::begun(dag) },
        now: case.at,
        instances: BTreeMap::new(),
        agenda: BinaryHeap::new(),
        numbers: 0,
        events: Vec::new(),
    };
    for at in 0..play.run.tasks.len() {
        let (task, map_index) = (play.run.tasks[at].task, play.run.tasks[at].map_index);
        let items = dag.tasks[task].items();
        let item = usize::try_from(map_index).ok().and_then(|index| items?.get(index).cloned());
        play.instances.insert((task, map_index), Instance::new((task, map_index), 0, item));
        play.run.tasks[at].held =
            dag.tasks[task].depends_on_past && case.script(dag, task, map_index).held.unwrap_or(false);
    }
    if let Some(after) = case.cancel_after {
        play.schedule(after, Happening::Cancel);
    }
    play.play()
}

impl Instance {
    fn new((task, map_index): Key, tries: i32, item: Option<Value>) -> Self {
        Instance {
            seen: Seen::new(task, map_index, tries),
            item,
            outputs: None,
            played: Played::default(),
            failures: 0,
            losses: 0,
            starts: Vec::new(),
            attempt: 0,
            end: None,
        }
    }
}

impl Play<'_> {
    fn play(mut self) -> Story {
        self.tell_run(format!("begins, {}", self.about()));
        for _ in 0..EVENTS_MAX {
            let Some(wake_at) = self.decide_until_still() else { break };
            let next = self.agenda.peek().map(|Reverse(entry)| entry.at);
            let Some(next) = next.into_iter().chain(wake_at).min() else { break };
            if next > self.case.at + HORIZON {
                break;
            }
            self.now = next;
            if self.agenda.peek().is_some_and(|Reverse(entry)| entry.at <= next)
                && let Some(Reverse(entry)) = self.agenda.pop()
            {
                self.happen(entry.what);
            }
        }
        if self.run.state == RunState::Running {
            let why = if self.run.tasks.iter().any(|instance| instance.held) {
                "waits for the run before"
            } else {
                "goes on"
            };
            self.tell_run(why.to_owned());
        }
        let mut instances: Vec<Seen> = Vec::with_capacity(self.instances.len());
        for (key, instance) in self.instances {
            let snapshot = self.run.tasks.iter().find(|i| (i.task, i.map_index) == key);
            let state = snapshot.map_or(TaskState::None, |snapshot| snapshot.state);
            instances.push(Seen { state, ..instance.seen });
        }
        Story { run: self.run.state, began: self.case.at, ended: self.now, instances, events: self.events }
    }

    fn about(&self) -> String {
        match self.case.window {
            Some(window) => {
                format!("window {} .. {}", window.start.format("%FT%TZ"), window.end.format("%FT%TZ"))
            }
            None => format!("tick {}", self.case.at.format("%FT%TZ")),
        }
    }

    /// When to look again if nothing happens before; `None`: the run has ended.
    fn decide_until_still(&mut self) -> Option<Option<DateTime<Utc>>> {
        let mut wake_at = None;
        for _ in 0..ROUNDS_MAX {
            let commands = decide(&self.run, self.now);
            wake_at = None;
            let mut moved = false;
            for command in commands {
                match command {
                    Command::WakeAt { at } => wake_at = Some(at),
                    Command::FinishRun { state } => {
                        self.run.state = state;
                        self.tell_run(format!("ends: {state}"));
                        return None;
                    }
                    other => {
                        moved = true;
                        self.apply(other);
                    }
                }
            }
            if !moved {
                break;
            }
        }
        Some(wake_at)
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Queue { task, map_index } => self.begin((task, map_index)),
            Command::Settle { task, map_index, state, reason } => {
                self.settle((task, map_index), state, reason)
            }
            Command::Stop { task, map_index, reason } => self.stop((task, map_index), &reason),
            Command::Expand { task } => self.expand(task),
            Command::Retry { group, used, until, reset, late } => {
                let who = group.as_deref().map_or("the run".to_owned(), |group| format!("group '{group}'"));
                self.tell_run(format!("{who} is tried again in {}, retry {used}", span(until - self.now)));
                self.run.retries = retried(&self.run.retries, group.as_deref(), used, until);
                reset.into_iter().for_each(|key| self.reset(key));
                late.into_iter().for_each(|task| self.collapse(task));
            }
            Command::FinishRun { .. } | Command::WakeAt { .. } => {}
        }
    }

    fn begin(&mut self, key: Key) {
        let fresh = self.snapshot(key, |snapshot| {
            let fresh = snapshot.state != TaskState::UpForReschedule;
            snapshot.state = TaskState::Running;
            snapshot.next_at = None;
            snapshot.try_number += i32::from(fresh);
            (snapshot.ready, snapshot.stopping) = (false, false);
            fresh
        });
        let (now, attempt) = (self.now, self.number());
        let script = self.case.script(self.dag, key.0, key.1);
        let instance = self.instance(key);
        instance.attempt = attempt;
        if fresh {
            instance.seen.tries += 1;
            instance.seen.started.get_or_insert(now);
            instance.starts.push(now);
        }
        let (tries, played) = (instance.seen.tries, instance.played);
        self.tell(key, if fresh { format!("try {tries}") } else { format!("looks again, try {tries}") });
        let plan = self.plan(key, &script, played);
        let instance = self.instance(key);
        instance.seen.rendered = plan.rendered.or(instance.seen.rendered.take());
        if let Some(after) = plan.ready_after {
            self.schedule(after, Happening::Ready { key, attempt });
        }
        if let Some((takes, end)) = plan.end {
            self.instance(key).end = Some(end);
            self.schedule(takes, Happening::End { key, attempt });
        }
    }

    fn settle(&mut self, key: Key, state: TaskState, reason: String) {
        self.snapshot(key, |snapshot| {
            snapshot.state = state;
            snapshot.next_at = None;
        });
        self.tell(key, format!("{state}: {reason}"));
        let now = self.now;
        let seen = &mut self.instance(key).seen;
        (seen.ended, seen.reason) = (Some(now), reason);
    }

    fn stop(&mut self, key: Key, reason: &str) {
        self.snapshot(key, |snapshot| snapshot.stopping = true);
        let attempt = self.number();
        let instance = self.instance(key);
        instance.attempt = attempt;
        instance.end = Some(End::with(Ending::Cancelled, reason));
        self.tell(key, format!("is stopped: {reason}"));
        self.schedule(Duration::ZERO, Happening::End { key, attempt });
    }

    fn expand(&mut self, task: usize) {
        let Some(for_each) = &self.dag.tasks[task].for_each else { return };
        let items = for_each::items(for_each, &self.facts((task, -1)));
        match items {
            Err(message) => self.settle((task, -1), TaskState::Failed, message),
            Ok(items) if items.is_empty() => {
                self.settle((task, -1), TaskState::Skipped, "for_each over nothing".to_owned());
            }
            Ok(items) => {
                self.tell((task, -1), format!("is expanded to {}", items.len()));
                self.run.tasks.retain(|instance| instance.task != task);
                let context = self.facts((task, -1));
                let tries = self.instances.remove(&(task, -1)).map_or(0, |instance| instance.seen.tries);
                let def = &self.dag.tasks[task];
                let unwanted = for_each::unwanted(def, &context, &items, |_| tries + 1);
                for (map_index, item) in (0..).zip(items) {
                    let held = self.dag.tasks[task].depends_on_past
                        && self.case.script(self.dag, task, map_index).held.unwrap_or(false);
                    let waiting = TaskSnapshot::waiting(task, map_index);
                    self.run.tasks.push(TaskSnapshot { held, try_number: tries, ..waiting });
                    let key = (task, map_index);
                    self.instances.insert(key, Instance::new(key, tries, Some(item)));
                }
                for (map_index, why) in unwanted {
                    self.settle((task, map_index), TaskState::Skipped, why);
                }
            }
        }
    }

    /// Back to where it has not been tried. What the test wanted of its first tries has been done.
    fn reset(&mut self, key: Key) {
        self.snapshot(key, |snapshot| {
            snapshot.state = TaskState::None;
            snapshot.next_at = None;
            (snapshot.ready, snapshot.stopping, snapshot.chosen) = (false, false, None);
        });
        let instance = self.instance(key);
        (instance.failures, instance.losses, instance.outputs) = (0, 0, None);
        instance.starts.clear();
        (instance.seen.started, instance.seen.ready, instance.seen.ended) = (None, None, None);
    }

    fn collapse(&mut self, task: usize) {
        let tries = self.run.tasks.iter().filter(|i| i.task == task).map(|i| i.try_number).max().unwrap_or(0);
        self.run.tasks.retain(|instance| instance.task != task);
        self.run.tasks.push(TaskSnapshot { try_number: tries, ..TaskSnapshot::waiting(task, -1) });
        self.instances.retain(|(of, _), _| *of != task);
        self.instances.insert((task, -1), Instance::new((task, -1), tries, None));
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Cancel => {
                self.tell_run("is cancelled".to_owned());
                self.run.cancel_requested = true;
            }
            Happening::Ready { key, attempt } if self.is_running(key, attempt) => {
                self.snapshot(key, |snapshot| snapshot.ready = true);
                self.tell(key, "is ready".to_owned());
                let now = self.now;
                self.instance(key).seen.ready.get_or_insert(now);
            }
            Happening::End { key, attempt } if self.is_running(key, attempt) => self.end(key),
            Happening::Ready { .. } | Happening::End { .. } => {}
        }
    }

    fn end(&mut self, key: Key) {
        let (now, cancelled) = (self.now, self.run.cancel_requested);
        let def = &self.dag.tasks[key.0];
        let stopping = self.snapshot(key, |snapshot| snapshot.stopping);
        let instance = self.instance(key);
        instance.attempt = 0;
        let Some(end) = instance.end.take() else { return };
        if end.ending == Ending::Lost {
            instance.starts.pop();
        }
        let history = History {
            try_number: instance.seen.tries,
            failures: instance.failures,
            losses: instance.losses,
            starts: instance.starts.clone(),
            drained: stopping || cancelled,
        };
        let next = ending::after(&end.ending, def, &history, now, NO_JITTER);
        instance.count(&end.ending);
        let done = next.state == TaskState::Success;
        instance.outputs = if done { end.outputs } else { None };
        let chosen = instance.outputs.as_ref().filter(|_| def.branch).and_then(chosen);
        let reason = match end.message {
            Some(message) => format!("{message} ({})", next.reason),
            None => next.reason,
        };
        instance.seen.ended = next.state.is_final().then_some(now);
        instance.seen.reason = reason.clone();
        let again = next.next_at.map(|at| format!(", again in {}", span(at - now))).unwrap_or_default();
        self.tell(key, format!("{}: {reason}{again}", next.state));
        self.snapshot(key, |snapshot| {
            snapshot.state = next.state;
            snapshot.next_at = (!next.state.is_final()).then_some(next.next_at.unwrap_or(now));
            (snapshot.ready, snapshot.stopping) = (false, false);
            snapshot.chosen = chosen;
        });
    }

    fn is_running(&self, key: Key, attempt: u64) -> bool {
        self.instances.get(&key).is_some_and(|instance| instance.attempt == attempt)
    }

    fn instance(&mut self, key: Key) -> &mut Instance {
        self.instances.entry(key).or_insert_with(|| Instance::new(key, 0, None))
    }

    fn snapshot<T>(&mut self, key: Key, change: impl FnOnce(&mut TaskSnapshot) -> T) -> T {
        let position = self.run.tasks.iter().position(|i| (i.task, i.map_index) == key);
        let position = position.expect("decide and the agenda speak of instances that are there");
        change(&mut self.run.tasks[position])
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn schedule(&mut self, after: Duration, what: Happening) {
        let after = TimeDelta::from_std(after).unwrap_or(HORIZON * 2);
        let entry = Entry { at: self.now + after, number: self.number(), what };
        self.agenda.push(Reverse(entry));
    }

    fn tell(&mut self, (task, map_index): Key, text: String) {
        self.events.push(Event { at: self.now, what: name(self.dag, task, map_index), text });
    }

    fn tell_run(&mut self, text: String) {
        self.events.push(Event { at: self.now, what: String::new(), text });
    }
}

impl Instance {
    fn count(&mut self, ending: &Ending) {
        match ending {
            Ending::Failed | Ending::FailedForGood | Ending::TimedOut => {
                self.failures += 1;
                self.played.failed += 1;
            }
            Ending::Lost => {
                self.losses += 1;
                self.played.lost += 1;
            }
            Ending::Poke { .. } => self.played.poked += 1,
            Ending::Done | Ending::Skipped | Ending::Cancelled => {}
        }
    }
}

/// `None` where the test does not say: then all that comes after the branch runs.
fn chosen(outputs: &Value) -> Option<Vec<String>> {
    let chosen = outputs.get("chosen")?.as_array()?;
    Some(chosen.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect())
}
