//! dbt's selector words over the nodes of a project.

use std::collections::BTreeSet;

use super::{Node, NodeKind};
use crate::Error;
use crate::config::did_you_mean;

pub(super) fn select<'a>(nodes: &'a [Node], selector: &str) -> Result<Vec<&'a Node>, Error> {
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    for union in selector.split_whitespace() {
        let mut sets = union.split(',').map(|word| choose(nodes, word));
        let first = sets.next().unwrap_or_else(|| Ok(BTreeSet::new()))?;
        let both = sets.try_fold(first, |left, right| Ok(&left & &right?))?;
        chosen.extend(both);
    }
    let judged = |node: &Node| {
        node.kind == NodeKind::Test
            && (node.attached_to.as_deref().is_some_and(|id| chosen.contains(id))
                || !node.depends_on.is_empty()
                    && node.depends_on.iter().all(|id| chosen.contains(id.as_str())))
    };
    Ok(nodes.iter().filter(|node| chosen.contains(node.id.as_str()) || judged(node)).collect())
}

fn choose<'a>(nodes: &'a [Node], word: &str) -> Result<BTreeSet<&'a str>, Error> {
    let (above, core) = word.strip_prefix('+').map_or((false, word), |rest| (true, rest));
    let (below, core) = core.strip_suffix('+').map_or((false, core), |rest| (true, rest));
    let matches = |node: &&Node| match core.split_once(':') {
        Some(("tag", tag)) => node.tags.iter().any(|known| known == tag),
        Some(("path", path)) => {
            let path = path.trim_end_matches('/');
            node.path == path || node.path.starts_with(&format!("{path}/"))
        }
        _ => node.id == core,
    };
    let mut chosen: BTreeSet<&str> = nodes.iter().filter(matches).map(|node| node.id.as_str()).collect();
    if chosen.is_empty() {
        let hint = did_you_mean(core, nodes.iter().map(|node| node.id.as_str()));
        return Err(Error::UnknownNode { id: core.to_owned(), hint });
    }
    let roots = chosen.clone();
    if below {
        // Nodes are in order: one pass finds everything below.
        let mut under = roots.clone();
        for node in nodes {
            if node.depends_on.iter().any(|id| under.contains(id.as_str())) {
                under.insert(&node.id);
            }
        }
        chosen.extend(under);
    }
    if above {
        let mut over = roots;
        for node in nodes.iter().rev() {
            if over.contains(node.id.as_str()) {
                over.extend(node.depends_on.iter().map(String::as_str));
            }
        }
        chosen.extend(over);
    }
    Ok(chosen)
}
