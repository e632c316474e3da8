//! Our rows in Airflow's words. Where it has no word for a state of ours, the nearest is given and a note says so.

use crate::schedule_words;
use crate::ui::rfc3339;
use chrono::{DateTime, Utc};
use model::dag::{Schedule, TaskDef};
use model::{Dag, RunState, TaskState};
use serde_json::{Value, json};
use store::views::attempts::AttemptRow;
use store::views::dags::DagRow;
use store::views::instances::InstanceRow;
use store::views::runs::RunRow;

/// Airflow has no task without a pool.
const NO_POOL: &str = "default_pool";

fn time(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, |at| rfc3339(at).into())
}

fn seconds(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Value {
    let length = start.zip(end).map(|(start, end)| (end - start).num_milliseconds().max(0) as f64 / 1000.0);
    length.map_or(Value::Null, Into::into)
}

fn timetable(dag: &Dag) -> Value {
    match &dag.schedule {
        Schedule::Manual => Value::Null,
        Schedule::Cron { expressions, .. } => expressions.join("; ").into(),
        other => schedule_words::of(other).into(),
    }
}

pub fn dag(row: &DagRow, now: DateTime<Utc>) -> Value {
    let dag = &row.dag;
    let next = crate::pages::next_tick(row, now);
    let window = next.and_then(|tick| model::schedule::window_at(&dag.window, &dag.schedule, tick));
    json!({
        "dag_id": row.dag_id,
        "dag_display_name": row.dag_id,
        "is_paused": row.paused,
        "is_stale": !row.present,
        "last_parsed_time": time(Some(row.changed_at)),
        "last_expired": null,
        "bundle_name": "dags-folder",
        "bundle_version": row.version.to_string(),
        "relative_fileloc": row.file,
        "fileloc": row.file,
        "file_token": row.file,
        "description": if dag.description.is_empty() { Value::Null } else { dag.description.clone().into() },
        "timetable_summary": timetable(dag),
        "timetable_description": schedule_words::of(&dag.schedule),
        "tags": dag.tags.iter().map(|tag| json!({ "name": tag, "dag_id": row.dag_id, "dag_display_name": row.dag_id })).collect::<Vec<_>>(),
        "max_active_tasks": dag.max_active_tasks,
        "max_active_runs": dag.max_active_runs,
        "max_consecutive_failed_dag_runs": 0,
        "has_task_concurrency_limits": false,
        "has_import_errors": false,
        "next_dagrun_logical_date": time(window.map(|w| w.start).or(next)),
        "next_dagrun_data_interval_start": time(window.map(|w| w.start)),
        "next_dagrun_data_interval_end": time(window.map(|w| w.end)),
        "next_dagrun_run_after": time(next),
        "owners": ["streamify"],
    })
}

/// Airflow's versions have a UUID; ours is made of the row's number.
fn version(dag_id: &str, id: i64, number: i32, created_at: DateTime<Utc>) -> Value {
    json!({
        "id": format!("00000000-0000-0000-0000-{id:012x}"),
        "version_number": number,
        "dag_id": dag_id,
        "dag_display_name": dag_id,
        "bundle_name": "dags-folder",
        "bundle_version": number.to_string(),
        "bundle_url": null,
        "created_at": rfc3339(created_at),
    })
}

fn version_of(run: &RunRow) -> Value {
    version(&run.dag_id, run.version_id, run.version, run.version_created_at)
}

/// What `/details` adds.
pub fn dag_details(row: &DagRow, now: DateTime<Utc>) -> Value {
    let mut value = dag(row, now);
    let params: serde_json::Map<String, Value> = row
        .dag
        .params
        .iter()
        .map(|(name, param)| {
            let schema = json!({ "type": param.r#type, "enum": if param.allowed.is_empty() { Value::Null } else { param.allowed.clone().into() } });
            (name.clone(), json!({ "value": param.default, "description": param.description, "schema": schema }))
        })
        .collect();
    let extra = json!({
        "catchup": !matches!(row.dag.catchup, model::dag::Catchup::None),
        "start_date": time(row.dag.start),
        "end_date": null,
        "timezone": match &row.dag.schedule { Schedule::Cron { timezone, .. } => timezone.as_str(), _ => "UTC" },
        "params": params,
        "concurrency": row.dag.max_active_tasks,
        "latest_dag_version": version(&row.dag_id, row.version_id, row.version, row.changed_at),
        "render_template_as_native_obj": true,
        "window": schedule_words::window(&row.dag),
        "doc_md": null,
    });
    merge(&mut value, extra);
    value
}

fn merge(value: &mut Value, extra: Value) {
    if let (Value::Object(into), Value::Object(from)) = (value, extra) {
        into.extend(from);
    }
}

pub fn task(dag: &Dag, position: usize, task: &TaskDef) -> Value {
    let downstream: Vec<&str> = dag
        .tasks
        .iter()
        .filter(|other| other.needs.contains(&position))
        .map(|other| other.id.as_str())
        .collect();
    json!({
        "task_id": task.id,
        "task_display_name": task.id,
        "owner": "streamify",
        "operator_name": task.uses,
        "class_ref": { "module_path": "streamify", "class_name": task.uses },
        "trigger_rule": task.trigger_rule.to_string(),
        "is_mapped": task.for_each.is_some(),
        "depends_on_past": task.depends_on_past,
        "wait_for_downstream": false,
        "retry_exponential_backoff": task.retries.backoff > 1.0,
        "downstream_task_ids": downstream,
        "queue": task.queue,
        "pool": task.pool.as_deref().unwrap_or(NO_POOL),
        "priority_weight": task.priority,
        "retries": task.retries.limit,
        "execution_timeout": task.timeout.map(|timeout| json!({ "days": timeout.as_secs() / 86_400, "seconds": timeout.as_secs() % 86_400, "microseconds": 0 })),
        "start_date": time(dag.start),
        "end_date": null,
        "params": {},
        "extra_links": [],
    })
}

/// Airflow has no cancelled: such a run is `failed` there, and the note says what happened.
pub fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Cancelled => "failed",
        other => other.as_str(),
    }
}

fn task_state(state: TaskState) -> Value {
    match state {
        TaskState::None => Value::Null,
        TaskState::Cancelled => "failed".into(),
        other => other.as_str().into(),
    }
}

pub fn run(row: &RunRow) -> Value {
    let cancelled = row.state == RunState::Cancelled;
    let said = row.note.clone().filter(|note| !note.is_empty());
    let note = match (&said, cancelled) {
        (Some(note), true) => Some(format!("cancelled; {note}")),
        (None, true) => Some("cancelled".into()),
        (note, false) => note.clone(),
    };
    json!({
        "dag_run_id": row.run_id,
        "dag_id": row.dag_id,
        "dag_display_name": row.dag_id,
        "logical_date": time(row.logical_date),
        "queued_at": time(Some(row.queued_at)),
        "start_date": time(row.started_at),
        "end_date": time(row.ended_at),
        "duration": seconds(row.started_at, row.ended_at),
        "data_interval_start": time(row.window.map(|w| w.start)),
        "data_interval_end": time(row.window.map(|w| w.end)),
        "run_after": time(Some(row.run_after)),
        "last_scheduling_decision": null,
        "run_type": row.run_type,
        "state": run_state(row.state),
        "triggered_by": match row.run_type.as_str() { "scheduled" => "timetable", "backfill" => "backfill", "asset_triggered" => "asset", _ => "rest_api" },
        "triggering_user_name": if matches!(row.run_type.as_str(), "scheduled" | "asset_triggered") { Value::Null } else { row.requested_by.clone().into() },
        "conf": row.params,
        "note": note,
        "dag_versions": [version_of(row)],
        "bundle_version": row.version.to_string(),
        "partition_key": null,
    })
}

pub fn instance(row: &InstanceRow, dag: &Dag, run: Option<&RunRow>) -> Value {
    let task = dag.tasks.get(row.task as usize);
    json!({
        "id": format!("{}.{}.{}", row.run, row.task, row.map_index),
        "task_id": row.task_id,
        "dag_id": row.dag_id,
        "dag_run_id": row.run_id,
        "map_index": row.map_index,
        "logical_date": time(run.and_then(|run| run.logical_date)),
        "run_after": time(run.map(|run| run.run_after)),
        "start_date": time(row.started_at),
        "end_date": time(row.ended_at),
        "duration": seconds(row.started_at, row.ended_at),
        "state": task_state(row.state),
        "try_number": row.try_number,
        "max_tries": task.map_or(0, |task| task.retries.limit),
        "task_display_name": row.task_id,
        "dag_display_name": row.dag_id,
        "hostname": row.node,
        "unixname": "streamify",
        "pool": task.and_then(|task| task.pool.as_deref()).unwrap_or(NO_POOL),
        "pool_slots": task.map_or(1, |task| task.pool_slots),
        "queue": task.map(|task| task.queue.as_str()),
        "priority_weight": task.map(|task| task.priority),
        "operator": task.map(|task| task.uses.as_str()),
        "operator_name": task.map(|task| task.uses.as_str()),
        "queued_when": time(row.queued_at),
        "scheduled_when": time(row.queued_at),
        "pid": null,
        "executor": null,
        "executor_config": "{}",
        "note": row.message,
        "rendered_map_index": mapped_item(task, row.map_index),
        "rendered_fields": {},
        "trigger": null,
        "triggerer_job": null,
        "dag_version": run.map(version_of),
    })
}

fn mapped_item(task: Option<&TaskDef>, map_index: i32) -> Value {
    let item = task.and_then(|task| task.items()?.get(usize::try_from(map_index).ok()?));
    item.map_or(Value::Null, |item| item.as_str().map_or_else(|| item.to_string(), str::to_string).into())
}

/// One try in the shape of `TaskInstanceHistory`.
pub fn attempt(row: &InstanceRow, dag: &Dag, attempt: &AttemptRow) -> Value {
    let task = dag.tasks.get(row.task as usize);
    json!({
        "task_id": row.task_id,
        "dag_id": row.dag_id,
        "dag_run_id": row.run_id,
        "map_index": row.map_index,
        "start_date": time(attempt.started_at),
        "end_date": time(attempt.ended_at),
        "duration": seconds(attempt.started_at, attempt.ended_at),
        "state": match attempt.next_state.as_deref() { None => attempt.state.as_str(), Some("cancelled") => "failed", Some(state) => state },
        "try_number": attempt.try_number,
        "max_tries": task.map_or(0, |task| task.retries.limit),
        "task_display_name": row.task_id,
        "dag_display_name": row.dag_id,
        "hostname": attempt.node,
        "unixname": "streamify",
        "pool": task.and_then(|task| task.pool.as_deref()).unwrap_or(NO_POOL),
        "pool_slots": task.map_or(1, |task| task.pool_slots),
        "queue": task.map(|task| task.queue.as_str()),
        "priority_weight": task.map(|task| task.priority),
        "operator": task.map(|task| task.uses.as_str()),
        "operator_name": task.map(|task| task.uses.as_str()),
        "queued_when": time(Some(attempt.queued_at)),
        "scheduled_when": time(Some(attempt.queued_at)),
        "pid": null,
        "executor": null,
        "executor_config": "{}",
        "dag_version": null,
        "ending": attempt.state,
        "message": attempt.message,
    })
}
