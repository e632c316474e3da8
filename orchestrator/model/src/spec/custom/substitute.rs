//! `{{ inputs.x }}` in the files of custom kinds: the value takes its place, whole with its type, in a text as text, and in a larger
//! expression as what Jinja reads as that value. A value may itself be a template.

use super::super::yaml::{Data, Node, Position};
use crate::template;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;

type Values<'v> = BTreeMap<&'v str, Node>;

/// Where each `inputs` in a template stands (in bytes), and which input it names.
pub(super) fn named(text: &str) -> Vec<(usize, Option<&str>)> {
    let mut found = Vec::new();
    for (block, is_code) in blocks(text) {
        if is_code {
            let names = names(&text[block.clone()]);
            found.extend(names.into_iter().map(|(range, name)| (block.start + range.start, name)));
        }
    }
    found
}

/// The node with all inputs in their places, and everything in it blamed on the dag. What is nothing but an input that was not given is
/// left out of its mapping.
pub(super) fn fill(
    node: &Node,
    values: &Values<'_>,
    at: Position,
    problems: &mut Vec<(Position, String)>,
) -> Node {
    match &node.data {
        Data::Text(text) => fill_text(text, values, at).unwrap_or_else(|(at, message)| {
            problems.push((at, message));
            Node::made(at, Data::Null)
        }),
        Data::List(items) => {
            let items = items.iter().map(|item| fill(item, values, at, problems)).collect();
            Node::made(at, Data::List(items))
        }
        Data::Map(map) => {
            let mut filled = Vec::with_capacity(map.len());
            for (key, node) in map {
                let made = fill(node, values, at, problems);
                if matches!(made.data, Data::Null) && !matches!(node.data, Data::Null) {
                    continue;
                }
                let key = super::Key { text: key.text.clone(), at: made.at };
                filled.push((key, made));
            }
            Node::made(at, Data::Map(filled))
        }
        scalar => Node::made(at, scalar.clone()),
    }
}

fn fill_text(text: &str, values: &Values<'_>, at: Position) -> Result<Node, (Position, String)> {
    if let Some(value) = only_input(text.trim()).and_then(|name| values.get(name)) {
        return Ok(value.clone());
    }
    let mut out = String::with_capacity(text.len());
    let mut blame = None;
    for (block, is_code) in blocks(text) {
        let block = &text[block];
        if !is_code {
            out.push_str(block);
        } else if let Some(value) = only_input(block).and_then(|name| values.get(name)) {
            blame = blame.or(Some(value.at));
            out.push_str(&as_text(value));
        } else {
            let mut rest = 0;
            for (range, name) in names(block) {
                let Some((name, value)) = name.and_then(|name| Some((name, values.get(name)?))) else {
                    continue;
                };
                out.push_str(&block[rest..range.start]);
                out.push_str(&as_expression(value).ok_or_else(|| {
                    let message = format!("the input '{name}' is part of an expression: give it a value, or one {{{{ expression }}}}");
                    (value.at, message)
                })?);
                blame = blame.or(Some(value.at));
                rest = range.end;
            }
            out.push_str(&block[rest..]);
        }
    }
    Ok(Node::made(blame.unwrap_or(at), Data::Text(out)))
}

/// The input's name, if the block is `{{ inputs.name }}` and nothing else.
fn only_input(block: &str) -> Option<&str> {
    let inner = block.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner).trim();
    let name = inner.strip_prefix("inputs.")?;
    name.chars().all(is_word).then_some(name)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text in parts: true for `{{ .. }}` and `{% .. %}`.
fn blocks(text: &str) -> Vec<(Range<usize>, bool)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((open, end_mark)) = next_open(text, from) {
        let end = end_of(text, open + 2, end_mark);
        found.push((from..open, false));
        found.push((open..end, end_mark != "#}"));
        from = end;
    }
    found.push((from..text.len(), false));
    found
}

fn next_open(text: &str, from: usize) -> Option<(usize, &'static str)> {
    let marks = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];
    let found = marks.iter().filter_map(|(open, end)| Some((from + text[from..].find(open)?, *end)));
    found.min_by_key(|(at, _)| *at)
}

/// After the end mark that is in no quotes; the end of the text if there is none.
fn end_of(text: &str, from: usize, mark: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if text[from + at..].starts_with(mark) => return from + at + mark.len(),
            None if (c == '"' || c == '\'') && mark != "#}" => quote = Some(c),
            None => {}
        }
    }
    text.len()
}

/// Each `inputs` in a block of code, with the name that follows it.
fn names(block: &str) -> Vec<(Range<usize>, Option<&str>)> {
    const WORD: &str = "inputs";
    let mut found = Vec::new();
    let (mut quote, mut escaped, mut before) = (None, false, ' ');
    for (at, c) in block.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if block[at..].starts_with(WORD) && !is_word(before) && before != '.' => {
                let rest = &block[at + WORD.len()..];
                if !rest.starts_with(is_word) {
                    let name = rest.strip_prefix('.').unwrap_or_default();
                    let length = name.find(|c| !is_word(c)).unwrap_or(name.len());
                    let end = at + WORD.len() + if length > 0 { length + 1 } else { 0 };
                    found.push((at..end, (length > 0).then(|| &name[..length])));
                }
            }
            None => {}
        }
        before = c;
    }
    found
}

fn as_text(value: &Node) -> String {
    match &value.data {
        Data::Null => String::new(),
        Data::Text(text) => text.clone(),
        _ => value.to_json().to_string(),
    }
}

/// As Jinja writes this value; `None` for a text with templates in it that is more than one expression.
fn as_expression(value: &Node) -> Option<String> {
    let value = value.to_json();
    if let Value::String(text) = &value
        && template::is_template(text)
    {
        let inner = template::inner(text);
        let is_one =
            inner.len() < text.trim().len() && !template::is_template(inner) && !inner.contains("}}");
        return is_one.then(|| format!("({inner})"));
    }
    if template::has_template(&value) {
        return None;
    }
    let mut out = String::new();
    literal(&value, &mut out);
    Some(out)
}

/// With spaces where `}}` would end the template.
fn literal(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("none"),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                literal(item, out);
                out.push_str(", ");
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("{ ");
            for (key, item) in map {
                out.push_str(&format!("{}: ", Value::from(key.as_str())));
                literal(item, out);
                out.push_str(", ");
            }
            out.push_str("} ");
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
