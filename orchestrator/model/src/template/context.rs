//! What a template can name.

use crate::window::Window;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateContext {
    pub dag: DagFacts,
    pub run: RunFacts,
    pub task: TaskFacts,
    pub window: Option<Window>,
    /// As an object.
    pub params: Value,
    /// Of `for_each`.
    pub item: Option<Value>,
    pub conn: Map<String, Value>,
    pub var: Map<String, Value>,
    pub secret: Map<String, Value>,
    /// The outputs of the tasks before this one, by id; of a mapped task an array.
    pub outputs: BTreeMap<String, Value>,
    /// More names (`event`, `notice`), where there are some.
    pub extra: Map<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DagFacts {
    pub id: String,
    pub description: String,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    pub id: String,
    pub state: String,
    /// The tick, or when a run by hand was asked for.
    pub tick: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskFacts {
    pub id: String,
    pub map_index: i32,
    pub try_number: i32,
}

impl TemplateContext {
    /// All names and their values. Instants are ISO-8601 in UTC; Airflow's names mean what they meant in Airflow 2: the logical date is
    /// the start of the window.
    pub(super) fn to_value(&self) -> minijinja::Value {
        let tasks = self.tasks();
        let params = if self.params.is_null() { json!({}) } else { self.params.clone() };
        let mut names = json!({
            "dag": { "id": self.dag.id, "dag_id": self.dag.id, "description": self.dag.description, "tags": self.dag.tags },
            "run": { "id": self.run.id, "state": self.run.state },
            "dag_run": { "run_id": self.run.id, "conf": params },
            "run_id": self.run.id,
            "task": { "id": self.task.id, "task_id": self.task.id, "map_index": self.task.map_index, "try_number": self.task.try_number },
            "ti": { "task_id": self.task.id, "map_index": self.task.map_index, "try_number": self.task.try_number },
            "params": params,
            "conn": self.conn,
            "var": self.var,
            "secret": self.secret,
            "tasks": tasks,
        });
        if let Some(tick) = self.run.tick {
            names["run"]["tick"] = iso(tick).into();
        }
        if let Some(window) = self.window {
            names["window"] = json!({ "start": iso(window.start), "end": iso(window.end) });
            names["data_interval_start"] = iso(window.start).into();
            names["data_interval_end"] = iso(window.end).into();
        }
        if let Some(item) = &self.item {
            names["item"] = item.clone();
        }
        if let Some(date) = self.window.map(|window| window.start).or(self.run.tick) {
            names["logical_date"] = iso(date).into();
            names["ds"] = date.format("%Y-%m-%d").to_string().into();
            names["ds_nodash"] = date.format("%Y%m%d").to_string().into();
            names["ts"] = iso(date).into();
            names["ts_nodash"] = date.format("%Y%m%dT%H%M%S").to_string().into();
        }
        if let Value::Object(names) = &mut names {
            names.extend(self.extra.clone());
        }
        minijinja::Value::from_serialize(&names)
    }

    /// A task of a group is found by its full id (`tasks['group.task']`, `tasks.group.task`), and by its short one from inside the group.
    fn tasks(&self) -> Map<String, Value> {
        let mut tasks = Map::new();
        let own_group = self.task.id.rsplit_once('.').map(|(group, _)| group);
        for (id, outputs) in &self.outputs {
            let task = json!({ "outputs": outputs });
            put(&mut tasks, id, &task);
            let mut group = own_group;
            while let Some(name) = group {
                if let Some(short) = id.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) {
                    put(&mut tasks, short, &task);
                }
                group = name.rsplit_once('.').map(|(outer, _)| outer);
            }
        }
        tasks
    }
}

fn put(tasks: &mut Map<String, Value>, id: &str, task: &Value) {
    tasks.insert(id.to_owned(), task.clone());
    let mut parts = id.split('.').peekable();
    let mut level = tasks;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            level.entry(part).or_insert_with(|| task.clone());
            return;
        }
        let Value::Object(next) = level.entry(part).or_insert_with(|| json!({})) else { return };
        level = next;
    }
}

fn iso(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
