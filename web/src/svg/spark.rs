//! The trend of a check: a thin line, with a dot for each result that was not well.

use crate::ui::{Html, number};
use std::fmt::Write;

pub struct Point {
    pub value: f64,
    /// `pass`, `warn` or `fail`.
    pub status: &'static str,
}

const WIDTH: f64 = 124.0;
const HEIGHT: f64 = 24.0;

pub fn draw(points: &[Point]) -> Html {
    let (low, high) = points.iter().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.value), h.max(p.value)));
    let range = if high > low { high - low } else { 1.0 };
    let step = (WIDTH - 8.0) / (points.len().max(2) - 1) as f64;
    let at = |i: usize, value: f64| {
        let y = if high > low { HEIGHT - 4.0 - (value - low) / range * (HEIGHT - 8.0) } else { HEIGHT / 2.0 };
        (4.0 + i as f64 * step, y)
    };
    let mut line = String::new();
    let mut dots = String::new();
    for (i, point) in points.iter().enumerate() {
        let (x, y) = at(i, point.value);
        let _ = write!(line, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        if point.status != "pass" || i + 1 == points.len() {
            let _ =
                write!(dots, r#"<circle class="bar s-{}" cx="{x:.1}" cy="{y:.1}" r="2.6"/>"#, point.status);
        }
    }
    let bad = points.iter().filter(|point| point.status != "pass").count();
    let label = format!(
        "last {} results, {bad} not passed, between {} and {}",
        points.len(),
        number(low),
        number(high)
    );
    Html(format!(
        r#"<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"><path class="line l-1" d="{line}"/>{dots}</svg>"#
    ))
}
