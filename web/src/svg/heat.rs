//! A table of shaded cells: rows by columns, darker is more.

use crate::ui::{Html, compact, esc};
use std::fmt::Write;

/// Which of the six shades a value gets.
pub fn level(value: f64, largest: f64) -> u8 {
    if value <= 0.0 || largest <= 0.0 {
        return 0;
    }
    // The square root keeps the many small values apart from nothing.
    ((value / largest).sqrt() * 5.0).ceil().clamp(1.0, 5.0) as u8
}

pub fn draw(
    rows: &[String],
    columns: &[String],
    values: &[Vec<Option<f64>>],
    width: f64,
    percent: bool,
    label: &str,
) -> Html {
    let left = 14.0 + rows.iter().map(|row| row.chars().count()).max().unwrap_or(0) as f64 * 6.0;
    let cell = 26.0;
    let step = (width - left) / columns.len().max(1) as f64;
    let height = 18.0 + cell * rows.len() as f64;
    let largest = values.iter().flatten().flatten().fold(0.0_f64, |a, b| a.max(*b));
    let show = |value: f64| if percent { format!("{:.0}%", value * 100.0) } else { compact(value) };
    let mut svg = format!(
        r#"<svg class="heat" viewBox="0 0 {width} {height}" role="img" aria-label="{}">"#,
        esc(label)
    );
    let every = (columns.len() as f64 * 20.0 / (width - left)).ceil().max(1.0) as usize;
    for (c, column) in columns.iter().enumerate().step_by(every) {
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="11" text-anchor="middle">{}</text>"#,
            left + step * (c as f64 + 0.5),
            esc(column)
        );
    }
    for (r, row) in rows.iter().enumerate() {
        let y = 18.0 + cell * r as f64;
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            left - 7.0,
            y + 16.0,
            esc(row)
        );
        for (c, column) in columns.iter().enumerate() {
            let Some(value) = values[r].get(c).copied().flatten() else { continue };
            let _ = write!(
                svg,
                r#"<rect class="l{}" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}" rx="3"><title>{}, {}: {}</title></rect>"#,
                level(value, largest),
                left + step * c as f64 + 1.0,
                y + 1.0,
                step - 2.0,
                cell - 2.0,
                esc(row),
                esc(column),
                show(value)
            );
        }
    }
    svg.push_str("</svg>");
    Html(svg)
}
