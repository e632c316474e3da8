//! Runs: created, cancelled, looked at, as in `store::runs`.

use super::{RunRow, Tables};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use model::dag::Schedule;
use model::decide::Retries;
use model::{RunState, TaskState};
use std::collections::BTreeMap;
use store::attempts::Claim;
use store::runs::{Advanced, NewRun, Run, RunType};
use store::{Error, Result};

impl Tables {
    pub fn trigger(&mut self, run: NewRun, now: DateTime<Utc>) -> Result<Run> {
        let what = format!("run '{}' of dag '{}'", run.run_id, run.dag_id);
        let id = self.insert_run(run, now).ok_or(Error::Duplicate { what })?;
        self.ring("runs");
        Ok(self.run_row(id).shown())
    }

    /// `None`: the dag has a run of this id.
    pub(super) fn insert_run(&mut self, new: NewRun, now: DateTime<Utc>) -> Option<i64> {
        let name = (new.dag_id.clone(), new.run_id.clone());
        if self.run_names.contains_key(&name) {
            return None;
        }
        let id = self.runs.len() as i64 + 1;
        self.run_names.insert(name, id);
        self.touched.insert(id);
        let row = RunRow {
            id,
            dag: self.version(new.version_id),
            dag_id: new.dag_id,
            run_id: new.run_id,
            version_id: new.version_id,
            run_type: new.run_type,
            state: RunState::Queued,
            window: new.window,
            logical_date: new.logical_date,
            run_after: new.run_after,
            params: new.params,
            requested_by: new.requested_by,
            backfill: None,
            queued_at: now,
            started_at: None,
            ended_at: None,
            cancel_requested_at: None,
            wake_at: None,
            clears: 0,
            retries: Retries::new(),
            items: BTreeMap::new(),
            instances: BTreeMap::new(),
        };
        self.runs.insert(id, row);
        Some(id)
    }

    pub fn run(&self, dag_id: &str, run_id: &str) -> Option<Run> {
        let id = self.run_names.get(&(dag_id.to_owned(), run_id.to_owned()))?;
        Some(self.run_row(*id).shown())
    }

    pub fn advance(&mut self, run: i64, now: DateTime<Utc>, claim: Option<&Claim>) -> Result<Advanced> {
        if self.run_row(run).state != RunState::Running {
            return Ok(Advanced::default());
        }
        let stepped = self.step(vec![run], None, now, claim)?;
        Ok(stepped.into_iter().next().map(|(_, advanced)| advanced).unwrap_or_default())
    }

    pub fn due_runs(&self, now: DateTime<Utc>, limit: usize) -> (Vec<i64>, Option<DateTime<Utc>>) {
        let waking = self.runs.values().filter_map(|run| Some((run.wake_at?, run.id)));
        let (mut due, later): (Vec<_>, Vec<_>) = waking.partition(|(at, _)| *at <= now);
        due.sort_unstable();
        due.truncate(limit);
        (due.into_iter().map(|(_, run)| run).collect(), later.into_iter().map(|(at, _)| at).min())
    }

    pub fn next_run_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let queued = self.runs.values().filter(|run| run.state == RunState::Queued && run.run_after > now);
        queued.map(|run| run.run_after).min()
    }

    pub fn request_cancel(&mut self, run: i64, now: DateTime<Utc>) {
        match self.run_row(run).state {
            RunState::Queued => self.cancel_queued(run, now),
            RunState::Running => {
                let row = self.change_run(run);
                if row.cancel_requested_at.is_none() {
                    (row.cancel_requested_at, row.wake_at) = (Some(now), Some(now));
                }
            }
            RunState::Success | RunState::Failed | RunState::Cancelled => return,
        }
        self.ring("runs");
    }

    pub(super) fn cancel_queued(&mut self, run: i64, now: DateTime<Utc>) {
        let row = self.change_run(run);
        if row.state != RunState::Queued {
            return;
        }
        row.state = RunState::Cancelled;
        row.ended_at = Some(now);
        for instance in row.instances.values_mut() {
            if instance.state.0.may_become(TaskState::Cancelled) {
                instance.state.0 = TaskState::Cancelled;
                (instance.next_at, instance.ended_at) = (None, Some(now));
            }
        }
        self.wake_next(run, now);
    }

    /// Makes the next run of each continuous dag that has none open, at most one a second.
    pub fn continuous_due(&mut self, now: DateTime<Utc>) -> (usize, Option<DateTime<Utc>>) {
        let (mut made, mut next) = (0, None::<DateTime<Utc>>);
        let open = |tables: &Tables, dag_id: &str| {
            tables.runs.values().any(|run| run.dag_id == dag_id && !run.state.is_final())
        };
        let dags: Vec<String> = self.dags.keys().cloned().collect();
        for dag_id in dags {
            let dag = self.newest(&dag_id);
            if dag.schedule != Schedule::Continuous || self.dags[&dag_id].paused || open(self, &dag_id) {
                continue;
            }
            let last = self.ticks.iter().filter(|tick| tick.dag_id == dag_id).map(|tick| tick.tick_at).max();
            let tick = last.map_or(now, |last| now.max(last + TimeDelta::seconds(1)));
            if tick > now {
                next = Some(next.map_or(tick, |next| next.min(tick)));
                continue;
            }
            let run = NewRun {
                run_id: format!("continuous__{}", tick.to_rfc3339_opts(SecondsFormat::Micros, false)),
                version_id: self.dags[&dag_id].version_id,
                dag_id: dag_id.clone(),
                run_type: RunType::Scheduled,
                window: None,
                logical_date: Some(tick),
                run_after: tick,
                params: serde_json::json!({}),
                requested_by: "schedule".to_owned(),
                note: None,
            };
            let run = self.insert_run(run, now);
            self.ticks.push(super::TickRow { dag_id, first_at: tick, tick_at: tick, run, ran: true });
            self.ring("runs");
            made += 1;
        }
        (made, next)
    }
}

impl RunRow {
    pub(super) fn shown(&self) -> Run {
        Run {
            id: self.id,
            dag_id: self.dag_id.clone(),
            run_id: self.run_id.clone(),
            version_id: self.version_id,
            run_type: self.run_type,
            state: self.state,
            window: self.window,
            logical_date: self.logical_date,
            run_after: self.run_after,
            params: self.params.clone(),
            requested_by: self.requested_by.clone(),
            note: None,
            queued_at: self.queued_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
            cancel_requested_at: self.cancel_requested_at,
        }
    }
}
