//! What a backfill would do with each tick of its range, and why. Reads only.
//!
//! Gaps only, unless `reprocess` says more: a tick has been run if a run has it as its logical date, whoever asked for that run.

use crate::rows::parse;
use crate::{Error, Result, Store};
use chrono::{DateTime, TimeDelta, Utc};
use model::dag::Schedule;
use model::{Dag, RunState, Window};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

/// Ticks of one backfill.
pub const TICKS_MAX: usize = 10_000;

/// Which ticks that have been run already are run again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reprocess {
    #[default]
    None,
    /// Failed or cancelled.
    Failed,
    /// All that have ended.
    Completed,
}

#[derive(Debug, Clone)]
pub struct BackfillRequest {
    pub dag_id: String,
    /// Ticks from this one on, before `to`.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub reprocess: Reprocess,
    /// The newest tick first.
    pub run_backwards: bool,
    /// Most of its runs at once.
    pub max_active_runs: u32,
    /// Given to each run; null for the defaults (and, of runs that are run again, for what they had).
    pub params: Value,
    /// Why, for the audit log and the page.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Rerun,
    Skip,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedTick {
    pub tick: DateTime<Utc>,
    pub window: Option<Window>,
    pub action: Action,
    /// The run that there is already.
    pub run_id: Option<String>,
    pub reason: String,
}

/// The newest run of a tick.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Existing {
    pub id: i64,
    pub run_id: String,
    state: String,
    logical_date: DateTime<Utc>,
    pub version_id: i64,
    /// Instances of tasks that depend on the past and would hold up the run after this one.
    blocks: bool,
}

/// A plan with what carrying it out needs.
pub(crate) struct Plan {
    pub version_id: i64,
    pub ticks: Vec<PlannedTick>,
    pub existing: BTreeMap<DateTime<Utc>, Existing>,
}

impl Reprocess {
    pub fn as_str(self) -> &'static str {
        match self {
            Reprocess::None => "none",
            Reprocess::Failed => "failed",
            Reprocess::Completed => "completed",
        }
    }
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Rerun => "rerun",
            Action::Skip => "skip",
        }
    }
}

impl std::str::FromStr for Reprocess {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [Reprocess::None, Reprocess::Failed, Reprocess::Completed]
            .into_iter()
            .find(|reprocess| reprocess.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not none, failed or completed"))
    }
}

impl Store {
    /// Tick by tick, what `create_backfill` would do now. What it would refuse is refused here too.
    pub async fn plan_backfill(
        &self,
        request: &BackfillRequest,
        now: DateTime<Utc>,
    ) -> Result<Vec<PlannedTick>> {
        let mut conn = self.pool.acquire().await?;
        Ok(self.plan_on(&mut conn, request, now).await?.ticks)
    }

    pub(crate) async fn plan_on(
        &self,
        conn: &mut PgConnection,
        request: &BackfillRequest,
        now: DateTime<Utc>,
    ) -> Result<Plan> {
        let version_id = sqlx::query_scalar::<_, i64>(
            "select version_id from dags where dag_id = $1 and present and version_id is not null",
        )
        .bind(&request.dag_id)
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| Error::NotFound { what: format!("dag '{}'", request.dag_id) })?;
        let dag = self.version_on(conn, version_id).await?;
        request.check(&dag)?;
        let ticks = request.ticks(&dag)?;
        let existing = existing(conn, &dag, &ticks).await?;
        let pruned = pruned(conn, &dag, &ticks).await?;
        let plan = |tick: DateTime<Utc>| {
            let (action, reason) = request.decide(existing.get(&tick), pruned.contains(&tick), tick, now)?;
            let window = model::schedule::window_at(&dag.window, &dag.schedule, tick);
            let run_id = existing.get(&tick).map(|run| run.run_id.clone());
            Ok(PlannedTick { tick, window, action, run_id, reason })
        };
        let ticks = ticks.into_iter().map(plan).collect::<Result<Vec<_>>>()?;
        refuse_holes(conn, &dag, request, &ticks, &existing).await?;
        Ok(Plan { version_id, ticks, existing })
    }
}

impl BackfillRequest {
    fn check(&self, dag: &Dag) -> Result<()> {
        let refused = |message: String| Err(Error::Refused { message });
        if self.from >= self.to {
            return refused(format!("the range from {} to {} is empty", self.from, self.to));
        }
        if !matches!(dag.schedule, Schedule::Cron { .. } | Schedule::Every { .. } | Schedule::At { .. }) {
            return refused(format!(
                "dag '{}' has no ticks to fill in: its schedule is not one of times (cron, every, at). Trigger runs instead",
                dag.id
            ));
        }
        if self.max_active_runs == 0 {
            return refused("max_active_runs must be at least 1".to_owned());
        }
        if let Some(task) = dag.tasks.iter().find(|task| task.depends_on_past)
            && self.run_backwards
        {
            return refused(format!(
                "task '{}' depends on the past, so the runs cannot go backwards: each would wait for one that comes later",
                task.id
            ));
        }
        self.params_for(dag, &Value::Null).map(|_| ())
    }

    /// The parameters of a run that had `old`.
    pub(crate) fn params_for(&self, dag: &Dag, old: &Value) -> Result<Value> {
        crate::clear::edit_params(dag, old, &self.params)
    }

    fn ticks(&self, dag: &Dag) -> Result<Vec<DateTime<Utc>>> {
        let from = dag.start.map_or(self.from, |start| start.max(self.from));
        let (after, until) = (from - TimeDelta::nanoseconds(1), self.to - TimeDelta::nanoseconds(1));
        let ticks = dag.schedule.ticks(after, until, TICKS_MAX + 1);
        if ticks.len() > TICKS_MAX {
            let last = ticks.last().map(ToString::to_string).unwrap_or_default();
            let message =
                format!("more than {TICKS_MAX} ticks: take the range in parts, the first until {last}");
            return Err(Error::Refused { message });
        }
        if ticks.is_empty() {
            let message = format!("dag '{}' has no tick between {} and {}", dag.id, self.from, self.to);
            return Err(Error::Refused { message });
        }
        Ok(ticks)
    }

    fn decide(
        &self,
        run: Option<&Existing>,
        was_pruned: bool,
        tick: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(Action, String)> {
        let Some(run) = run else {
            return Ok(if tick > now {
                (Action::Skip, "it has not come yet".to_owned())
            } else if was_pruned && self.reprocess != Reprocess::Completed {
                let reason = "it had a run, which was pruned; reprocess completed runs it again";
                (Action::Skip, reason.to_owned())
            } else {
                (Action::Create, "it has no run".to_owned())
            });
        };
        let state = run.state()?;
        let again = match self.reprocess {
            Reprocess::None => false,
            Reprocess::Failed => matches!(state, RunState::Failed | RunState::Cancelled),
            Reprocess::Completed => state.is_final(),
        };
        Ok(match (again, state.is_final()) {
            (_, false) => (Action::Skip, format!("in flight: its run is {state}")),
            (true, true) => (Action::Rerun, format!("its run is {state}")),
            (false, true) => (
                Action::Skip,
                format!("it has a run ({state}), and reprocess is {}", self.reprocess.as_str()),
            ),
        })
    }
}

impl Existing {
    fn state(&self) -> Result<RunState> {
        parse("runs", "state", self.id, &self.state)
    }
}

/// The newest run of each tick that has one.
async fn existing(
    conn: &mut PgConnection,
    dag: &Dag,
    ticks: &[DateTime<Utc>],
) -> Result<BTreeMap<DateTime<Utc>, Existing>> {
    let rows = sqlx::query_as::<_, Existing>(
        "select distinct on (r.logical_date) r.id, r.run_id, r.state, r.logical_date, r.version_id,
            cardinality($3::text[]) > 0 and r.state in ('success', 'failed', 'cancelled') and exists (select 1 from task_instances i where i.run = r.id
                and i.task_id = any($3) and i.ended_at is not null and i.state not in ('success', 'skipped')) as blocks
         from runs r where r.dag_id = $1 and r.logical_date = any($2) order by r.logical_date, r.id desc",
    )
    .bind(&dag.id)
    .bind(ticks)
    .bind(past_dependent(dag))
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|run| (run.logical_date, run)).collect())
}

/// Ticks that had a run which is forgotten.
async fn pruned(
    conn: &mut PgConnection,
    dag: &Dag,
    ticks: &[DateTime<Utc>],
) -> Result<BTreeSet<DateTime<Utc>>> {
    let pruned = sqlx::query_scalar(
        "select tick_at from ticks where dag_id = $1 and tick_at = any($2) and pruned_at is not null",
    )
    .bind(&dag.id)
    .bind(ticks)
    .fetch_all(conn)
    .await?;
    Ok(pruned.into_iter().collect())
}

fn past_dependent(dag: &Dag) -> Vec<&str> {
    dag.tasks.iter().filter(|task| task.depends_on_past).map(|task| task.id.as_str()).collect()
}

/// A task that depends on the past would wait for ever behind a run that failed and is not run again.
async fn refuse_holes(
    conn: &mut PgConnection,
    dag: &Dag,
    request: &BackfillRequest,
    ticks: &[PlannedTick],
    existing: &BTreeMap<DateTime<Utc>, Existing>,
) -> Result<()> {
    let dependent = past_dependent(dag);
    if dependent.is_empty() {
        return Ok(());
    }
    let mut hole = sqlx::query_scalar::<_, String>(
        "select r.run_id from (
            select id, run_id, state from runs where dag_id = $1 and run_after < $2 order by run_after desc, id desc limit 1
         ) r where exists (select 1 from task_instances i where i.run = r.id
            and i.task_id = any($3) and i.ended_at is not null and i.state not in ('success', 'skipped'))",
    )
    .bind(&dag.id)
    .bind(ticks.first().map_or(request.from, |planned| planned.tick))
    .bind(&dependent)
    .fetch_optional(conn)
    .await?;
    for planned in ticks {
        if planned.action != Action::Skip
            && let Some(run) = &hole
        {
            let message = format!(
                "{} depends on the past, and run '{run}' before {} failed: run it again too (an earlier range, reprocess failed), or mark it",
                dependent.join(", "),
                planned.tick
            );
            return Err(Error::Refused { message });
        }
        hole = match (planned.action, existing.get(&planned.tick)) {
            (Action::Skip, Some(run)) if run.blocks => Some(run.run_id.clone()),
            (Action::Skip, None) => hole,
            _ => None,
        };
    }
    Ok(())
}
