//! Instances that come and go while a run runs: mapped tasks whose items are known late, and groups and runs that are tried again.

use crate::clear::{self, Found};
use crate::outputs::upstream;
use crate::rows::{clean, parse_json};
use crate::snapshot::{Counts, LockedRun};
use crate::writes::Writes;
use crate::{Error, Result};
use chrono::{DateTime, Utc};
use model::decide::{TaskSnapshot, retried};
use model::template::{DagFacts, RunFacts, TaskFacts, TemplateContext};
use model::{RunState, TaskState, TriggerRule, Window};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use std::collections::HashMap;

/// What `Command::Retry` says.
pub(crate) struct Retry {
    pub group: Option<String>,
    pub used: u32,
    pub until: DateTime<Utc>,
    pub reset: Vec<(usize, i32)>,
    pub late: Vec<usize>,
}

#[derive(FromRow)]
struct Facts {
    window_start: Option<DateTime<Utc>>,
    window_end: Option<DateTime<Utc>>,
    logical_date: Option<DateTime<Utc>>,
    params: String,
}

/// Puts an instance for each item in the place of the one that stands for them; those that its `if` does not want are settled in `writes`.
/// All ends so far are written.
pub(crate) async fn expand(
    conn: &mut PgConnection,
    run: &mut LockedRun,
    task: usize,
    writes: &mut Writes,
    now: DateTime<Utc>,
) -> Result<()> {
    let dag = run.dag.clone();
    let found = dag.tasks.get(task).and_then(|def| Some((def, def.for_each.as_ref()?)));
    let Some((def, for_each)) = found else {
        return Err(Error::NotFound { what: format!("for_each of task {task} of run {}", run.id) });
    };
    let context = context(conn, run, task).await?;
    match model::for_each::items(for_each, &context) {
        Err(message) => settle(conn, run, task, TaskState::Failed, &message, now).await,
        Ok(items) if items.is_empty() => {
            settle(conn, run, task, TaskState::Skipped, "for_each over nothing", now).await
        }
        Ok(items) => {
            let tries = replace(conn, run, task, &items).await?;
            let next_try = |map_index: i32| tries.get(&map_index).copied().unwrap_or(0).saturating_add(1);
            for (map_index, why) in model::for_each::unwanted(def, &context, &items, next_try) {
                writes.settle(run, (task, map_index), TaskState::Skipped, &why)?;
            }
            Ok(())
        }
    }
}

/// As the nodes tell it: what runs whatever happened may ask whether something has failed.
fn state_of(run: &LockedRun, task: usize) -> RunState {
    let failed =
        |instance: &TaskSnapshot| matches!(instance.state, TaskState::Failed | TaskState::UpstreamFailed);
    let asks = run.dag.tasks[task].trigger_rule != TriggerRule::AllSuccess;
    if asks && run.tasks().iter().any(failed) { RunState::Failed } else { run.state }
}

/// What an expression may name before the task has instances: no connections, variables or secrets.
async fn context(conn: &mut PgConnection, run: &LockedRun, task: usize) -> Result<TemplateContext> {
    let facts = sqlx::query_as::<_, Facts>(
        "select window_start, window_end, logical_date, params::text as params from runs where id = $1",
    )
    .bind(run.id)
    .fetch_one(&mut *conn)
    .await?;
    let dag = &run.dag;
    let def = &dag.tasks[task];
    Ok(TemplateContext {
        dag: DagFacts { id: dag.id.clone(), description: dag.description.clone(), tags: dag.tags.clone() },
        run: RunFacts {
            id: run.run_id.clone(),
            state: state_of(run, task).as_str().to_owned(),
            tick: facts.logical_date,
        },
        task: TaskFacts { id: def.id.clone(), map_index: -1, try_number: 0 },
        window: facts.window_start.zip(facts.window_end).map(|(start, end)| Window { start, end }),
        params: parse_json("runs", "params", run.id, &facts.params)?,
        outputs: upstream(conn, run.id, dag, task).await?.into_iter().collect(),
        ..TemplateContext::default()
    })
}

async fn settle(
    conn: &mut PgConnection,
    run: &mut LockedRun,
    task: usize,
    state: TaskState,
    message: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let done = sqlx::query(
        "update task_instances set state = $3, ended_at = $4, message = $5
         where run = $1 and task = $2 and map_index = -1 and task_may_become(state, $3)",
    )
    .bind(run.id)
    .bind(number(task))
    .bind(state.as_str())
    .bind(now)
    .bind(clean(message))
    .execute(conn)
    .await?;
    if done.rows_affected() != 1 {
        return Err(Error::Stale { what: format!("task {task} of run {}", run.id) });
    }
    run.find(task, -1)?.state = state;
    Ok(())
}

/// Tries go on counting where those of an instance with the same index ended, if the task was expanded before. Returns them.
async fn replace(
    conn: &mut PgConnection,
    run: &mut LockedRun,
    task: usize,
    items: &[Value],
) -> Result<HashMap<i32, i32>> {
    let texts: Vec<String> = items.iter().map(Value::to_string).collect();
    let made = sqlx::query_as::<_, (i32, i32)>(
        "with gone as (
            delete from task_instances where run = $1 and task = $2 and map_index = -1 and state = 'none' returning task_id
         ), tries as (
            select map_index, max(try_number) as tries from attempt_history where run = $1 and task = $2 group by map_index
         )
         insert into task_instances (run, task, map_index, task_id, try_number, item)
         select $1, $2, i.position - 1, gone.task_id, coalesce(tries.tries, 0), i.item::json
         from gone cross join unnest($3::text[]) with ordinality as i(item, position)
         left join tries on tries.map_index = i.position - 1
         returning map_index, try_number",
    )
    .bind(run.id)
    .bind(number(task))
    .bind(&texts)
    .fetch_all(conn)
    .await?;
    if made.len() != items.len() {
        return Err(Error::Stale { what: format!("task {task} of run {}", run.id) });
    }
    let tries: HashMap<i32, i32> = made.into_iter().collect();
    let instances = (0i32..).take(items.len()).map(|map_index| TaskSnapshot {
        try_number: tries.get(&map_index).copied().unwrap_or(0),
        ..TaskSnapshot::waiting(task, map_index)
    });
    run.put(task, instances.collect());
    Ok(tries)
}

/// Takes a group, or the run, back to where it is tried again. All that came before is written.
pub(crate) async fn retry(conn: &mut PgConnection, run: &mut LockedRun, retry: Retry) -> Result<()> {
    let Retry { group, used, until, reset, late } = retry;
    let of_late = run.tasks().iter().filter(|instance| late.contains(&instance.task));
    let of_late: Vec<(usize, i32)> = of_late.map(|instance| (instance.task, instance.map_index)).collect();
    let found: Vec<Found> = reset
        .iter()
        .chain(&of_late)
        .map(|(task, map_index)| (number(*task), *map_index, run.dag.tasks[*task].id.clone()))
        .collect();
    clear::reset(conn, run.id, &found).await?;
    for (task, map_index) in &reset {
        let position = run.position(*task, *map_index)?;
        let (instance, counts) = run.at(position);
        let try_number = instance.try_number;
        *instance = TaskSnapshot { try_number, ..TaskSnapshot::waiting(*task, *map_index) };
        *counts = Counts::default();
    }
    if !late.is_empty() {
        let tasks: Vec<i32> = late.iter().map(|task| number(*task)).collect();
        clear::forget_items(conn, &[run.id], Some(&tasks)).await?;
        for task in late {
            run.put(task, vec![TaskSnapshot::waiting(task, -1)]);
        }
    }
    run.retries = retried(&run.retries, group.as_deref(), used, until);
    Ok(())
}

fn number(task: usize) -> i32 {
    i32::try_from(task).unwrap_or(i32::MAX)
}
