//! JSON as people read it: rows as a table, facts as a list, the rest as it is written.

use crate::ui::{Html, esc};
use serde_json::{Map, Value};
use std::fmt::Write;

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
    Html(format!(
        r#"<div class="scroll" data-scroll tabindex="0" role="region" aria-label="Rows"><table class="mini"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"#
    ))
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
