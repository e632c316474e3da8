//! The JSON Schema of dag files (draft 7, which editors know best), with the schema of each kind's `with:` chosen by `uses:`.

use super::file::DagFile;
use crate::registry::Registry;
use serde_json::{Map, Value, json};

/// Where schemars puts definitions in draft 7.
const DEFINITIONS: &str = "definitions";

pub fn json_schema(registry: &Registry) -> Value {
    let settings = schemars::generate::SchemaSettings::draft07();
    let mut root = settings.into_generator().into_root_schema_for::<DagFile>().to_value();
    root["title"] = json!("Streamify dag");
    let mut kinds: Vec<Value> =
        registry.iter().map(|kind| json!({ "const": kind.kind(), "description": kind.summary() })).collect();
    kinds.extend(
        registry.customs().map(|kind| json!({ "const": kind.name(), "description": kind.summary() })),
    );
    let mut definitions = Map::new();
    let own = registry.iter().map(|kind| (kind.kind(), kind.with_schema()));
    let custom = registry.customs().map(|kind| (kind.name(), kind.with_schema()));
    let choices: Vec<Value> =
        own.chain(custom).map(|(name, with)| choice(name, with, &mut definitions)).collect();
    let task = &mut root[DEFINITIONS]["TaskField"];
    if !kinds.is_empty() {
        task["properties"]["uses"] = json!({ "description": "The kind of task.", "oneOf": kinds });
        task["allOf"] = Value::Array(choices);
    }
    if let Some(known) = root[DEFINITIONS].as_object_mut() {
        known.extend(definitions);
    }
    root
}

/// If `uses` is this kind, then `with` is this.
fn choice(kind: &str, mut with: Value, definitions: &mut Map<String, Value>) -> Value {
    let prefix = format!("{kind}.");
    for key in ["$defs", DEFINITIONS] {
        let own = with.as_object_mut().and_then(|with| with.remove(key));
        for (name, mut definition) in own.as_ref().and_then(Value::as_object).cloned().unwrap_or_default() {
            point_to_root(&mut definition, &prefix);
            definitions.insert(format!("{prefix}{name}"), definition);
        }
    }
    point_to_root(&mut with, &prefix);
    if let Some(with) = with.as_object_mut() {
        with.remove("$schema");
        with.insert("title".to_owned(), json!(format!("with of {kind}")));
    }
    allow_templates(&mut with);
    let needs_with = with.get("required").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
    let mut then = json!({ "properties": { "with": with } });
    if needs_with {
        then["required"] = json!(["with"]);
    }
    json!({ "if": { "properties": { "uses": { "const": kind } }, "required": ["uses"] }, "then": then })
}

/// References to the kind's own definitions become references to the file's, under the kind's name.
fn point_to_root(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let name = value.as_str().and_then(|target| {
                    target.strip_prefix("#/$defs/").or_else(|| target.strip_prefix("#/definitions/"))
                });
                match name.filter(|_| key == "$ref") {
                    Some(name) => *value = Value::String(format!("#/{DEFINITIONS}/{prefix}{name}")),
                    None => point_to_root(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_to_root(item, prefix)),
        _ => {}
    }
}

/// Each key of `with` may also be a template.
fn allow_templates(with: &mut Value) {
    let Some(properties) = with.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for schema in properties.values_mut() {
        let plain_text = schema.get("type") == Some(&json!("string"))
            && ["enum", "pattern", "format", "const"].iter().all(|key| schema.get(*key).is_none());
        if !plain_text {
            let description = schema.get("description").cloned();
            let template = json!({ "type": "string", "pattern": "\\{\\{|\\{%" });
            *schema = json!({ "anyOf": [schema.take(), template] });
            if let Some(description) = description {
                schema["description"] = description;
            }
        }
    }
}
