//! Which room may import which, and which room alone may use a dangerous crate.

use anyhow::{Context, Result};
use std::path::Path;
use toml::Table;

struct Room {
    name: &'static str,
    folder: &'static str,
    may_import: &'static [&'static str],
}

const fn room(name: &'static str, folder: &'static str, may_import: &'static [&'static str]) -> Room {
    Room { name, folder, may_import }
}

const ROOMS: &[Room] = &[
    room("model", "orchestrator/model", &[]),
    room("postgres", "orchestrator/postgres", &[]),
    room("store", "orchestrator/store", &["model"]),
    room("engine", "orchestrator/engine", &["model", "store"]),
    room("google", "tasks/google", &[]),
    room("warehouse", "tasks/warehouse", &["google"]),
    room("kafka", "tasks/kafka", &["google"]),
    room("generator", "tasks/generator", &["kafka"]),
    room("broker", "tasks/broker", &[]),
    room("lake", "tasks/lake", &["google", "model"]),
    room("transform", "tasks/transform", &["model", "warehouse"]),
    room("stream", "tasks/stream", &["kafka", "lake", "model"]),
    room("kinds", "tasks/kinds", &["lake", "model", "transform", "warehouse"]),
    room("web", "web", &["model", "store", "warehouse"]),
    room(
        "app",
        "app",
        &[
            "broker",
            "engine",
            "generator",
            "google",
            "kafka",
            "kinds",
            "lake",
            "model",
            "postgres",
            "store",
            "stream",
            "transform",
            "warehouse",
            "web",
        ],
    ),
    room("testkit", "testkit", &["postgres"]),
    room("xtask", "xtask", &["postgres"]),
];

/// (crate, the rooms that may use it)
const OWNERS: &[(&str, &[&str])] = &[
    ("sqlx", &["store", "testkit"]),
    ("axum", &["web"]),
    ("askama", &["web"]),
    ("rdkafka", &["kafka", "generator", "stream"]),
    ("kafka-protocol", &["broker"]),
    ("lettre", &["kinds"]),
    ("object_store", &["lake"]),
    ("duckdb", &["warehouse"]),
    ("gcp-bigquery-client", &["warehouse"]),
    ("ring", &["google"]),
    ("parquet", &["stream"]),
    ("petgraph", &["model", "transform"]),
    ("saphyr", &["model", "transform", "lake", "stream", "xtask"]),
    ("tokio-cron-scheduler", &["engine"]),
    ("notify", &["engine"]),
    ("clap", &["app"]),
    ("opentelemetry-proto", &["app"]),
    ("prost", &["app"]),
    ("anyhow", &["app", "xtask"]),
];

pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let workspace = read(&root.join("Cargo.toml"))?;
    let members = workspace["workspace"]["members"].as_array().context("workspace.members")?;
    for member in members.iter().filter_map(toml::Value::as_str) {
        if !ROOMS.iter().any(|room| room.folder == member) {
            problems.push(format!("{member} is no known room: add it to the table in xtask/src/tidy/arrows.rs and to ARCHITECTURE.md"));
        }
    }
    for room in ROOMS {
        let file = root.join(room.folder).join("Cargo.toml");
        let manifest = read(&file)?;
        let shown = format!("{}/Cargo.toml", room.folder);
        if manifest.get("lints").and_then(|lints| lints.get("workspace")).is_none() {
            problems.push(format!("{shown}: `[lints] workspace = true` is missing"));
        }
        let empty = Table::new();
        let imports = manifest.get("dependencies").and_then(toml::Value::as_table).unwrap_or(&empty);
        for import in imports.keys() {
            problems.extend(refuse(room, import).map(|why| format!("{shown}: {why}")));
        }
    }
    Ok(problems)
}

/// Dev-dependencies are free; these are the normal ones.
fn refuse(room: &Room, import: &str) -> Option<String> {
    let is_ours = ROOMS.iter().any(|other| other.name == import);
    if is_ours && !room.may_import.contains(&import) {
        return Some(format!("the arrow {} -> {import} is not allowed", room.name));
    }
    let (_, owners) = OWNERS.iter().find(|(name, _)| *name == import)?;
    (!owners.contains(&room.name))
        .then(|| format!("{import} belongs to {}, not to {}", owners.join(", "), room.name))
}

fn read(file: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.parse().with_context(|| file.display().to_string())
}
