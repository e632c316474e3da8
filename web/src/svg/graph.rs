//! The graph of a dag's tasks, each with its state in one run.

use super::layout::{Item, Layout, layout};
use crate::ui::{Html, esc, glyph, state_class};
use std::fmt::Write;

pub struct Node {
    pub name: String,
    /// The task's kind, or how many tasks a closed group holds.
    pub kind: String,
    /// Of its colour and sign; `none` while there is no run.
    pub state: String,
    /// The same in words.
    pub words: String,
    pub href: String,
    /// Positions of the nodes that it needs; all before it.
    pub needs: Vec<usize>,
    /// Drawn as a stack: a group or a mapped task.
    pub stacked: bool,
}

const HEIGHT: usize = 44;
const BEND: usize = 10;
const GAP_X: usize = 56;
const GAP_Y: usize = 16;

pub fn draw(nodes: &[Node]) -> Html {
    let needs: Vec<Vec<usize>> = nodes.iter().map(|node| node.needs.clone()).collect();
    let layout = layout(&needs);
    let places = Places::of(&layout, nodes);
    let mut svg = format!(
        r#"<svg width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="group" aria-label="Tasks and what each needs">"#,
        places.width, places.height
    );
    for &(from, to) in &places.layout.edges {
        let (x, y, w) = places.at[from];
        let (to_x, to_y, _) = places.at[to];
        edge(&mut svg, (x + w, y), (to_x, to_y));
        if places.layout.items[from] == Item::Bend {
            let _ = write!(svg, r#"<path class="edge" d="M{x} {y}H{}"/>"#, x + w);
        }
    }
    for (node, &(x, y, w)) in nodes.iter().zip(&places.at) {
        draw_node(&mut svg, node, (x, y - HEIGHT / 2, w));
    }
    svg.push_str("</svg>");
    Html(svg)
}

struct Places<'a> {
    layout: &'a Layout,
    /// Of each item: left, middle, width.
    at: Vec<(usize, usize, usize)>,
    width: usize,
    height: usize,
}

impl Places<'_> {
    fn of<'a>(layout: &'a Layout, nodes: &[Node]) -> Places<'a> {
        let tall = |item: usize| if layout.items[item] == Item::Bend { BEND } else { HEIGHT };
        let column = |layer: &Vec<usize>| layer.iter().map(|&item| tall(item) + GAP_Y).sum::<usize>();
        let height = layout.layers.iter().map(column).max().unwrap_or(0) + GAP_Y;
        let mut at = vec![(0, 0, 0); layout.items.len()];
        let mut left = GAP_Y;
        for layer in &layout.layers {
            let wide = layer.iter().filter_map(|&item| Some(width_of(nodes.get(item)?))).max().unwrap_or(110);
            let mut top = (height - column(layer)) / 2 + GAP_Y / 2;
            for &item in layer {
                at[item] = (left, top + tall(item) / 2, wide);
                top += tall(item) + GAP_Y;
            }
            left += wide + GAP_X;
        }
        Places { layout, at, width: (left + GAP_Y).saturating_sub(GAP_X), height }
    }
}

fn width_of(node: &Node) -> usize {
    let name = shorten(&node.name).chars().count() * 8 + 50;
    name.max(node.kind.chars().count() * 7 + 50).max(110)
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
    let (name, kind, words) = (esc(&node.name), esc(&node.kind), esc(&node.words));
    let _ = write!(
        svg,
        r#"<a href="{}" aria-label="{name} {kind}: {words}"><g class="node {}"><title>{name}: {words}</title>"#,
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
        r#"<rect class="box" x="{x}" y="{y}" width="{w}" height="{HEIGHT}" rx="7"/><rect class="tone" x="{x}" y="{y}" width="5" height="{HEIGHT}" rx="2.5"/><text class="name" x="{}" y="{}">{}</text><text class="kind" x="{}" y="{}">{}</text><text class="glyph" aria-hidden="true" x="{}" y="{}" text-anchor="middle">{}</text></g></a>"#,
        x + 15,
        y + 19,
        esc(&shorten(&node.name)),
        x + 15,
        y + 34,
        kind,
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
