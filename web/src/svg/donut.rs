//! A ring of shares, with the largest named in the middle.

use crate::ui::{Html, compact, esc};
use std::f64::consts::TAU;
use std::fmt::Write;

pub fn draw(parts: &[(String, f64)], label: &str) -> Html {
    let total: f64 = parts.iter().map(|part| part.1).sum();
    let mut svg = format!(r#"<svg viewBox="0 0 120 120" role="img" aria-label="{}">"#, esc(label));
    let mut angle = -TAU / 4.0;
    for (i, (name, value)) in parts.iter().enumerate() {
        let share = value / total;
        let title = format!("{}: {} ({:.1} %)", esc(name), compact(*value), share * 100.0);
        let class = i % 4 + 1;
        if share > 0.9999 {
            let _ = write!(
                svg,
                r#"<path class="k{class}" fill-rule="evenodd" d="M60 4A56 56 0 1 1 59.9 4ZM60 24A36 36 0 1 0 60.1 24Z"><title>{title}</title></path>"#
            );
        } else if share > 0.0 {
            let end = angle + share * TAU;
            let _ = write!(
                svg,
                r#"<path class="k{class}" d="{}"><title>{title}</title></path>"#,
                ring(angle, end)
            );
            angle = end;
        }
    }
    if let Some((name, value)) = parts.iter().max_by(|a, b| a.1.total_cmp(&b.1)) {
        let _ = write!(
            svg,
            r#"<text x="60" y="59" text-anchor="middle">{:.1} %</text><text x="60" y="75" text-anchor="middle" class="small">{}</text>"#,
            value / total * 100.0,
            esc(name)
        );
    }
    svg.push_str("</svg>");
    Html(svg)
}

fn ring(from: f64, to: f64) -> String {
    let point = |r: f64, a: f64| format!("{:.2} {:.2}", 60.0 + r * a.cos(), 60.0 + r * a.sin());
    let large = i32::from(to - from > TAU / 2.0);
    format!(
        "M{}A56 56 0 {large} 1 {}L{}A36 36 0 {large} 0 {}Z",
        point(56.0, from),
        point(56.0, to),
        point(36.0, to),
        point(36.0, from)
    )
}
