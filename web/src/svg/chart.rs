//! Lines over a shared axis, and stacked bars.

use crate::ui::{Html, compact, esc};
use std::fmt::Write;

pub struct Series {
    pub name: String,
    /// One for each label; `None` is a gap.
    pub values: Vec<Option<f64>>,
}

/// How large a chart is drawn, in pixels.
#[derive(Clone, Copy)]
pub struct Size {
    pub width: f64,
    pub height: f64,
}

const LEFT: f64 = 48.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 10.0;

/// The axis ends at a round number at or above the largest value.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    let step = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].iter().find(|s| *s * unit >= value * 0.999);
    step.map_or(value, |s| s * unit)
}

fn frame(svg: &mut String, size: Size, top: f64) {
    let Size { width, height } = size;
    for i in 0..=4 {
        let value = top * f64::from(i) / 4.0;
        let y = height - BOTTOM - (height - BOTTOM - TOP) * f64::from(i) / 4.0;
        let _ = write!(
            svg,
            r#"<line class="axis" x1="{LEFT}" x2="{width}" y1="{y:.1}" y2="{y:.1}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 7.0,
            y + 4.0,
            compact(value)
        );
    }
}

fn x_labels(svg: &mut String, size: Size, labels: &[String], at: impl Fn(usize) -> f64) {
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(1);
    // As many as fit side by side.
    let room = ((size.width - LEFT) / (longest as f64 * 7.0 + 10.0)).max(1.0) as usize;
    let every = labels.len().div_ceil(room).max(1);
    for (i, label) in labels.iter().enumerate().step_by(every) {
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{}" text-anchor="middle">{}</text>"#,
            at(i),
            size.height - 6.0,
            esc(label)
        );
    }
}

pub fn lines(labels: &[String], series: &[Series], size: Size, label: &str) -> Html {
    let Size { width, height } = size;
    let largest = series.iter().flat_map(|s| s.values.iter().flatten()).fold(0.0_f64, |a, b| a.max(*b));
    let top = round_up(largest);
    let step = (width - LEFT - 16.0) / (labels.len().max(2) - 1) as f64;
    let x = |i: usize| LEFT + 8.0 + step * i as f64;
    let y = |value: f64| height - BOTTOM - (height - BOTTOM - TOP) * value / top;
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{}">"#,
        esc(label)
    );
    frame(&mut svg, size, top);
    x_labels(&mut svg, size, labels, x);
    // The first series is the one that counts: drawn last, above the others, with an area under it.
    for (n, one) in series.iter().enumerate().rev() {
        let mut path = String::new();
        let mut pen_down = false;
        for (i, value) in one.values.iter().enumerate() {
            match value {
                Some(value) => {
                    let _ = write!(path, "{}{:.1} {:.1}", if pen_down { "L" } else { "M" }, x(i), y(*value));
                    pen_down = true;
                }
                None => pen_down = false,
            }
        }
        if n == 0 {
            area(&mut svg, one, &x, &y);
        }
        let _ = write!(svg, r#"<path class="line l-{}" d="{path}"/>"#, n % 4 + 1);
    }
    for (i, name) in labels.iter().enumerate() {
        let values: Vec<String> = series
            .iter()
            .filter_map(|s| Some(format!("{}: {}", esc(&s.name), compact((*s.values.get(i)?)?))))
            .collect();
        let high = series.iter().filter_map(|s| *s.values.get(i)?).fold(0.0_f64, f64::max);
        let _ = write!(
            svg,
            r#"<circle class="dot" cx="{:.1}" cy="{:.1}" r="6"><title>{}: {}</title></circle>"#,
            x(i),
            y(high),
            esc(name),
            values.join(", ")
        );
    }
    svg.push_str("</svg>");
    Html(svg)
}

fn area(svg: &mut String, series: &Series, x: &impl Fn(usize) -> f64, y: &impl Fn(f64) -> f64) {
    let known: Vec<(usize, f64)> =
        series.values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i, v))).collect();
    let (Some(first), Some(last)) = (known.first(), known.last()) else { return };
    let mut path = format!("M{:.1} {:.1}", x(first.0), y(0.0));
    for (i, value) in &known {
        let _ = write!(path, "L{:.1} {:.1}", x(*i), y(*value));
    }
    let _ = write!(svg, r#"<path class="area" d="{path}L{:.1} {:.1}Z"/>"#, x(last.0), y(0.0));
}

pub fn stacked(labels: &[String], series: &[Series], size: Size, label: &str) -> Html {
    let Size { width, height } = size;
    let sum = |i: usize| series.iter().filter_map(|s| *s.values.get(i)?).sum::<f64>();
    let top = round_up((0..labels.len()).map(sum).fold(0.0_f64, f64::max));
    let step = (width - LEFT) / labels.len().max(1) as f64;
    let wide = (step * 0.62).min(120.0);
    let x = |i: usize| LEFT + step * (i as f64 + 0.5);
    let tall = |value: f64| (height - BOTTOM - TOP) * value / top;
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{}">"#,
        esc(label)
    );
    frame(&mut svg, size, top);
    x_labels(&mut svg, size, labels, x);
    for (i, name) in labels.iter().enumerate() {
        let mut base = height - BOTTOM;
        for (n, one) in series.iter().enumerate() {
            let Some(value) = one.values.get(i).copied().flatten().filter(|v| *v > 0.0) else { continue };
            let high = tall(value);
            base -= high;
            let title = format!(
                "{}, {}: {} ({:.1} %)",
                esc(name),
                esc(&one.name),
                compact(value),
                value / sum(i) * 100.0
            );
            let _ = write!(
                svg,
                r#"<rect class="k{}" x="{:.1}" y="{base:.1}" width="{wide:.1}" height="{high:.1}"><title>{title}</title></rect>"#,
                n % 4 + 1,
                x(i) - wide / 2.0
            );
        }
    }
    svg.push_str("</svg>");
    Html(svg)
}

/// What each colour means.
pub fn keys(names: &[String]) -> Html {
    let spans: String = names
        .iter()
        .enumerate()
        .map(|(i, name)| format!(r#"<span><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="k{}" width="10" height="10" rx="2.5"/></svg>{}</span>"#, i % 4 + 1, esc(name)))
        .collect();
    Html(format!(r#"<div class="keys">{spans}</div>"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_number_above_all_values() {
        for (value, top) in
            [(0.0, 1.0), (7.2, 8.0), (101.0, 150.0), (1_000.0, 1_000.0), (96_000.0, 100_000.0)]
        {
            assert!((round_up(value) - top).abs() < 1e-6, "{value} -> {}", round_up(value));
        }
    }

    #[test]
    fn names_from_data_are_escaped() {
        let series = [Series { name: "<b>".into(), values: vec![Some(1.0)] }];
        let size = Size { width: 400.0, height: 200.0 };
        let html = stacked(&["<i>".into()], &series, size, "<u>").0
            + &lines(&["<i>".into()], &series, size, "<u>").0;
        assert!(!html.contains("<b>") && !html.contains("<i>") && !html.contains("<u>"));
    }
}
