//! `streamify kind`: what tasks can use, those of the program and those that people wrote.

use crate::cli::KindCommand;
use crate::config::Config;
use crate::{offline, output};
use anyhow::{Result, bail};
use model::Registry;
use serde_json::{Value, json};
use std::process::ExitCode;

pub fn run(config: &Config, command: KindCommand) -> Result<ExitCode> {
    let registry = offline::registry(&config.dags_dir())?;
    match command {
        KindCommand::List => list(config, &registry),
        KindCommand::Show { kind } => show(config, &registry, &kind),
    }
}

fn list(config: &Config, registry: &Registry) -> Result<ExitCode> {
    let kinds: Vec<Value> = registry.names().filter_map(|name| described(registry, name)).collect();
    if config.json {
        output::json(&kinds)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |kind: &Value, key: &str| kind[key].as_str().unwrap_or_default().to_string();
    let rows = kinds.iter().map(|kind| vec![text(kind, "kind"), what(kind), text(kind, "summary")]);
    println!("{}", output::table(&["kind", "", "does"], rows));
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Config, registry: &Registry, name: &str) -> Result<ExitCode> {
    let Some(kind) = described(registry, name) else {
        let near = model::suggest::hint(name, registry.names()).unwrap_or_default();
        bail!("there is no kind `{name}`; {near}")
    };
    if config.json {
        output::json(&kind)?;
        return Ok(ExitCode::SUCCESS);
    }
    let what = what(&kind);
    println!("{name}{}", if what.is_empty() { String::new() } else { format!(" ({what})") });
    println!("{}\n", kind["summary"].as_str().unwrap_or_default());
    let with = &kind["with"];
    let required: Vec<&str> =
        with["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let keys = with["properties"].as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = keys
        .map(|(key, schema)| {
            let default = schema.get("default").filter(|default| !default.is_null());
            let need = match default {
                _ if required.contains(&key.as_str()) => "required".to_string(),
                Some(default) => format!("default {default}"),
                None => String::new(),
            };
            let description = schema["description"].as_str().unwrap_or_default();
            vec![key.clone(), type_of(schema), need, description.replace('\n', " ")]
        })
        .collect();
    if rows.is_empty() {
        println!("takes no `with`");
    } else {
        println!("{}", output::table(&["with", "type", "", "meaning"], rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is known of the kind, for programs.
fn described(registry: &Registry, name: &str) -> Option<Value> {
    if let Some(kind) = registry.get(name) {
        return Some(json!({
            "kind": name, "summary": kind.summary(), "service": kind.is_service(), "branch": kind.is_branch(),
            "route": kind.route(), "with": kind.with_schema(),
        }));
    }
    let custom = registry.custom(name)?;
    let behind = registry.get(custom.uses());
    Some(json!({
        "kind": name, "summary": custom.summary(), "service": behind.is_some_and(|kind| kind.is_service()),
        "branch": behind.is_some_and(|kind| kind.is_branch()), "route": behind.and_then(|kind| kind.route()),
        "file": custom.file(), "uses": custom.uses(), "with": custom.with_schema(),
    }))
}

fn what(kind: &Value) -> String {
    let mut words = Vec::new();
    for key in ["service", "branch"] {
        if kind[key] == json!(true) {
            words.push(key.to_string());
        }
    }
    words.extend(kind["route"].as_str().map(|route| format!("where the {route} is")));
    if let (Some(uses), Some(file)) = (kind["uses"].as_str(), kind["file"].as_str()) {
        words.push(format!("{uses}, by {file}"));
    }
    words.join(", ")
}

fn type_of(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            let mut types: Vec<String> = choices.iter().map(type_of).filter(|name| name != "null").collect();
            types.dedup();
            return types.join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.collect::<Vec<_>>().join(" or ")
        }
        _ => schema["const"].as_str().map_or_else(|| "any".to_string(), |word| format!("\"{word}\"")),
    }
}
