//! The ledger of ticks, as in `store::ticks`.

use super::{Plant, RunRow, Tables, TickRow};
use chrono::{DateTime, Utc};
use model::dag::Schedule;
use store::Result;
use store::dags::ScheduledDag;
use store::runs::{NewRun, RunType};
use store::ticks::TickDecision;

impl Tables {
    pub fn scheduled_dags(&self) -> Vec<ScheduledDag> {
        let planned = |dag: &model::Dag| !matches!(dag.schedule, Schedule::Manual | Schedule::Continuous);
        let dags = self.dags.iter().filter(|(dag_id, _)| planned(&self.newest(dag_id)));
        dags.map(|(dag_id, row)| ScheduledDag {
            dag_id: dag_id.clone(),
            version_id: row.version_id,
            dag: self.version(row.version_id),
            paused: row.paused,
            registered_at: row.registered_at,
            last_tick: self.ticks.iter().filter(|tick| tick.dag_id == *dag_id).map(|tick| tick.tick_at).max(),
        })
        .collect()
    }

    pub fn record_ticks(
        &mut self,
        dag_id: &str,
        ticks: &[(DateTime<Utc>, TickDecision)],
        now: DateTime<Utc>,
    ) -> Result<Vec<i64>> {
        let mut created = Vec::new();
        for (tick_at, decision) in ticks {
            let first_at = match decision {
                TickDecision::SkippedMany { first, .. } => *first,
                _ => *tick_at,
            };
            let known = self.ticks.iter().any(|tick| tick.dag_id == dag_id && tick.tick_at >= first_at);
            if known && !self.has(Plant::TicksAreRecordedTwice) {
                continue;
            }
            let row = |run, ran| TickRow { dag_id: dag_id.to_owned(), first_at, tick_at: *tick_at, run, ran };
            let row = match decision {
                TickDecision::Ran(run) => {
                    let run =
                        NewRun { run_id: self.filled_in(run).unwrap_or(run.run_id.clone()), ..run.clone() };
                    let name = (dag_id.to_owned(), run.run_id.clone());
                    let again = if known { format!("{}-again", run.run_id) } else { run.run_id.clone() };
                    let new = self.insert_run(NewRun { run_id: again, ..run.clone() }, now);
                    created.extend(new);
                    row(new.or_else(|| self.run_names.get(&name).copied()), true)
                }
                TickDecision::Skipped { .. }
                | TickDecision::SkippedMany { .. }
                | TickDecision::Merged { .. } => row(None, false),
            };
            self.ticks.push(row);
        }
        if !created.is_empty() {
            self.ring("runs");
        }
        Ok(created)
    }

    /// The run that a backfill has made of a tick already.
    fn filled_in(&self, run: &NewRun) -> Option<String> {
        let of_tick = |other: &&RunRow| {
            other.dag_id == run.dag_id
                && other.logical_date == run.logical_date
                && other.run_type == RunType::Backfill
        };
        let found = self.runs.values().rfind(of_tick).filter(|_| !self.has(Plant::TicksRunWhatIsFilledIn));
        found.map(|other| other.run_id.clone())
    }

    pub fn set_paused(&mut self, dag_id: &str, paused: bool) {
        if let Some(row) = self.dags.get_mut(dag_id) {
            row.paused = paused;
            self.ring("dags");
        }
    }
}
