//! What a service tells of itself, as figures and tables: totals first, then a row for each of its parts (topics), and what lies deeper
//! (partitions) behind a fold. Known keys come first and get their units; nothing is left out.

use crate::ui::{self, Html, esc};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::fmt::Write;

/// The order in which people look, and what each is called.
const FIGURES: [(&str, &str); 15] = [
    ("state", "State"),
    ("error", "Error"),
    ("lag", "Lag"),
    ("events_per_second", "Events / s"),
    ("rows", "Rows"),
    ("events", "Events"),
    ("page_views", "Page views"),
    ("dead_letters", "Dead letters"),
    ("watermark", "Complete up to"),
    ("last_commit_at", "Last commit"),
    ("event_time", "Event time"),
    ("users", "Users"),
    ("files", "Files"),
    ("bytes", "Bytes"),
    ("progress", "Progress"),
];

/// The columns that come first in a table of parts.
const COLUMNS: [&str; 4] = ["rows", "lag", "watermark", "dead_letters"];

/// Keys of the parts that make sense as a sum over all of them.
const SUMMED: [(&str, &str); 3] =
    [("lag", "Total lag"), ("rows", "Total rows"), ("dead_letters", "Total dead letters")];

/// A table with more columns wants the whole width of the page.
const NARROW: usize = 6;

/// A status, drawn.
#[derive(Default)]
pub struct Drawn {
    pub html: Html,
    /// It has a table that does not fit beside other cards.
    pub is_wide: bool,
}

struct Figure<'a> {
    key: &'a str,
    name: String,
    shown: Html,
    /// Words, which are set smaller than numbers.
    is_text: bool,
}

/// `id` is of the page, and begins the ids of what can be unfolded.
pub fn draw(value: &Value, id: &str, now: DateTime<Utc>) -> Drawn {
    let Value::Object(fields) = value else {
        return Drawn {
            html: Html(format!("<pre>{}</pre>", esc(&super::figures::pretty(value)))),
            is_wide: false,
        };
    };
    let mut figures: Vec<Figure> = Vec::new();
    let (mut tables, mut folds, mut is_wide) = (String::new(), String::new(), false);
    for (key, value) in fields {
        match value {
            Value::Object(inner) if inner.is_empty() => {}
            Value::Null => {}
            Value::Object(parts) if parts.values().all(Value::is_object) => {
                let (columns, nested) = columns(parts);
                is_wide |= columns.len() + 1 > NARROW;
                tables.push_str(&parts_table(key, parts, &columns, now));
                for column in nested {
                    folds.push_str(&fold(id, key, column, parts, now));
                }
                figures.extend(totals(fields, parts, now));
            }
            other => {
                let known = FIGURES.iter().find(|(known, _)| known == key);
                let name = known.map_or_else(|| title(key), |(_, name)| (*name).to_string());
                figures.push(Figure { key, name, shown: show(other, now), is_text: !other.is_number() });
            }
        }
    }
    let rank = |key: &str| FIGURES.iter().position(|(known, _)| *known == key).unwrap_or(FIGURES.len());
    figures.sort_by_key(|figure| rank(figure.key));
    let mut html = String::new();
    if !figures.is_empty() {
        html.push_str(r#"<dl class="figures">"#);
        for Figure { name, shown, is_text, .. } in figures {
            let class = if is_text { r#" class="text""# } else { "" };
            let _ = write!(html, "<div><dt>{}</dt><dd{class}>{shown}</dd></div>", esc(&name));
        }
        html.push_str("</dl>");
    }
    Drawn { html: Html(html + &tables + &folds), is_wide }
}

/// What the parts come to together, where the service does not say it itself. One part that does not know yet makes the whole unknown.
fn totals(said: &Map<String, Value>, parts: &Map<String, Value>, now: DateTime<Utc>) -> Vec<Figure<'static>> {
    let of = |key: &str| -> Vec<&Value> { parts.values().filter_map(|part| part.get(key)).collect() };
    let figure = |key, name: &str, shown: Option<Html>, is_text| {
        let is_text = is_text || shown.is_none();
        let shown = shown.unwrap_or_else(|| Html("not known yet".into()));
        Figure { key, name: name.into(), shown, is_text }
    };
    let mut totals = Vec::new();
    for (key, name) in SUMMED {
        let values = of(key);
        if said.contains_key(key) || values.is_empty() {
            continue;
        }
        let sum = values.iter().map(|value| value.as_f64()).sum::<Option<f64>>();
        totals.push(figure(key, name, sum.map(|sum| Html(ui::number(sum))), false));
    }
    let watermarks = of("watermark");
    if !said.contains_key("watermark") && !watermarks.is_empty() {
        let times: Option<Vec<DateTime<Utc>>> = watermarks.iter().map(|value| instant(value)).collect();
        let lowest = times.and_then(|times| times.into_iter().min());
        totals.push(figure("watermark", "Lowest watermark", lowest.map(|at| moment(at, now)), true));
    }
    totals
}

/// The columns of a table of parts, known ones first, and apart from them those that are not single values.
fn columns(parts: &Map<String, Value>) -> (Vec<&str>, Vec<&str>) {
    let (mut flat, mut nested): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for (key, value) in parts.values().filter_map(Value::as_object).flatten() {
        let into = if value.is_object() || value.is_array() { &mut nested } else { &mut flat };
        if !into.contains(&key.as_str()) {
            into.push(key);
        }
    }
    flat.retain(|key| !nested.contains(key));
    flat.sort_by_key(|key| COLUMNS.iter().position(|known| known == key).unwrap_or(COLUMNS.len()));
    (flat, nested)
}

fn parts_table(name: &str, parts: &Map<String, Value>, columns: &[&str], now: DateTime<Utc>) -> String {
    let mut body = String::new();
    for (key, part) in parts {
        let _ = write!(body, r#"<tr><th scope="row">{}</th>{}</tr>"#, esc(key), cells(part, columns, now));
    }
    scrolled(&title(name), &format!(r#"<th scope="col">{}</th>{}"#, esc(&title(name)), heads(columns)), &body)
}

/// One level deeper: a row for each part and what it holds, folded away.
fn fold(id: &str, name: &str, column: &str, parts: &Map<String, Value>, now: DateTime<Utc>) -> String {
    let inner: Vec<(&str, &str, &Value)> = parts
        .iter()
        .filter_map(|(part, fields)| Some((part, fields.get(column)?.as_object()?)))
        .flat_map(|(part, inner)| inner.iter().map(move |(key, value)| (part.as_str(), key.as_str(), value)))
        .collect();
    let rows_are_objects = !inner.is_empty() && inner.iter().all(|(_, _, value)| value.is_object());
    let shown = if rows_are_objects {
        let mut columns: Vec<&str> = Vec::new();
        for key in inner.iter().filter_map(|(_, _, value)| value.as_object()).flat_map(Map::keys) {
            if !columns.contains(&key.as_str()) {
                columns.push(key);
            }
        }
        let mut body = String::new();
        for (part, key, value) in &inner {
            let (part, key) = (esc(part), esc(key));
            let cells = cells(value, &columns, now);
            let _ = write!(body, r#"<tr><th scope="row">{part}</th><th scope="row">{key}</th>{cells}</tr>"#);
        }
        let head = format!(
            r#"<th scope="col">{}</th><th scope="col">{}</th>{}"#,
            esc(&title(name)),
            esc(&title(column)),
            heads(&columns)
        );
        scrolled(&title(column), &head, &body)
    } else {
        let facts: Map<String, Value> = parts
            .iter()
            .filter_map(|(part, fields)| Some((part.clone(), fields.get(column)?.clone())))
            .collect();
        format!("<pre>{}</pre>", esc(&super::figures::pretty(&Value::Object(facts))))
    };
    format!(
        r#"<details id="{}-{}"><summary>{}</summary>{shown}</details>"#,
        esc(id),
        esc(column),
        esc(&title(column))
    )
}

fn heads(columns: &[&str]) -> String {
    columns.iter().map(|key| format!(r#"<th scope="col" class="num">{}</th>"#, esc(&title(key)))).collect()
}

fn cells(row: &Value, columns: &[&str], now: DateTime<Utc>) -> String {
    let cell = |key: &&str| row.get(*key).map_or_else(Html::default, |value| short(value, now));
    columns.iter().map(|key| format!(r#"<td class="num nowrap">{}</td>"#, cell(key))).collect()
}

/// A table that scrolls inside its card, also with the keyboard.
fn scrolled(label: &str, head: &str, body: &str) -> String {
    format!(
        r#"<div class="scroll" data-scroll tabindex="0" role="region" aria-label="{}"><table class="mini"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"#,
        esc(label)
    )
}

/// `events_per_second` -> `Events per second`.
fn title(key: &str) -> String {
    let words = key.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
    Some(at.to_utc())
}

/// As [`show`], for a narrow column: an instant only as its distance.
fn short(value: &Value, now: DateTime<Utc>) -> Html {
    instant(value).map_or_else(|| show(value, now), |at| ui::ago(at, now))
}

fn moment(at: DateTime<Utc>, now: DateTime<Utc>) -> Html {
    Html(format!(r#"{} <span class="muted small">{}</span>"#, ui::full(at), ui::ago(at, now)))
}

fn show(value: &Value, now: DateTime<Utc>) -> Html {
    match value {
        Value::Number(number) => Html(ui::number(number.as_f64().unwrap_or(f64::NAN))),
        Value::String(text) => instant(value).map_or_else(|| Html(esc(text)), |at| moment(at, now)),
        Value::Bool(yes) => Html(if *yes { "yes" } else { "no" }.into()),
        Value::Null => ui::dash(),
        other => Html(format!("<code>{}</code>", esc(&other.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn html(value: Value) -> String {
        draw(&value, "s", DateTime::UNIX_EPOCH).html.0
    }

    #[track_caller]
    fn in_order(html: &str, words: &[&str]) {
        let mut rest = html;
        for word in words {
            let at = rest.find(word).unwrap_or_else(|| panic!("lacks '{word}' in its place: {html}"));
            rest = &rest[at..];
        }
    }

    #[test]
    fn a_status_shows_every_key_and_escapes_what_a_service_says() {
        let html = html(json!({
            "rows": 1234567, "state": "<b>", "topics": { "<i>": { "<u>": 3, "deep": { "<s>": "<em>" } } }, "odd": [1, 2], "none": null,
        }));
        in_order(&html, &["State", "&lt;b&gt;", "Rows", "1,234,567", "[1,2]", "Topics"]);
        for evil in ["<b>", "<i>", "<u>", "<s>", "<em>"] {
            assert!(!html.contains(evil), "{evil}: {html}");
        }
    }

    #[test]
    fn known_columns_come_first_and_nested_objects_are_folded_away() {
        let topic = json!({
            "skipped": 1, "dead_letters": 2, "watermark": "1970-01-01T00:00:00Z", "lag": 5, "rows": 7,
            "partitions": { "0": { "committed_offset": 41, "watermark": null } },
        });
        let html = html(json!({ "topics": { "listen_events": topic } }));
        let (table, fold) = html.split_once("<details id=\"s-partitions\">").expect("a fold");
        in_order(
            table,
            &["<thead>", ">Topics<", ">Rows<", ">Lag<", ">Watermark<", ">Dead letters<", ">Skipped<"],
        );
        assert!(!table.contains("artitions") && !table.contains("41"), "{table}");
        in_order(fold, &["<summary>Partitions", "Committed offset", "listen_events", ">0<", ">41<"]);
    }

    #[test]
    fn the_totals_are_of_all_parts_or_unknown() {
        let status = |lag: Value, at: Value| {
            let one = json!({ "lag": 2, "watermark": "1969-12-31T23:00:00Z" });
            html(json!({ "topics": { "a": one, "b": { "lag": lag, "watermark": at } } }))
        };
        let known = status(json!(3), json!("1969-12-31T22:00:00Z"));
        in_order(
            &known,
            &["<dt>Total lag</dt><dd>5</dd>", "<dt>Lowest watermark", "1969-12-31 22:00:00", "2 h ago"],
        );
        let unknown = status(Value::Null, Value::Null);
        in_order(
            &unknown,
            &["Total lag</dt><dd class=\"text\">not known yet", "Lowest watermark", "not known yet", "</dl>"],
        );
        let said = html(json!({ "lag": 9, "topics": { "a": { "lag": 2 } } }));
        assert!(said.contains("<dt>Lag</dt><dd>9</dd>") && !said.contains("Total lag"), "{said}");
        assert!(!html(json!({ "topics": { "a": { "sent": 2 } } })).contains("Total"));
    }

    #[test]
    fn only_a_table_of_many_columns_is_wide() {
        let with = |columns: usize| {
            let part: Map<String, Value> = (0..columns).map(|i| (format!("c{i}"), json!(i))).collect();
            draw(&json!({ "topics": { "a": part } }), "s", DateTime::UNIX_EPOCH).is_wide
        };
        assert!(!with(2) && !with(5) && with(6) && with(9));
    }
}
