//! The graph of a dag's tasks, each with its state in one run.

use super::layout;
use crate::ui::{Html, esc, glyph, state_class, state_words};
use std::fmt::Write;

pub struct Node {
    pub name: String,
    /// The task's kind, or how many tasks a closed group holds.
    pub kind: String,
    /// `none` while there is no run.
    pub state: String,
    pub href: String,
    /// Positions of the nodes that it needs; all before it.
    pub needs: Vec<usize>,
    /// Drawn as a stack: a group or a mapped task.
    pub stacked: bool,
}

const HEIGHT: usize = 44;
const GAP_X: usize = 56;
const GAP_Y: usize = 16;

pub fn draw(nodes: &[Node]) -> Html {
    let needs: Vec<Vec<usize>> = nodes.iter().map(|node| node.needs.clone()).collect();
    let places = layout::place(&needs);
    let layers = places.iter().map(|place| place.layer + 1).max().unwrap_or(0);
    let mut wide = vec![110_usize; layers];
    let mut tall = vec![0_usize; layers];
    for (node, place) in nodes.iter().zip(&places) {
        let text = shorten(&node.name).chars().count() * 8 + 50;
        wide[place.layer] = wide[place.layer].max(text.max(node.kind.chars().count() * 7 + 50));
        tall[place.layer] = tall[place.layer].max(place.row + 1);
    }
    let height = tall.iter().max().copied().unwrap_or(0) * (HEIGHT + GAP_Y) + GAP_Y;
    let mut left = vec![GAP_Y; layers];
    for layer in 1..layers {
        left[layer] = left[layer - 1] + wide[layer - 1] + GAP_X;
    }
    let width = left.last().zip(wide.last()).map_or(0, |(x, w)| x + w + GAP_Y);
    let position = |i: usize| {
        let place = places[i];
        let top = (height - tall[place.layer] * (HEIGHT + GAP_Y) + GAP_Y) / 2;
        (left[place.layer], top + place.row * (HEIGHT + GAP_Y), wide[place.layer])
    };
    let mut svg = format!(
        r#"<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" aria-label="Tasks and what each needs">"#
    );
    for (i, node) in nodes.iter().enumerate() {
        let (x, y, _) = position(i);
        for &need in &node.needs {
            let (nx, ny, nw) = position(need);
            edge(&mut svg, (nx + nw, ny + HEIGHT / 2), (x, y + HEIGHT / 2));
        }
    }
    for (i, node) in nodes.iter().enumerate() {
        draw_node(&mut svg, node, position(i));
    }
    svg.push_str("</svg>");
    Html(svg)
}

fn edge(svg: &mut String, from: (usize, usize), to: (usize, usize)) {
    let bend = GAP_X / 2;
    let _ = write!(
        svg,
        r#"<path class="edge" d="M{} {}C{} {} {} {} {} {}"/>"#,
        from.0,
        from.1,
        from.0 + bend,
        from.1,
        to.0 - bend,
        to.1,
        to.0,
        to.1
    );
}

fn draw_node(svg: &mut String, node: &Node, (x, y, w): (usize, usize, usize)) {
    let (name, words) = (esc(&node.name), esc(&state_words(&node.state)));
    let _ = write!(
        svg,
        r#"<a href="{}" aria-label="{name}: {words}"><g class="node {}"><title>{name}: {words}</title>"#,
        esc(&node.href),
        state_class(&node.state)
    );
    if node.stacked {
        let _ = write!(
            svg,
            r#"<rect class="stack" x="{}" y="{}" width="{w}" height="{HEIGHT}" rx="7"/>"#,
            x + 4,
            y + 4
        );
    }
    let _ = write!(
        svg,
        r#"<rect class="box" x="{x}" y="{y}" width="{w}" height="{HEIGHT}" rx="7"/><rect class="tone" x="{x}" y="{y}" width="5" height="{HEIGHT}" rx="2.5"/><text class="name" x="{}" y="{}">{}</text><text class="kind" x="{}" y="{}">{}</text><text class="glyph" x="{}" y="{}" text-anchor="middle">{}</text></g></a>"#,
        x + 15,
        y + 19,
        esc(&shorten(&node.name)),
        x + 15,
        y + 34,
        esc(&node.kind),
        x + w - 15,
        y + 27,
        glyph(&node.state)
    );
}

/// Long names keep their end, which tells tasks apart.
fn shorten(name: &str) -> String {
    const LONGEST: usize = 34;
    let length = name.chars().count();
    if length <= LONGEST {
        return name.to_string();
    }
    let end: String = name.chars().skip(length - LONGEST + 1).collect();
    format!("…{end}")
}
