//! Ticks become ledger rows and runs. One node at a time does it; two would do no harm, for each tick has one row.
//!
//! Not here: when a dag fires and what becomes of missed ticks (`model::schedule`).

use crate::Result;
use crate::duty::Duty;
use crate::error::Error;
use crate::realm::aside;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Timelike, Utc};
use model::Dag;
use model::dag::Schedule;
use model::schedule::{Planned, plan_ticks};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use store::dags::ScheduledDag;
use store::runs::{NewRun, RunType};
use store::ticks::TickDecision;
use tokio::time::Instant;
use tracing::{error, info};

pub(crate) const DUTY: &str = "planner";
/// Between two looks at all dags, unless one is due: thousands of new dags ring thousands of times.
const DISTANCE: Duration = Duration::from_millis(250);
/// Dags whose rows could not be written, after which the store itself is to blame.
const FAILURES_MAX: usize = 5;

type Rows = Vec<(DateTime<Utc>, TickDecision)>;

/// What all schedules ask for at one instant.
struct Plan {
    due: Vec<(String, Rows)>,
    /// The next instant at which any dag fires.
    next: Option<DateTime<Utc>>,
}

pub(crate) struct Planner {
    core: Arc<Core>,
    duty: Duty,
    distance: Duration,
    looked_at: Option<Instant>,
    /// When the first of the dags is due, as far as the last look knows.
    next: Option<DateTime<Utc>>,
}

impl Planner {
    pub fn new(core: Arc<Core>) -> Self {
        let duty = Duty::new(DUTY, core.store.clone(), core.node.clone(), core.config.lease_ttl);
        Planner { core, duty, distance: DISTANCE, looked_at: None, next: None }
    }

    #[cfg(test)]
    pub fn with_distance(core: Arc<Core>, distance: Duration) -> Self {
        Planner { distance, ..Planner::new(core) }
    }

    /// How long all dags need not be looked at again.
    fn rest(&self, now: DateTime<Utc>) -> Option<Duration> {
        let is_due = self.next.is_some_and(|next| next <= now);
        let rest = self.looked_at.and_then(|at| self.distance.checked_sub(at.elapsed()));
        rest.filter(|rest| !rest.is_zero() && !is_due)
    }

    /// Returns how many dags got their rows.
    async fn record(&self, due: Vec<(String, Rows)>, now: DateTime<Utc>) -> Result<usize> {
        let (mut recorded, mut failures) = (0, 0);
        for (dag_id, rows) in due {
            match self.core.store.record_ticks(&dag_id, &rows, now).await {
                Ok(created) => {
                    info!(dag = dag_id, ticks = rows.len(), runs = created.len(), "planned");
                    recorded += 1;
                }
                Err(error) => {
                    error!(dag = dag_id, %error, "its ticks could not be recorded; tried again");
                    failures += 1;
                    if failures == FAILURES_MAX {
                        return Err(error.into());
                    }
                    self.core.stats.failed(Self::NAME);
                }
            }
        }
        Ok(recorded)
    }
}

#[async_trait]
impl Round for Planner {
    const NAME: &'static str = "planner";

    async fn tick(&mut self) -> Result<Again> {
        let now = self.core.clock.now();
        if self.duty.hold(now).await?.is_none() {
            return Ok(Again::At(self.duty.again_at(now)));
        }
        if let Some(rest) = self.rest(now) {
            return Ok(Again::In(rest));
        }
        self.looked_at = Some(Instant::now());
        let dags = self.core.store.scheduled_dags().await?;
        let plan = aside(move || plan_all(&dags, now)).await.ok_or(Error::Interrupted("planning"))?;
        self.next = plan.next;
        if self.record(plan.due, now).await? > 0 {
            self.looked_at = None;
            self.core.bells.driver.ring();
            // One call plans a limited number of ticks of each dag.
            return Ok(Again::Now);
        }
        let renew = self.duty.again_at(now);
        Ok(Again::At(plan.next.map_or(renew, |next| next.min(renew))))
    }
}

fn plan_all(dags: &[ScheduledDag], now: DateTime<Utc>) -> Plan {
    let due =
        dags.iter().map(|dag| (dag.dag_id.clone(), rows_of(dag, now))).filter(|(_, rows)| !rows.is_empty());
    Plan { due: due.collect(), next: dags.iter().filter_map(|dag| next_tick(dag, now)).min() }
}

fn rows_of(scheduled: &ScheduledDag, now: DateTime<Utc>) -> Rows {
    let ScheduledDag { dag, paused, registered_at, last_tick, .. } = scheduled;
    let planned = plan_ticks(dag, *registered_at, *last_tick, now, *paused);
    let decide = |(tick, planned)| match planned {
        Planned::Skip { reason } => (tick, TickDecision::Skipped { reason }),
        Planned::SkipMany { first, count, reason } => {
            (tick, TickDecision::SkippedMany { first, count, reason })
        }
        Planned::Run { window } => {
            let run = NewRun {
                dag_id: scheduled.dag_id.clone(),
                run_id: run_id(tick),
                version_id: scheduled.version_id,
                run_type: RunType::Scheduled,
                window,
                logical_date: Some(tick),
                run_after: tick,
                params: default_params(dag),
                requested_by: "schedule".to_owned(),
                note: None,
            };
            (tick, TickDecision::Ran(run))
        }
    };
    planned.into_iter().map(decide).collect()
}

fn next_tick(scheduled: &ScheduledDag, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let start = scheduled.dag.start;
    if scheduled.dag.schedule == Schedule::Once {
        return start.filter(|start| *start > now);
    }
    let after = start.map_or(now, |start| now.max(start - TimeDelta::nanoseconds(1)));
    scheduled.dag.schedule.next(after)
}

/// As Airflow's: `scheduled__2026-11-22T10:05:00+00:00`.
fn run_id(tick: DateTime<Utc>) -> String {
    let format = if tick.nanosecond() == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    format!("scheduled__{}", tick.to_rfc3339_opts(format, false))
}

fn default_params(dag: &Dag) -> Value {
    let defaults = dag.params.iter().filter_map(|(name, param)| Some((name.clone(), param.default.clone()?)));
    Value::Object(defaults.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_those_of_airflow() {
        let tick: DateTime<Utc> = "2026-11-22T10:05:00Z".parse().unwrap();
        assert_eq!(run_id(tick), "scheduled__2026-11-22T10:05:00+00:00");
        assert_eq!(
            run_id(tick + TimeDelta::microseconds(1500)),
            "scheduled__2026-11-22T10:05:00.001500+00:00"
        );
    }
}
