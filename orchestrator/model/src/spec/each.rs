//! `for_each:` in its forms: a list, an expression, windows, or a mapping around one of them with limits.

use super::fields::Reader;
use super::yaml::{Data, Node};
use crate::for_each::{ForEach, ITEMS_MAX, Over};
use crate::template;

pub(super) const FOR_EACH_KEYS: [&str; 4] = ["items", "windows", "max", "concurrency"];
const CONCURRENCY_MAX: u32 = 100_000;

/// With the node of the expression, if it is one, so that its names can be checked.
pub(super) fn read<'n>(reader: &mut Reader, node: &'n Node) -> Option<(ForEach, Option<&'n Node>)> {
    let Data::Map(_) = node.data else {
        let (over, expression) = items(reader, node, ITEMS_MAX)?;
        return Some((ForEach { over, max: ITEMS_MAX, concurrency: None }, expression));
    };
    let fields = reader.fields(node, "for_each", &FOR_EACH_KEYS)?;
    let max = fields.get("max").and_then(|node| reader.count(node, "max", 1, ITEMS_MAX)).unwrap_or(ITEMS_MAX);
    let concurrency =
        fields.get("concurrency").and_then(|node| reader.count(node, "concurrency", 1, CONCURRENCY_MAX));
    let (over, expression) = match reader.one_of(&fields, "'for_each'", &["items", "windows"])? {
        "items" => items(reader, fields.get("items")?, max)?,
        _ => (Over::Windows(reader.period(fields.get("windows")?, "windows")?), None),
    };
    Some((ForEach { over, max, concurrency }, expression))
}

fn items<'n>(reader: &mut Reader, node: &'n Node, max: u32) -> Option<(Over, Option<&'n Node>)> {
    let items = match &node.data {
        Data::List(items) if items.len() <= max as usize => items,
        Data::List(items) => {
            let message = format!("'for_each' has {} items, at most {max} are allowed", items.len());
            reader.problem(node.at, message, None);
            return None;
        }
        Data::Text(text) if template::is_template(text) => {
            return Some((Over::Expression(template::inner(text).to_owned()), Some(node)));
        }
        _ => {
            let message = format!("'for_each' must be a list or an expression, not {}", node.type_name());
            let hint = "write [a, b], \"{{ tasks.list.outputs.files }}\" or { windows: 1h }".to_owned();
            reader.problem(node.at, message, Some(hint));
            return None;
        }
    };
    let mut texts = Vec::new();
    node.texts(&mut texts);
    for (node, _) in texts.iter().filter(|(_, text)| template::is_template(text)) {
        let hint =
            "write the template in 'with', over {{ item }}, or the whole list as one expression".to_owned();
        reader.problem(node.at, "the items of 'for_each' are not rendered".to_owned(), Some(hint));
    }
    Some((Over::Items(items.iter().map(Node::to_json).collect()), None))
}
