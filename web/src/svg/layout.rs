//! Places the nodes of an acyclic graph in layers from left to right: each node behind the last thing it needs, each layer ordered by the
//! middle of its neighbours so that few edges cross.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub layer: usize,
    /// From the top of the layer.
    pub row: usize,
}

/// `needs[i]` are the nodes that `i` needs; each lies before `i`.
pub fn place(needs: &[Vec<usize>]) -> Vec<Place> {
    let mut layer = vec![0_usize; needs.len()];
    for (node, needed) in needs.iter().enumerate() {
        layer[node] = needed.iter().map(|&n| layer[n] + 1).max().unwrap_or(0);
    }
    let depth = layer.iter().max().map_or(0, |deepest| deepest + 1);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (node, &at) in layer.iter().enumerate() {
        layers[at].push(node);
    }
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (node, needed) in needs.iter().enumerate() {
        for &n in needed {
            followers[n].push(node);
        }
    }
    let mut rows = vec![0.0_f64; needs.len()];
    renumber(&layers, &mut rows);
    // A few sweeps down and up settle graphs of the size that people draw.
    for sweep in 0..6 {
        let down = sweep % 2 == 0;
        let order: Vec<usize> = if down { (0..depth).collect() } else { (0..depth).rev().collect() };
        for at in order {
            let neighbours = if down { needs } else { followers.as_slice() };
            let middle =
                |node: &usize| middle(&neighbours[*node], &layers, &layer, &rows).unwrap_or(rows[*node]);
            let mut keyed: Vec<(f64, usize)> = layers[at].iter().map(|node| (middle(node), *node)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            layers[at] = keyed.into_iter().map(|(_, node)| node).collect();
            for (row, &node) in layers[at].iter().enumerate() {
                rows[node] = row as f64;
            }
        }
    }
    (0..needs.len()).map(|node| Place { layer: layer[node], row: rows[node] as usize }).collect()
}

fn renumber(layers: &[Vec<usize>], rows: &mut [f64]) {
    for nodes in layers {
        for (row, &node) in nodes.iter().enumerate() {
            rows[node] = row as f64;
        }
    }
}

/// The mean place of the neighbours, as a share of their layers scaled to this one's length.
fn middle(neighbours: &[usize], layers: &[Vec<usize>], layer: &[usize], rows: &[f64]) -> Option<f64> {
    if neighbours.is_empty() {
        return None;
    }
    let sum: f64 = neighbours.iter().map(|&n| (rows[n] + 0.5) / layers[layer[n]].len() as f64).sum();
    Some(sum / neighbours.len() as f64 * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_lies_behind_all_it_needs_and_no_two_share_a_place() {
        let needs = vec![vec![], vec![0], vec![0], vec![1, 2], vec![0, 3], vec![]];
        let places = place(&needs);
        for (node, needed) in needs.iter().enumerate() {
            assert!(needed.iter().all(|&n| places[n].layer < places[node].layer));
        }
        for a in 0..needs.len() {
            assert!((a + 1..needs.len()).all(|b| places[a] != places[b]));
        }
    }

    #[test]
    fn parallel_chains_do_not_cross() {
        // 0 -> 3, 1 -> 2: the second layer follows the order of the first.
        let places = place(&[vec![], vec![], vec![1], vec![0]]);
        assert!(places[3].row < places[2].row);
    }
}
