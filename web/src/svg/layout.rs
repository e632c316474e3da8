//! Places the nodes of an acyclic graph in layers from left to right: each node behind the last thing it needs. Edges over several layers
//! bend through places of their own, so that they pass no node; edges to one node share them. Each layer is ordered by the middle of its
//! neighbours, so that few edges cross.

/// What stands in a place of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    Node(usize),
    Bend,
}

#[derive(Debug)]
pub struct Layout {
    /// From left to right; in each from top to bottom, indexes of `items`.
    pub layers: Vec<Vec<usize>>,
    /// The first are the nodes, in their order.
    pub items: Vec<Item>,
    /// From and to, indexes of `items` in neighbouring layers; none twice.
    pub edges: Vec<(usize, usize)>,
}

/// Sweeps over the layers; graphs of the size that people draw settle in a few.
const SWEEPS: usize = 8;

/// `needs[i]` are the nodes that `i` needs; each lies before `i`.
pub fn layout(needs: &[Vec<usize>]) -> Layout {
    let needs = reduced(needs);
    let mut layer_of = vec![0_usize; needs.len()];
    for (node, needed) in needs.iter().enumerate() {
        layer_of[node] = needed.iter().map(|&n| layer_of[n] + 1).max().unwrap_or(0);
    }
    let depth = layer_of.iter().max().map_or(0, |deepest| deepest + 1);
    let mut items: Vec<Item> = (0..needs.len()).map(Item::Node).collect();
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (node, &at) in layer_of.iter().enumerate() {
        layers[at].push(node);
    }
    let mut edges = Vec::new();
    for (node, needed) in needs.iter().enumerate() {
        let first = needed.iter().map(|&n| layer_of[n] + 1).min().unwrap_or(layer_of[node]);
        // One chain of bends from the layer behind the first thing needed up to the node.
        let chain: Vec<usize> = (first..layer_of[node])
            .map(|at| {
                items.push(Item::Bend);
                layers[at].push(items.len() - 1);
                items.len() - 1
            })
            .collect();
        let place = |at: usize| chain.get(at - first).copied().unwrap_or(node);
        edges.extend((first..layer_of[node]).map(|at| (place(at), place(at + 1))));
        edges.extend(needed.iter().map(|&n| (n, place(layer_of[n] + 1))));
    }
    order(&mut layers, &edges, items.len());
    Layout { layers, items, edges }
}

/// Without the needs that other needs imply: they say nothing new to the eye.
fn reduced(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut behind: Vec<Vec<bool>> = Vec::with_capacity(needs.len());
    let mut kept = Vec::with_capacity(needs.len());
    for needed in needs {
        let mut reach = vec![false; needs.len()];
        for &n in needed {
            reach.iter_mut().zip(&behind[n]).for_each(|(into, from)| *into |= from);
        }
        kept.push(needed.iter().copied().filter(|&n| !reach[n]).collect());
        needed.iter().for_each(|&n| reach[n] = true);
        behind.push(reach);
    }
    kept
}

fn order(layers: &mut [Vec<usize>], edges: &[(usize, usize)], items: usize) {
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); items];
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); items];
    for &(from, to) in edges {
        before[to].push(from);
        after[from].push(to);
    }
    let mut place = vec![0.0_f64; items];
    layers.iter().for_each(|layer| renumber(layer, &mut place));
    for sweep in 0..SWEEPS {
        let (neighbours, down) = if sweep % 2 == 0 { (&before, true) } else { (&after, false) };
        for step in 0..layers.len() {
            let at = if down { step } else { layers.len() - 1 - step };
            let middle = |item: &usize| {
                let of = &neighbours[*item];
                if of.is_empty() {
                    place[*item]
                } else {
                    of.iter().map(|&n| place[n]).sum::<f64>() / of.len() as f64
                }
            };
            let mut keyed: Vec<(f64, usize)> = layers[at].iter().map(|item| (middle(item), *item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            layers[at] = keyed.into_iter().map(|(_, item)| item).collect();
            renumber(&layers[at], &mut place);
        }
    }
}

/// Places as shares of the layer, so that layers of different length compare.
fn renumber(layer: &[usize], place: &mut [f64]) {
    for (row, &item) in layer.iter().enumerate() {
        place[item] = (row as f64 + 0.5) / layer.len() as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer_of(layout: &Layout, item: usize) -> usize {
        layout.layers.iter().position(|layer| layer.contains(&item)).unwrap()
    }

    #[test]
    fn each_edge_leads_to_the_next_layer_and_every_item_has_one_place() {
        let needs = vec![vec![], vec![0], vec![0], vec![1, 2], vec![0, 3], vec![], vec![4, 5]];
        let layout = layout(&needs);
        for &(from, to) in &layout.edges {
            assert_eq!(layer_of(&layout, from) + 1, layer_of(&layout, to));
        }
        let mut placed: Vec<usize> = layout.layers.concat();
        placed.sort_unstable();
        assert_eq!(placed, (0..layout.items.len()).collect::<Vec<_>>());
        // 5 begins in the first layer, 6 is in the fifth: three bends. 0 -> 4 is implied by 0 -> 1 -> 3 -> 4.
        assert_eq!(layout.items.iter().filter(|item| **item == Item::Bend).count(), 3);
    }

    #[test]
    fn parallel_chains_do_not_cross() {
        let layout = layout(&[vec![], vec![], vec![1], vec![0]]);
        assert_eq!(layout.layers[1], [3, 2]);
    }

    #[test]
    fn long_edges_to_one_node_share_their_bends() {
        let layout = layout(&[vec![], vec![], vec![0], vec![2], vec![0, 1, 3]]);
        assert_eq!(layout.items.iter().filter(|item| **item == Item::Bend).count(), 2);
    }
}
