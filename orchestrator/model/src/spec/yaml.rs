//! YAML as a tree with positions: one document, aliases and merge keys resolved, doubled keys found, everything bounded.

use super::fields::Reader;
use saphyr::{Scalar, ScalarStyle};
use saphyr_parser::{Event, Marker, Parser, ScanError, Span, StrInput};
use serde_json::{Map, Number, Value};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Of one file.
pub const BYTES_MAX: usize = 16 << 20;
const DEPTH_MAX: usize = 64;
/// Values of a file.
const NODES_MAX: usize = 2_000_000;
/// Of them, those that aliases stand for, counted each time.
const ALIASED_MAX: usize = 100_000;
/// So many keys of a map are compared one by one.
const FEW: usize = 16;

/// Counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub at: Position,
    pub data: Data,
    /// How a position in the text follows from one in the file.
    layout: Layout,
}

#[derive(Debug, Clone)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub text: String,
    pub at: Position,
}

#[derive(Debug, Clone, Copy)]
enum Layout {
    /// The text stands in the file as it is, so many characters after the position.
    Inline(usize),
    /// A `|` block: its lines follow.
    Block,
    Other,
}

/// The root of the only document; problems go to the reader.
pub(super) fn parse(bytes: &[u8], reader: &mut Reader) -> Option<Node> {
    if bytes.len() > BYTES_MAX {
        let hint = "a file has at most 16 MiB; keep data in files of their own".to_owned();
        reader.whole(format!("the file has {} bytes", bytes.len()), Some(hint));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            let byte = bytes[error.valid_up_to()];
            let hint = Some("save the file as UTF-8".to_owned());
            reader.problem(Position { line, column }, format!("the byte 0x{byte:02x} is not UTF-8"), hint);
            return None;
        }
    };
    Loader { reader, anchors: HashMap::new(), nodes: 0, aliased: 0, parser: Parser::new_from_str(text), text }
        .load()
}

struct Loader<'a, 'r> {
    reader: &'r mut Reader,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    aliased: usize,
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
}

/// A collection that is being read.
struct Open {
    at: Position,
    anchor: usize,
    data: Data,
    /// In a map: the key that waits for its value.
    key: Option<Key>,
    /// In a map of many keys: the lines of those that are there.
    lines: HashMap<String, usize>,
}

impl<'a> Loader<'a, '_> {
    fn load(mut self) -> Option<Node> {
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax(&error)).ok()?;
            let at = position(span.start);
            let (node, anchor) = match event {
                Event::DocumentStart(_) if root.is_some() => {
                    let hint = Some("a file holds one dag; put each in a file of its own".to_owned());
                    self.reader.problem(at, "a second document begins here".to_owned(), hint);
                    return None;
                }
                Event::MappingStart(anchor, _) => {
                    open.push(Open {
                        at,
                        anchor,
                        data: Data::Map(Vec::new()),
                        key: None,
                        lines: HashMap::new(),
                    });
                    self.check_depth(open.len(), at)?;
                    continue;
                }
                Event::SequenceStart(anchor, _) => {
                    open.push(Open {
                        at,
                        anchor,
                        data: Data::List(Vec::new()),
                        key: None,
                        lines: HashMap::new(),
                    });
                    self.check_depth(open.len(), at)?;
                    continue;
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    let Some(done) = open.pop() else { continue };
                    let data = self.with_merged_keys(done.data);
                    (Node { at: done.at, data, layout: Layout::Other }, done.anchor)
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let data = self.scalar(at, text, style, tag)?;
                    (Node { at, layout: layout(&data, style, span), data }, anchor)
                }
                Event::Alias(anchor) => (self.alias(anchor, at)?, 0),
                _ => continue,
            };
            self.count(1, at)?;
            if anchor > 0 {
                self.anchors.insert(anchor, node.clone());
            }
            match open.last_mut() {
                None => root = Some(node),
                Some(parent) => self.add(parent, node)?,
            }
        }
        match root {
            Some(root) if !matches!(root.data, Data::Null) => Some(root),
            _ => {
                let hint = "a dag needs at least 'dag: <name>' and 'tasks:'".to_owned();
                self.reader.problem(
                    Position { line: 1, column: 1 },
                    "the file is empty".to_owned(),
                    Some(hint),
                );
                None
            }
        }
    }

    fn add(&mut self, parent: &mut Open, node: Node) -> Option<()> {
        let map = match &mut parent.data {
            Data::List(items) => {
                items.push(node);
                return Some(());
            }
            Data::Map(map) => map,
            _ => return Some(()),
        };
        let Some(key) = parent.key.take() else {
            let Some(text) = node.as_key() else {
                self.reader.problem(node.at, "a key must be a plain word".to_owned(), None);
                return None;
            };
            parent.key = Some(Key { text, at: node.at });
            return Some(());
        };
        match line_of(map, &mut parent.lines, &key).filter(|_| key.text != "<<") {
            Some(line) => {
                let message = format!("'{}' is here twice, first in line {line}", key.text);
                self.reader.problem(key.at, message, Some("rename or remove one".to_owned()));
            }
            None => map.push((key, node)),
        }
        Some(())
    }

    /// `<<: *defaults` adds the keys that are not there.
    fn with_merged_keys(&mut self, data: Data) -> Data {
        let Data::Map(map) = data else { return data };
        let (merges, mut map): (Vec<_>, Vec<_>) = map.into_iter().partition(|(key, _)| key.text == "<<");
        for (key, node) in merges {
            let sources = match node.data {
                Data::List(items) => items,
                _ => vec![node],
            };
            for source in sources {
                let Data::Map(more) = source.data else {
                    self.reader.problem(key.at, "'<<' takes a mapping".to_owned(), None);
                    continue;
                };
                let known: HashSet<String> = map.iter().map(|(key, _)| key.text.clone()).collect();
                map.extend(more.into_iter().filter(|(key, _)| !known.contains(&key.text)));
            }
        }
        Data::Map(map)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Option<Node> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.reader.problem(at, "an alias cannot stand inside its own anchor".to_owned(), None);
            return None;
        };
        self.aliased += node.size();
        if self.aliased > ALIASED_MAX {
            let message = format!("aliases stand for more than {ALIASED_MAX} values");
            self.reader.problem(at, message, Some("they count each time they are used".to_owned()));
            return None;
        }
        self.count(node.size(), at)?;
        Some(node)
    }

    fn scalar(
        &mut self,
        at: Position,
        text: std::borrow::Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<std::borrow::Cow<'a, saphyr_parser::Tag>>,
    ) -> Option<Data> {
        if let Some(tag) = tag.as_ref().filter(|tag| !tag.is_yaml_core_schema()) {
            self.reader.problem(
                at,
                format!("the tag '{tag}' means nothing here"),
                Some("remove it".to_owned()),
            );
            return None;
        }
        let shown = text.to_string();
        match Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref()) {
            Some(Scalar::Null) => Some(Data::Null),
            Some(Scalar::Boolean(value)) => Some(Data::Bool(value)),
            Some(Scalar::Integer(value)) => Some(Data::Integer(value)),
            Some(Scalar::FloatingPoint(value)) if value.is_finite() => Some(Data::Float(*value)),
            Some(Scalar::FloatingPoint(_)) => Some(Data::Text(shown)),
            Some(Scalar::String(value)) => Some(Data::Text(value.into_owned())),
            None => {
                self.reader.problem(at, format!("'{shown}' does not fit its tag"), None);
                None
            }
        }
    }

    fn check_depth(&mut self, depth: usize, at: Position) -> Option<()> {
        if depth > DEPTH_MAX {
            self.reader.problem(at, format!("nested more than {DEPTH_MAX} deep"), None);
            return None;
        }
        Some(())
    }

    fn count(&mut self, nodes: usize, at: Position) -> Option<()> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            let hint = Some("split the dag, or write for_each".to_owned());
            self.reader.problem(at, format!("the file has more than {NODES_MAX} values"), hint);
            return None;
        }
        Some(())
    }

    fn syntax(&mut self, error: &ScanError) {
        let at = position(*error.marker());
        let near = self.text.lines().skip(at.line.saturating_sub(2)).take(2);
        let indented_by_tab = |line: &str| line.trim_start_matches([' ', '-']).starts_with('\t');
        let hint = if near.into_iter().any(indented_by_tab) {
            Some("indent with spaces: YAML allows no tabs there".to_owned())
        } else {
            None
        };
        self.reader.problem(at, format!("no valid YAML: {}", error.info()), hint);
    }
}

/// The line of this key, if it is there already.
fn line_of(map: &[(Key, Node)], lines: &mut HashMap<String, usize>, key: &Key) -> Option<usize> {
    if map.len() < FEW {
        return map.iter().find(|(known, _)| known.text == key.text).map(|(known, _)| known.at.line);
    }
    if lines.is_empty() {
        lines.extend(map.iter().map(|(known, _)| (known.text.clone(), known.at.line)));
    }
    match lines.entry(key.text.clone()) {
        Entry::Occupied(known) => Some(*known.get()),
        Entry::Vacant(free) => {
            free.insert(key.at.line);
            None
        }
    }
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn layout(data: &Data, style: ScalarStyle, span: Span) -> Layout {
    let quotes = match style {
        ScalarStyle::Plain => 0,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
        ScalarStyle::Literal => return Layout::Block,
        ScalarStyle::Folded => return Layout::Other,
    };
    let as_it_is = match data {
        // Without escapes and folds the text is as long as the place it takes; the parser counts some spaces after it, too.
        Data::Text(text) => {
            let length = text.chars().count() + 2 * quotes;
            length == span.len() || length < span.len() && !may_be_escaped(text, style)
        }
        _ => false,
    };
    if as_it_is && span.start.line() == span.end.line() { Layout::Inline(quotes) } else { Layout::Other }
}

fn may_be_escaped(text: &str, style: ScalarStyle) -> bool {
    match style {
        ScalarStyle::SingleQuoted => text.contains('\''),
        ScalarStyle::DoubleQuoted => {
            text.contains(|c: char| !(' '..='~').contains(&c) || matches!(c, '"' | '\\'))
        }
        _ => false,
    }
}

impl Node {
    /// A value that does not stand in this file, at the place that it is to be blamed on.
    pub fn made(at: Position, data: Data) -> Node {
        Node { at, data, layout: Layout::Other }
    }

    pub fn from_json(at: Position, value: &Value) -> Node {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Data::Integer(integer),
                None => Data::Float(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => Data::Text(text.clone()),
            Value::Array(items) => Data::List(items.iter().map(|item| Node::from_json(at, item)).collect()),
            Value::Object(map) => {
                let entry = |(text, value): (&String, &Value)| {
                    (Key { text: text.clone(), at }, Node::from_json(at, value))
                };
                Data::Map(map.iter().map(entry).collect())
            }
        };
        Node::made(at, data)
    }

    fn as_key(&self) -> Option<String> {
        match &self.data {
            Data::Text(text) => Some(text.clone()),
            Data::Integer(number) => Some(number.to_string()),
            Data::Bool(value) => Some(value.to_string()),
            Data::Null => Some("null".to_owned()),
            Data::Float(_) | Data::List(_) | Data::Map(_) => None,
        }
    }

    fn size(&self) -> usize {
        match &self.data {
            Data::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Data::Map(map) => 1 + map.iter().map(|(_, node)| node.size()).sum::<usize>(),
            _ => 1,
        }
    }

    /// What it is, in a message.
    pub fn type_name(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "a boolean",
            Data::Integer(_) => "an integer",
            Data::Float(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    /// Where in the file this character of the node's text stands; the start of the text if that is not known.
    pub fn position_in_text(&self, text: &str, offset: usize) -> Position {
        match self.layout {
            Layout::Inline(quotes) => {
                Position { line: self.at.line, column: self.at.column + quotes + offset }
            }
            Layout::Block => {
                let newlines = text.chars().take(offset).filter(|c| *c == '\n').count();
                Position { line: self.at.line + 1 + newlines, column: 1 }
            }
            Layout::Other => self.at,
        }
    }

    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Integer(value) => Value::from(*value),
            Data::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => items.iter().map(Node::to_json).collect(),
            Data::Map(map) => Value::Object(
                map.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The position of the value at a path such as `json.list[2]`, or of the nearest one above it.
    pub fn find(&self, path: &str) -> Position {
        let mut node = self;
        let mut at = self.at;
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            let part = part.trim_end_matches(']');
            match &node.data {
                Data::Map(map) => match map.iter().find(|(key, _)| key.text == part) {
                    Some((key, next)) => (node, at) = (next, key.at),
                    None => return at,
                },
                Data::List(items) => match part.parse::<usize>().ok().and_then(|index| items.get(index)) {
                    Some(next) => (node, at) = (next, next.at),
                    None => return at,
                },
                _ => return at,
            }
        }
        at
    }

    /// All texts in it.
    pub fn texts<'n>(&'n self, found: &mut Vec<(&'n Node, &'n str)>) {
        match &self.data {
            Data::Text(text) => found.push((self, text)),
            Data::List(items) => items.iter().for_each(|item| item.texts(found)),
            Data::Map(map) => map.iter().for_each(|(_, node)| node.texts(found)),
            _ => {}
        }
    }
}
