//! `streamify run show`: a run, its tasks and their attempts, and what those that wait wait for.

use super::request::{dash, time, took, window};
use crate::config::Config;
use crate::output;
use anyhow::{Context, Result};
use model::{Dag, RunState, TaskState};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use store::Store;
use store::views::attempts::AttemptRow;
use store::views::instances::{InstanceFilter, InstanceRow};
use store::views::pools::PoolRow;
use store::views::runs::{RunFilter, RunRow};

/// With a task named: the newest attempts of each of its instances, and of how many of them.
const ATTEMPTS: i64 = 50;
const INSTANCES_WITH_ATTEMPTS: usize = 50;
/// Instances that wait and are named while people wait for a run.
const WAITING_SHOWN: i64 = 5;

/// What is known of a run, for a table or as JSON.
struct Shown {
    run: RunRow,
    /// Why the run itself waits.
    waits: Option<String>,
    counts: BTreeMap<TaskState, i64>,
    instances: Vec<(InstanceRow, Option<String>)>,
    attempts: Vec<(String, AttemptRow)>,
    total: i64,
}

pub async fn show(
    config: &Config,
    store: &Store,
    dag_id: &str,
    run_id: &str,
    task: Option<String>,
    limit: i64,
) -> Result<ExitCode> {
    let shown = read(store, dag_id, run_id, task, limit).await?;
    if config.json {
        output::json(&shown.json())?;
    } else {
        shown.print();
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(store: &Store, dag_id: &str, run_id: &str, task: Option<String>, limit: i64) -> Result<Shown> {
    let run = store.run_row(dag_id, run_id).await?;
    let run = run.with_context(|| {
        format!("there is no run `{dag_id}/{run_id}`; `streamify run list {dag_id}` names those there are")
    })?;
    let dag = store.dag_version(run.version_id).await?;
    let with_attempts = task.is_some();
    let filter = InstanceFilter {
        dag_id: Some(dag_id.to_owned()),
        run_id: Some(run_id.to_owned()),
        task_id: task,
        limit,
        ..InstanceFilter::default()
    };
    let (instances, total) = store.list_instances(&filter).await?;
    let why = Why { pools: store.list_pools().await?, states: states(store, &run).await?, dag: &dag };
    let mut attempts = Vec::new();
    if with_attempts {
        for instance in instances.iter().take(INSTANCES_WITH_ATTEMPTS) {
            let of = store.attempts_of(instance.run, instance.task, instance.map_index, ATTEMPTS).await?;
            attempts.extend(of.into_iter().map(|attempt| (name(instance), attempt)));
        }
    }
    let instances: Vec<_> = instances
        .into_iter()
        .map(|instance| {
            let why = why.of(&instance);
            (instance, why)
        })
        .collect();
    Ok(Shown {
        waits: run_waits(store, &run).await?,
        counts: store.instance_counts(run.id).await?,
        run,
        instances,
        attempts,
        total,
    })
}

/// Where a run that has not ended stands, in a few lines: its tasks by state, and what those that wait wait for.
pub async fn standing(store: &Store, dag_id: &str, run_id: &str) -> Result<String> {
    let run = store.run_row(dag_id, run_id).await?.with_context(|| format!("{dag_id}/{run_id} is gone"))?;
    let counts = store.instance_counts(run.id).await?;
    let counts: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let mut lines = vec![match (run_waits(store, &run).await?, counts.is_empty()) {
        (Some(waits), _) => format!("{}: {waits}", run.state),
        (None, true) => run.state.to_string(),
        (None, false) => format!("{}: {}", run.state, counts.join(", ")),
    }];
    let filter = InstanceFilter {
        dag_id: Some(dag_id.to_owned()),
        run_id: Some(run_id.to_owned()),
        states: vec![TaskState::Queued, TaskState::UpForRetry, TaskState::UpForReschedule],
        limit: WAITING_SHOWN,
        ..InstanceFilter::default()
    };
    let (waiting, total) = store.list_instances(&filter).await?;
    if !waiting.is_empty() {
        let dag = store.dag_version(run.version_id).await?;
        let why = Why { pools: store.list_pools().await?, states: HashMap::new(), dag: &dag };
        lines.extend(
            waiting.iter().map(|instance| format!("  {} {}", name(instance), why.standing(instance))),
        );
        if total > WAITING_SHOWN {
            lines.push(format!("  and {} more", total - WAITING_SHOWN));
        }
    }
    Ok(lines.join("\n"))
}

/// The states of the instances of each task, counted.
async fn states(store: &Store, run: &RunRow) -> Result<HashMap<usize, Vec<(TaskState, i64)>>> {
    let dag = store.dag_version(run.version_id).await?;
    let each: Vec<(usize, usize)> = (0..dag.tasks.len()).map(|task| (task, task)).collect();
    let mut states: HashMap<usize, Vec<(TaskState, i64)>> = HashMap::new();
    for part in store.parts(&[run.id], &each).await? {
        states.entry(part.part).or_default().push((part.state, part.instances));
    }
    Ok(states)
}

/// Why a queued run does not begin.
async fn run_waits(store: &Store, run: &RunRow) -> Result<Option<String>> {
    if run.cancel_requested_at.is_some() && run.state == RunState::Running {
        return Ok(Some("it was asked to stop; its tasks are ending".to_owned()));
    }
    if run.state != RunState::Queued {
        return Ok(None);
    }
    let now = store.clock().await?;
    if run.run_after > now {
        return Ok(Some(format!("it may not start before {} UTC", run.run_after.format("%F %T"))));
    }
    let Some(dag) = store.dag_row(&run.dag_id).await? else { return Ok(None) };
    if !dag.present {
        return Ok(Some("the file of the dag is gone".to_owned()));
    }
    if dag.paused && run.run_type != "manual" {
        return Ok(Some(format!("the dag is paused: `streamify dag unpause {}`", run.dag_id)));
    }
    if let Some(id) = run.backfill {
        let backfill = store.backfill(id).await?;
        return Ok(backfill.map(|backfill| match backfill.state.as_str() {
            "running" => format!(
                "backfill {id} has {} running, at most {} at once",
                backfill.running, backfill.max_active_runs
            ),
            state => format!("backfill {id} is {state}"),
        }));
    }
    let filter = RunFilter {
        dag_id: Some(run.dag_id.clone()),
        states: vec![RunState::Running],
        limit: 1,
        ..RunFilter::default()
    };
    let (_, running) = store.list_runs(&filter).await?;
    Ok(Some(format!("{running} runs of the dag are running, at most {} at once", dag.dag.max_active_runs)))
}

/// What tells why an instance waits.
struct Why<'a> {
    dag: &'a Dag,
    pools: Vec<PoolRow>,
    states: HashMap<usize, Vec<(TaskState, i64)>>,
}

impl Why<'_> {
    /// What the engine wrote, or what follows from the states of other things.
    fn of(&self, instance: &InstanceRow) -> Option<String> {
        let task = self.dag.tasks.get(usize::try_from(instance.task).ok()?)?;
        let derived = match instance.state {
            TaskState::None => self.open_needs(&task.needs),
            TaskState::Queued => Some(self.queue(task.pool.as_deref(), task.pool_slots, &task.queue)),
            TaskState::UpForRetry | TaskState::UpForReschedule => {
                instance.next_at.map(|at| format!("looks again at {} UTC", at.format("%T")))
            }
            _ => None,
        };
        if instance.state == TaskState::UpForReschedule {
            return derived;
        }
        let message = instance.message.clone().filter(|message| !message.is_empty());
        match (derived, message) {
            (Some(derived), Some(message)) => Some(format!("{derived}: {message}")),
            (derived, message) => derived.or(message),
        }
    }

    /// What a waiting instance waits for, in words that stay the same while it does.
    fn standing(&self, instance: &InstanceRow) -> String {
        let Some(task) = self.dag.tasks.get(instance.task.unsigned_abs() as usize) else {
            return String::new();
        };
        match instance.state {
            TaskState::Queued => self.queue(task.pool.as_deref(), task.pool_slots, &task.queue),
            TaskState::UpForRetry => {
                let message = instance.message.as_deref().map_or_else(String::new, first_line);
                format!("is tried again: {message}")
            }
            _ if task.uses == "approve" => "waits for an answer: `streamify approval list`".to_owned(),
            _ => format!("waits ({})", task.uses),
        }
    }

    fn open_needs(&self, needs: &[usize]) -> Option<String> {
        let is_open = |need: &&usize| {
            self.states.get(*need).is_none_or(|states| states.iter().any(|(state, _)| !state.is_final()))
        };
        let open: Vec<&str> =
            needs.iter().filter(is_open).take(5).map(|need| self.dag.tasks[*need].id.as_str()).collect();
        (!open.is_empty()).then(|| format!("needs {}", open.join(", ")))
    }

    fn queue(&self, pool: Option<&str>, slots: u32, queue: &str) -> String {
        let Some(name) = pool else { return format!("waits for a free worker (queue {queue})") };
        match self.pools.iter().find(|pool| pool.name == name).map(|pool| (pool.slots, pool.running)) {
            Some((Some(all), used)) if used + i64::from(slots) > i64::from(all) => {
                format!("pool {name} has {used} of {all} slots in use, it wants {slots}")
            }
            Some((Some(_), _)) => format!("waits for a free worker (queue {queue}, pool {name})"),
            _ => format!("pool '{name}' does not exist: `streamify pool set {name} SLOTS`"),
        }
    }
}

fn name(instance: &InstanceRow) -> String {
    if instance.map_index < 0 {
        instance.task_id.clone()
    } else {
        format!("{}[{}]", instance.task_id, instance.map_index)
    }
}

impl Shown {
    fn print(&self) {
        let run = &self.run;
        println!("{}/{}  {}", run.dag_id, run.run_id, run.state);
        let counts: Vec<String> =
            self.counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let facts = [
            ("version", format!("v{}", run.version)),
            ("type", run.run_type.clone()),
            ("window", window(run.window)),
            ("logical date", time(run.logical_date)),
            ("requested by", run.requested_by.clone()),
            ("began", time(run.started_at)),
            ("ended", time(run.ended_at)),
            ("params", run.params.to_string()),
            ("backfill", run.backfill.map_or_else(dash, |id| id.to_string())),
            ("note", run.note.clone().unwrap_or_else(dash)),
            ("waits", self.waits.clone().unwrap_or_else(dash)),
            ("tasks", if counts.is_empty() { dash() } else { counts.join(", ") }),
        ];
        for (name, fact) in facts.into_iter().filter(|(_, fact)| *fact != "-" && *fact != "{}") {
            println!("  {name:<13} {fact}");
        }
        println!();
        let rows = self.instances.iter().map(|(instance, why)| {
            vec![
                name(instance),
                instance.state.to_string(),
                instance.try_number.to_string(),
                time(instance.started_at),
                took(instance.started_at, instance.ended_at),
                why.as_deref().map_or_else(dash, first_line),
            ]
        });
        println!("{}", output::table(&["task", "state", "tries", "began", "took", "why"], rows));
        if (self.instances.len() as i64) < self.total {
            println!("{} of {}; --limit shows more, --task one", self.instances.len(), self.total);
        }
        if !self.attempts.is_empty() {
            println!();
            let rows = self.attempts.iter().map(|(name, attempt)| {
                vec![
                    name.clone(),
                    attempt.try_number.to_string(),
                    attempt.state.clone(),
                    attempt.node.clone().unwrap_or_else(dash),
                    time(attempt.started_at),
                    took(attempt.started_at, attempt.ended_at),
                    attempt.message.as_deref().map_or_else(dash, first_line),
                ]
            });
            println!(
                "{}",
                output::table(&["attempt of", "try", "state", "node", "began", "took", "said"], rows)
            );
        }
    }

    fn json(&self) -> Value {
        let run = &self.run;
        let instances: Vec<Value> = self
            .instances
            .iter()
            .map(|(instance, why)| {
                json!({
                    "task": instance.task_id, "map_index": instance.map_index, "state": instance.state, "tries": instance.try_number,
                    "started_at": instance.started_at, "ended_at": instance.ended_at, "next_at": instance.next_at, "why": why,
                    "outputs": instance.outputs,
                })
            })
            .collect();
        let attempts: Vec<Value> = self
            .attempts
            .iter()
            .map(|(of, attempt)| {
                json!({
                    "of": of, "id": attempt.id, "try": attempt.try_number, "state": attempt.state, "node": attempt.node,
                    "queued_at": attempt.queued_at, "started_at": attempt.started_at, "ended_at": attempt.ended_at,
                    "message": attempt.message,
                })
            })
            .collect();
        json!({
            "dag_id": run.dag_id, "run_id": run.run_id, "state": run.state, "version": run.version, "run_type": run.run_type,
            "window": run.window, "logical_date": run.logical_date, "requested_by": run.requested_by, "note": run.note,
            "params": run.params, "backfill": run.backfill, "started_at": run.started_at, "ended_at": run.ended_at,
            "waits": self.waits, "counts": self.counts, "tasks": instances, "attempts": attempts, "total_tasks": self.total,
        })
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
