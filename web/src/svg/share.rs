//! A bar of shares: how much of a whole is in which state.

use crate::ui::{Html, state_class, state_words};
use std::fmt::Write;

/// (state, count), in the order in which they are drawn.
pub fn bar(shares: &[(&str, i64)]) -> Html {
    let total: i64 = shares.iter().map(|(_, count)| count).sum();
    let words: Vec<String> =
        shares.iter().map(|(state, count)| format!("{count} {}", state_words(state))).collect();
    let words = crate::ui::esc(&words.join(", "));
    let mut svg = format!(r#"<svg class="share" role="img" aria-label="{words}"><title>{words}</title>"#);
    let mut x = 0.0;
    for (state, count) in shares {
        let width = *count as f64 / total.max(1) as f64 * 100.0;
        let _ = write!(
            svg,
            r#"<rect class="bar {}" x="{x:.3}%" width="{width:.3}%" height="100%"/>"#,
            state_class(state)
        );
        x += width;
    }
    svg.push_str("</svg>");
    Html(svg)
}
