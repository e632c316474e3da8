//! The content hash that names a version of a dag.

use crate::dag::{Dag, TaskDef};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of the dag, in hex. The order of keys in the file does not matter.
pub fn dag_hash(dag: &Dag) -> String {
    let mut hash = Sha256::new();
    let mut bytes = Vec::new();
    let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
        bytes.clear();
        write(&mut bytes);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    };
    add(&|bytes| canonical(&value_of(&without_tasks(dag)), bytes));
    for task in &dag.tasks {
        // Only values that a file holds as they are can have their keys in any order.
        let known = TaskDef { with: Value::Null, for_each: None, ..task.clone() };
        add(&|bytes| plain(&known, bytes));
        add(&|bytes| canonical(&task.with, bytes));
        add(&|bytes| canonical(&value_of(&task.for_each), bytes));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All of it named, so that a new field cannot be forgotten here.
fn without_tasks(dag: &Dag) -> Dag {
    let Dag {
        id,
        description,
        tags,
        schedule,
        window,
        start,
        catchup,
        overlap,
        max_active_runs,
        max_active_tasks,
        params,
        tasks: _,
        paused,
        groups,
        retries,
        deadline,
        notify,
    } = dag;
    Dag {
        id: id.clone(),
        description: description.clone(),
        tags: tags.clone(),
        schedule: schedule.clone(),
        window: window.clone(),
        start: *start,
        catchup: *catchup,
        overlap: *overlap,
        max_active_runs: *max_active_runs,
        max_active_tasks: *max_active_tasks,
        params: params.clone(),
        tasks: Vec::new(),
        paused: *paused,
        groups: groups.clone(),
        retries: retries.clone(),
        deadline: *deadline,
        notify: notify.clone(),
    }
}

fn value_of(what: &impl Serialize) -> Value {
    serde_json::to_value(what).expect("a dag is made of what JSON can hold")
}

fn plain(what: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, what).expect("a dag is made of what JSON can hold");
}

fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                plain(key, out);
                out.push(b':');
                canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                canonical(item, out);
            }
            out.push(b']');
        }
        scalar => plain(scalar, out),
    }
}
