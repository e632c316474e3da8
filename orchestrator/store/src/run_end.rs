//! What others hear of a step: assets that were written, and runs that ended.

use crate::rows::clean;
use crate::snapshot::LockedRun;
use crate::writes::{EventRow, NoticeRow, Writes};
use crate::{Error, Result};
use chrono::{DateTime, Utc};
use model::dag::Schedule;
use model::notify::Event;
use model::{Dag, RunState};
use serde_json::{Value, json};

impl Writes {
    /// A task has succeeded: each asset that it writes has an event.
    pub(crate) fn wrote(&mut self, run_id: &str, dag: &Dag, (run, task, map_index): (i64, usize, i32)) {
        let def = &dag.tasks[task];
        for asset in &def.writes {
            let who = clean(&format!("{}/{run_id}/{}", dag.id, def.id)).into_owned();
            self.events.push(EventRow { asset: clean(asset).into_owned(), run, task, map_index, who });
        }
        if !def.writes.is_empty() {
            self.ring("assets");
        }
    }

    /// A run has ended: whom it concerns is told, and the next run of a dag without a clock may start.
    pub(crate) fn ended(&mut self, run: &LockedRun, state: RunState, now: DateTime<Utc>) -> Result<()> {
        if run.dag.schedule == Schedule::Continuous {
            self.ring("runs");
        }
        let events: &[Event] = match state {
            RunState::Failed => &[Event::Failure],
            RunState::Success => &[Event::Success, Event::Recovery],
            RunState::Queued | RunState::Running | RunState::Cancelled => &[],
        };
        for event in events {
            let body = json!({
                "event": event, "dag_id": run.dag.id, "run_id": run.run_id, "task_id": null,
                "run_state": state.as_str(), "at": now, "text": text(*event, &run.dag.id, &run.run_id),
            });
            self.tell(run, *event, &body)?;
        }
        Ok(())
    }

    /// A service has failed for good, and its run goes on: that may take as long as its other services live.
    pub(crate) fn service_failed(&mut self, run: &LockedRun, task: usize, now: DateTime<Utc>) -> Result<()> {
        let (dag, run_id) = (&run.dag, &run.run_id);
        let id = &dag.tasks[task].id;
        let is_tried_again = dag.retries.limit > 0
            || dag.groups.iter().any(|group| group.retries.limit > 0 && dag.is_in_group(task, &group.id));
        if is_tried_again {
            return Ok(());
        }
        let text = format!(
            "service '{id}' of {}/{run_id} failed; the run goes on until its other tasks end",
            dag.id
        );
        let body = json!({
            "event": Event::Failure, "dag_id": dag.id, "run_id": run_id, "task_id": id, "run_state": run.state.as_str(),
            "at": now, "text": text,
        });
        self.tell(run, Event::Failure, &body)
    }

    fn tell(&mut self, run: &LockedRun, event: Event, body: &Value) -> Result<()> {
        for notify in run.dag.notify.iter().filter(|notify| notify.on.contains(&event)) {
            let target = serde_json::to_string(&notify.to).map_err(|error| Error::Inconsistent {
                table: "notifications",
                id: run.id.to_string(),
                column: "target",
                message: error.to_string(),
            })?;
            let (target, body) = (self.text(target), self.text(body.to_string()));
            self.notices.push(NoticeRow { event: event.as_str(), run: run.id, target, body });
        }
        Ok(())
    }

    pub(crate) fn ring(&mut self, ring: &'static str) {
        if !self.rings.contains(&ring) {
            self.rings.push(ring);
        }
    }
}

fn text(event: Event, dag_id: &str, run_id: &str) -> String {
    match event {
        Event::Failure => format!("{dag_id}/{run_id} failed"),
        Event::Success => format!("{dag_id}/{run_id} succeeded"),
        Event::Recovery => format!("{dag_id}/{run_id} succeeded after a failure"),
        Event::Deadline => format!("{dag_id}/{run_id} missed its deadline"),
    }
}
