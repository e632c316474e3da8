//! The content hash that names a version of a dag.

use crate::dag::Dag;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of the dag as canonical JSON, in hex. The order of keys in the file does not matter.
pub fn dag_hash(dag: &Dag) -> String {
    let value = serde_json::to_value(dag).expect("a dag is made of what JSON can hold");
    let mut canonical = String::new();
    write(&value, &mut canonical);
    Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
