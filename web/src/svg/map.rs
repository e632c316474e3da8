//! The map of the United States, one shade a state; each state is a link that filters by it.

use super::heat::level;
use crate::ui::{Html, compact, esc};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

#[derive(Deserialize)]
struct Map {
    attribution: String,
    view_box: String,
    states: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    code: String,
    name: String,
    path: String,
}

static MAP: LazyLock<Map> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../assets/us-states.json")).expect("the committed map is valid")
});

/// `link` makes the address for a state code; `picked` is the state that is filtered by.
pub fn draw(
    values: &HashMap<String, f64>,
    picked: Option<&str>,
    link: impl Fn(&str) -> String,
    label: &str,
) -> Html {
    let largest = values.values().fold(0.0_f64, |a, b| a.max(*b));
    let smallest = values.values().fold(f64::MAX, |a, b| a.min(*b));
    let mut svg =
        format!(r#"<svg class="map" viewBox="{}" role="group" aria-label="{}">"#, MAP.view_box, esc(label));
    for state in &MAP.states {
        let value = values.get(&state.code).copied().unwrap_or(0.0);
        let class = if picked == Some(&state.code) { " picked" } else { "" };
        let _ = write!(
            svg,
            r#"<a href="{}" aria-label="{}: {}"><path class="l{}{class}" d="{}"><title>{}: {}</title></path></a>"#,
            esc(&link(&state.code)),
            esc(&state.name),
            compact(value),
            level(value, largest),
            state.path,
            esc(&state.name),
            compact(value)
        );
    }
    svg.push_str("</svg>");
    let shades: String =
        (0..=5).map(|i| format!(r#"<rect class="l{i}" x="{}" width="25" height="9"/>"#, i * 25)).collect();
    let low = if values.is_empty() { 0.0 } else { smallest };
    let _ = write!(
        svg,
        r#"<div class="scale" title="{}"><span>{}</span><svg viewBox="0 0 150 9" aria-hidden="true">{shades}</svg><span>{}</span></div>"#,
        esc(&MAP.attribution),
        compact(low),
        compact(largest)
    );
    Html(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_has_fifty_states_and_the_capital() {
        assert_eq!(MAP.states.len(), 51);
        let html = draw(
            &HashMap::from([("CA".to_string(), 10.0)]),
            Some("CA"),
            |code| format!("?state={code}"),
            "activity",
        )
        .0;
        assert!(
            html.contains(r#"class="l5 picked""#)
                && html.contains("California: 10")
                && html.contains("?state=WY")
        );
    }
}
