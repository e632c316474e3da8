//! Rows to a picture, by the kind of panel.

use super::ask::{Choice, View};
use super::file::{Kind, PanelFile};
use crate::svg::chart::{self, Series, Size};
use crate::svg::{bars, donut, heat, map};
use crate::ui::{self, Html, esc};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;
use warehouse::Rows;

pub fn choices(rows: &Rows) -> Vec<Choice> {
    (0..rows.len())
        .map(|row| Choice { value: text(rows.get(row, "value")), label: text(rows.get(row, "label")) })
        .filter(|choice| !choice.value.is_empty())
        .collect()
}

pub fn panel(
    panel: &PanelFile,
    rows: &Rows,
    view: &View,
    now: DateTime<Utc>,
    link: &(dyn Fn(&str, &str) -> String + Sync),
) -> Html {
    let nothing = rows.is_empty() || rows.rows.iter().flatten().all(Value::is_null);
    if nothing && panel.kind != Kind::Map {
        return Html(r#"<p class="nodata">Nothing in this period.</p>"#.into());
    }
    match panel.kind {
        Kind::Filter => Html::default(),
        Kind::Number => figure(panel, rows),
        Kind::Strip => strip(rows, now),
        Kind::Ranking => ranking(rows),
        Kind::Funnel => funnel(rows),
        Kind::Donut => ring(panel, rows),
        Kind::Stacked => {
            let (labels, series) = series(rows);
            let names: Vec<String> = series.iter().map(|s| s.name.clone()).collect();
            let keys = if names.len() > 1 { chart::keys(&names).0 } else { String::new() };
            Html(chart::stacked(&labels, &series, size(panel), &panel.title).0 + &keys)
        }
        Kind::Lines => {
            let (labels, series) = series(rows);
            let names: Vec<String> = series.iter().map(|s| s.name.clone()).collect();
            Html(chart::lines(&labels, &series, size(panel), &panel.title).0 + &chart::keys(&names).0)
        }
        Kind::Heat => grid(panel, rows),
        Kind::Map => {
            let values = (0..rows.len())
                .map(|row| (text(rows.get(row, "code")), number(rows.get(row, "value")).unwrap_or(0.0)))
                .collect();
            let picked = view.filters.get(&panel.filter).map(String::as_str);
            // A click on the picked state shows all again.
            let href = |code: &str| link(&panel.filter, if picked == Some(code) { "" } else { code });
            map::draw(&values, picked, href, &panel.title)
        }
    }
}

/// What a panel of this width has on a page of usual width, so that type in charts is as large as the rest.
fn size(panel: &PanelFile) -> Size {
    Size { width: f64::from(panel.width) * 112.0 - 48.0, height: f64::from(panel.height) }
}

fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Number(number) => number.as_f64(),
        // Integers beyond 64 bits, and decimals.
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn labelled(rows: &Rows) -> Vec<(String, f64)> {
    (0..rows.len())
        .map(|row| (text(rows.get(row, "label")), number(rows.get(row, "value")).unwrap_or(0.0)))
        .collect()
}

fn figure(panel: &PanelFile, rows: &Rows) -> Html {
    let Some(value) = number(rows.get(0, "value")) else {
        return Html(r#"<p class="nodata">Nothing in this period.</p>"#.into());
    };
    let shown = if panel.percent { format!("{value:.1} %") } else { ui::compact(value) };
    let exact = ui::number(value);
    let delta = match number(rows.get(0, "previous")) {
        Some(previous) if previous > 0.0 => {
            let change = (value - previous) / previous * 100.0;
            let good = (change > 0.0) != panel.down_is_better;
            let class = if change.abs() < 0.05 {
                "flat"
            } else if good {
                "up"
            } else {
                "down"
            };
            let arrow = if change > 0.0 { "▲" } else { "▼" };
            let (previous, size) = (ui::number(previous), change.abs());
            format!(r#"<span class="delta {class}" title="before: {previous}">{arrow} {size:.1} %</span>"#)
        }
        // No figure to compare with, though the panel compares.
        _ if rows.columns.iter().any(|column| column.name == "previous") => {
            r#"<span class="delta flat">no day before</span>"#.into()
        }
        _ => String::new(),
    };
    Html(format!(r#"<div><span class="big" title="{exact}">{shown}</span>{delta}</div>"#))
}

fn strip(rows: &Rows, now: DateTime<Utc>) -> Html {
    let mut out = String::from(r#"<dl class="strip">"#);
    for (i, column) in rows.columns.iter().enumerate() {
        let value = rows.rows[0].get(i);
        let time = value.and_then(Value::as_str).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let shown = match (time, number(value)) {
            (Some(at), _) => format!(
                r#"{} <span class="muted small">{}</span>"#,
                ui::minute(at.to_utc()),
                ui::ago(at.to_utc(), now)
            ),
            (None, Some(number)) => ui::number(number),
            (None, None) => esc(&text(value)),
        };
        let _ = write!(out, "<div><dt>{}</dt><dd>{shown}</dd></div>", esc(&column.name));
    }
    out.push_str("</dl>");
    Html(out)
}

fn ranking(rows: &Rows) -> Html {
    let rows = labelled(rows);
    let largest = rows.iter().map(|row| row.1).fold(0.0, f64::max);
    let mut out = String::from(r#"<table><tbody>"#);
    for (i, (label, value)) in rows.iter().enumerate() {
        let _ = write!(
            out,
            r#"<tr><td class="rank">{}</td><td class="label" title="{2}">{2}</td><td class="shade">{3}{1}</td></tr>"#,
            i + 1,
            ui::number(*value),
            esc(label),
            bars::shade(value / largest.max(1.0))
        );
    }
    out.push_str("</tbody></table>");
    Html(out)
}

fn funnel(rows: &Rows) -> Html {
    let rows = labelled(rows);
    let first = rows.first().map_or(1.0, |row| row.1.max(1.0));
    let mut out = String::from(r#"<table><tbody>"#);
    for (label, value) in &rows {
        let _ = write!(
            out,
            r#"<tr><td class="label">{}</td><td class="num nowrap">{:.1} %</td><td class="shade">{}{}</td></tr>"#,
            esc(label),
            value / first * 100.0,
            bars::shade(value / first),
            ui::number(*value)
        );
    }
    out.push_str("</tbody></table>");
    Html(out)
}

fn ring(panel: &PanelFile, rows: &Rows) -> Html {
    let parts = labelled(rows);
    let total: f64 = parts.iter().map(|part| part.1).sum();
    let names: Vec<String> = parts
        .iter()
        .map(|(name, value)| format!("{name} {:.1} % ({})", value / total * 100.0, ui::compact(*value)))
        .collect();
    Html(format!(r#"<div class="donut">{}{}</div>"#, donut::draw(&parts, &panel.title), chart::keys(&names)))
}

/// `label, series, value` as columns by label; both in the order of first appearance, labels sorted when series have different ones.
fn series(rows: &Rows) -> (Vec<String>, Vec<Series>) {
    let mut labels: Vec<String> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut values: HashMap<(String, String), f64> = HashMap::new();
    let mut first_has_all = true;
    for row in 0..rows.len() {
        let (label, name) = (text(rows.get(row, "label")), text(rows.get(row, "series")));
        if !names.contains(&name) {
            names.push(name.clone());
        }
        if !labels.contains(&label) {
            first_has_all &= names.len() == 1;
            labels.push(label.clone());
        }
        if let Some(value) = number(rows.get(row, "value")) {
            values.insert((label, name), value);
        }
    }
    if !first_has_all {
        labels.sort();
    }
    let series = names
        .into_iter()
        .map(|name| Series {
            values: labels.iter().map(|label| values.get(&(label.clone(), name.clone())).copied()).collect(),
            name,
        })
        .collect();
    (labels, series)
}

fn grid(panel: &PanelFile, rows: &Rows) -> Html {
    let mut lines: Vec<String> = Vec::new();
    let mut columns: Vec<String> = Vec::new();
    for row in 0..rows.len() {
        let (line, column) = (text(rows.get(row, "row")), text(rows.get(row, "col")));
        if !lines.contains(&line) {
            lines.push(line);
        }
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns.sort();
    let mut values = vec![vec![None; columns.len()]; lines.len()];
    for row in 0..rows.len() {
        let line = lines.iter().position(|known| *known == text(rows.get(row, "row")));
        let column = columns.iter().position(|known| *known == text(rows.get(row, "col")));
        if let (Some(line), Some(column)) = (line, column) {
            values[line][column] = number(rows.get(row, "value"));
        }
    }
    heat::draw(&lines, &columns, &values, size(panel).width, panel.percent, &panel.title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use warehouse::Column;

    fn rows(names: &[&str], values: Value) -> Rows {
        let columns =
            names.iter().map(|name| Column { name: (*name).into(), type_name: "VARCHAR".into() }).collect();
        Rows {
            columns,
            rows: values.as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect(),
        }
    }

    fn file(kind: &str) -> PanelFile {
        PanelFile::parse("x", &format!("-- panel: X\n-- kind: {kind}\nselect 1")).unwrap()
    }

    fn draw(kind: &str, rows: &Rows) -> String {
        let day = chrono::NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let view = View { from: day, to: day, filters: Default::default() };
        panel(&file(kind), rows, &view, DateTime::UNIX_EPOCH, &|name, value| format!("?{name}={value}")).0
    }

    #[test]
    fn a_number_shows_its_change_against_before() {
        assert!(draw("number", &rows(&["value", "previous"], json!([[123, 100]]))).contains("▲ 23.0 %"));
        assert!(draw("number", &rows(&["value", "previous"], json!([[50, 100]]))).contains("▼ 50.0 %"));
        assert!(draw("number", &rows(&["value", "previous"], json!([[50, null]]))).contains("no day before"));
        assert!(draw("number", &rows(&["value"], json!([[null]]))).contains("Nothing in this period"));
    }

    #[test]
    fn data_is_escaped_in_every_kind() {
        let evil = "<img src=x>";
        for kind in ["ranking", "funnel", "donut"] {
            assert!(!draw(kind, &rows(&["label", "value"], json!([[evil, 1]]))).contains("<img"), "{kind}");
        }
        for kind in ["stacked", "lines"] {
            assert!(
                !draw(kind, &rows(&["label", "series", "value"], json!([[evil, evil, 1], ["b", "c", 2]])))
                    .contains("<img"),
                "{kind}"
            );
        }
        assert!(!draw("heat", &rows(&["row", "col", "value"], json!([[evil, evil, 1]]))).contains("<img"));
        assert!(!draw("strip", &rows(&[evil], json!([[evil]]))).contains("<img"));
    }

    #[test]
    fn a_series_with_a_missing_label_has_a_gap_there() {
        let (labels, series) = series(&rows(
            &["label", "series", "value"],
            json!([["01", "a", 1], ["00", "b", 5], ["01", "b", 6]]),
        ));
        assert_eq!(labels, ["00", "01"]);
        assert_eq!(series[0].values, [None, Some(1.0)]);
    }
}
