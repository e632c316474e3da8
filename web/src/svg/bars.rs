//! Bars of run durations, and the shading bar of a table cell.

use crate::ui::Html;

/// One bar as tall as its share of `longest`, never invisible. The class of an ancestor gives the colour.
pub fn run_bar(seconds: f64, longest: f64, width: u32, height: u32) -> Html {
    let share = if longest > 0.0 { (seconds / longest).clamp(0.0, 1.0) } else { 0.0 };
    let tall = (share * f64::from(height)).max(4.0);
    let top = f64::from(height) - tall;
    Html(format!(
        r#"<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true"><rect class="bar" x="1" y="{top:.1}" width="{}" height="{tall:.1}" rx="1.5"/></svg>"#,
        width - 2
    ))
}

/// The shade behind a figure in a table.
pub fn shade(share: f64) -> Html {
    let percent = share.clamp(0.0, 1.0) * 100.0;
    Html(format!(
        r#"<svg aria-hidden="true" preserveAspectRatio="none"><rect x="0" y="0" width="{percent:.1}%" height="100%"/></svg>"#
    ))
}
