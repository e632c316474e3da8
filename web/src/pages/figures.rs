//! JSON that a service or a check gave, as figures and tables. Known keys come first and get their units; nothing is left out.

use crate::ui::{self, Html, esc};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::fmt::Write;

/// The order in which people look, and what each is called.
const KNOWN: [(&str, &str); 12] = [
    ("state", "State"),
    ("lag", "Lag"),
    ("events_per_second", "Events / s"),
    ("rows", "Rows"),
    ("events", "Events"),
    ("dead_letters", "Dead letters"),
    ("watermark", "Complete up to"),
    ("event_time", "Event time"),
    ("users", "Users"),
    ("files", "Files"),
    ("bytes", "Bytes"),
    ("progress", "Progress"),
];

/// The status of a service: scalars as figures, objects of objects (topics) as a table.
pub fn status(value: &Value, now: DateTime<Utc>) -> Html {
    let Value::Object(fields) = value else { return Html(format!("<pre>{}</pre>", esc(&pretty(value)))) };
    let mut out = String::new();
    let known = KNOWN.iter().filter_map(|(key, name)| Some((*name, fields.get(*key)?)));
    let others = fields
        .iter()
        .filter(|(key, _)| KNOWN.iter().all(|(known, _)| known != key))
        .map(|(key, value)| (key.as_str(), value));
    let (mut figures, mut tables) = (String::new(), String::new());
    for (name, value) in known.chain(others) {
        match value {
            Value::Object(inner) if !inner.is_empty() && inner.values().all(Value::is_object) => {
                let _ = write!(tables, "{}", keyed_table(name, inner, now));
            }
            Value::Object(inner) if inner.is_empty() => {}
            Value::Null => {}
            Value::Object(_) | Value::Array(_) => {
                let _ = write!(
                    figures,
                    r#"<div><dt>{}</dt><dd class="text"><code>{}</code></dd></div>"#,
                    esc(&title(name)),
                    esc(&value.to_string())
                );
            }
            scalar => {
                let class = if scalar.is_number() { "" } else { r#" class="text""# };
                let _ = write!(
                    figures,
                    "<div><dt>{}</dt><dd{class}>{}</dd></div>",
                    esc(&title(name)),
                    show(scalar, now)
                );
            }
        }
    }
    if !figures.is_empty() {
        let _ = write!(out, r#"<dl class="figures">{figures}</dl>"#);
    }
    out.push_str(&tables);
    Html(out)
}

fn keyed_table(name: &str, rows: &Map<String, Value>, now: DateTime<Utc>) -> Html {
    let mut columns: Vec<&str> = Vec::new();
    for row in rows.values().filter_map(Value::as_object) {
        columns
            .extend(row.keys().map(String::as_str).filter(|key| !columns.contains(key)).collect::<Vec<_>>());
    }
    let head: String =
        columns.iter().map(|c| format!(r#"<th scope="col" class="num">{}</th>"#, esc(&title(c)))).collect();
    let mut body = String::new();
    for (key, row) in rows {
        let cells: String = columns
            .iter()
            .map(|c| {
                format!(
                    r#"<td class="num nowrap">{}</td>"#,
                    row.get(*c).map_or_else(Html::default, |v| short(v, now))
                )
            })
            .collect();
        let _ = write!(body, r#"<tr><th scope="row">{}</th>{cells}</tr>"#, esc(key));
    }
    Html(format!(
        r#"<table class="mini"><thead><tr><th scope="col">{}</th>{head}</tr></thead><tbody>{body}</tbody></table>"#,
        esc(&title(name))
    ))
}

/// An array of objects as a table; anything else as it is written.
pub fn table(value: &Value) -> Html {
    let rows: Vec<&Map<String, Value>> =
        value.as_array().into_iter().flatten().filter_map(Value::as_object).collect();
    if rows.is_empty() {
        return Html::default();
    }
    let mut columns: Vec<&String> = Vec::new();
    for row in &rows {
        let new: Vec<&String> = row.keys().filter(|key| !columns.contains(key)).collect();
        columns.extend(new);
    }
    let head: String = columns.iter().map(|c| format!(r#"<th scope="col">{}</th>"#, esc(c))).collect();
    let mut body = String::new();
    for row in rows {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let cells: String = columns
            .iter()
            .map(|c| format!("<td><code>{}</code></td>", esc(&row.get(*c).map_or_else(String::new, text))))
            .collect();
        let _ = write!(body, "<tr>{cells}</tr>");
    }
    Html(format!(r#"<table class="mini"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"#))
}

/// `events_per_second` -> `Events per second`.
fn title(key: &str) -> String {
    let words = key.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// As [`show`], for a narrow column: an instant only as its distance.
fn short(value: &Value, now: DateTime<Utc>) -> Html {
    let at = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    at.map_or_else(|| show(value, now), |at| ui::ago(at.to_utc(), now))
}

fn show(value: &Value, now: DateTime<Utc>) -> Html {
    match value {
        Value::Number(number) => Html(ui::number(number.as_f64().unwrap_or(f64::NAN))),
        Value::String(text) => match DateTime::parse_from_rfc3339(text) {
            Ok(at) => Html(format!(
                "{} <span class=\"muted small\">{}</span>",
                ui::full(at.to_utc()),
                ui::ago(at.to_utc(), now)
            )),
            Err(_) => Html(esc(text)),
        },
        Value::Bool(yes) => Html(if *yes { "yes" } else { "no" }.into()),
        Value::Null => ui::dash(),
        other => Html(esc(&other.to_string())),
    }
}

pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// Nested JSON as dotted names and values, for lists of facts.
pub fn flat(value: &Value) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    collect("", value, &mut facts);
    facts
}

fn collect(prefix: &str, value: &Value, facts: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                collect(&name, value, facts);
            }
        }
        Value::Null => facts.push((prefix.into(), "–".into())),
        Value::String(text) => facts.push((prefix.into(), text.clone())),
        other => facts.push((prefix.into(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_shows_every_key_and_escapes_what_a_service_says() {
        let value = json!({"rows": 1234567, "state": "<b>", "topics": {"listen": {"lag": 3}}, "odd": [1, 2], "none": null});
        let html = status(&value, DateTime::UNIX_EPOCH).0;
        assert!(
            html.contains("1,234,567")
                && html.contains("&lt;b&gt;")
                && html.contains("Topics")
                && html.contains("[1,2]")
        );
        assert!(!html.contains("<b>"));
        let (state, rows) = (html.find("State").unwrap(), html.find("Rows").unwrap());
        assert!(state < rows, "known keys in the order people look");
    }
}
