//! What commands that ask for something share: who asks, `name=value`, times in tables.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use model::Window;
use serde_json::{Map, Value};

/// Whom the audit log names: the person at this machine.
pub fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    format!("{}@cli", user.map_or_else(|| "somebody".to_string(), |user| user.name))
}

/// `name=value` pairs as an object; a value is read as JSON if it is JSON.
pub fn params(texts: &[String]) -> Result<Map<String, Value>> {
    texts.iter().map(|text| param(text)).collect()
}

/// The same, `None` if there are none.
pub fn edits(texts: &[String]) -> Result<Option<Value>> {
    Ok(if texts.is_empty() { None } else { Some(Value::Object(params(texts)?)) })
}

fn param(text: &str) -> Result<(String, Value)> {
    let (name, value) = text.split_once('=').with_context(|| format!("`{text}`: write name=value"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_string()));
    Ok((name.to_string(), value))
}

pub fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(dash, |at| at.format("%F %T").to_string())
}

pub fn window(window: Option<Window>) -> String {
    window.map_or_else(dash, |window| {
        format!("{} .. {}", window.start.format("%F %R"), window.end.format("%F %R"))
    })
}

pub fn took(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> String {
    start.zip(end).map_or_else(dash, |(start, end)| format!("{:.1} s", (end - start).as_seconds_f64()))
}

pub fn dash() -> String {
    "-".to_string()
}
