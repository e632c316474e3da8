//! Typed values from the tree; what does not fit becomes a problem and reading goes on.

use super::yaml::{Data, Key, Node, Position};
use crate::duration;
use crate::problem::Problem;
use crate::suggest;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use std::collections::BTreeSet;
use std::time::Duration;

/// Problems of one file that are told; who has more begins with these.
const PROBLEMS_MAX: usize = 200;

/// Collects the problems of one file.
pub(super) struct Reader {
    file: String,
    problems: Vec<Problem>,
    untold: usize,
    custom_kinds: BTreeSet<String>,
}

/// A mapping whose keys were checked.
#[derive(Clone, Copy)]
pub(super) struct Fields<'n> {
    map: &'n [(Key, Node)],
    pub at: Position,
}

impl<'n> Fields<'n> {
    /// What is given; `null` is as if it were not there.
    pub fn get(&self, name: &str) -> Option<&'n Node> {
        let (_, node) = self.map.iter().find(|(key, _)| key.text == name)?;
        (!matches!(node.data, Data::Null)).then_some(node)
    }

    pub fn key_at(&self, name: &str) -> Position {
        self.map.iter().find(|(key, _)| key.text == name).map_or(self.at, |(key, _)| key.at)
    }
}

impl Reader {
    pub fn new(file: &str) -> Self {
        Reader { file: file.to_owned(), problems: Vec::new(), untold: 0, custom_kinds: BTreeSet::new() }
    }

    pub fn problem(&mut self, at: Position, message: String, hint: Option<String>) {
        if self.is_full() {
            self.untold += 1;
            return;
        }
        let file = self.file.clone();
        self.problems.push(Problem { file, line: at.line, column: at.column, message, hint });
    }

    /// A problem of the file as a whole.
    pub fn whole(&mut self, message: String, hint: Option<String>) {
        self.problem(Position { line: 0, column: 0 }, message, hint);
    }

    /// A kind that the program does not have.
    pub fn uses_custom_kind(&mut self, name: &str) {
        if !self.custom_kinds.contains(name) {
            self.custom_kinds.insert(name.to_owned());
        }
    }

    pub fn take_custom_kinds(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.custom_kinds)
    }

    /// More problems are only counted: no more hints need to be found.
    pub fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// In the order of the file, each once.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems.dedup();
        if self.untold > 0 {
            let (file, untold) = (self.file, self.untold);
            let message = format!("{untold} more problems are told once these are solved");
            self.problems.push(Problem { file, line: 0, column: 0, message, hint: None });
        }
        self.problems
    }

    pub fn wrong_type(&mut self, node: &Node, what: &str, expected: &str) {
        self.problem(node.at, format!("'{what}' must be {expected}, not {}", node.type_name()), None);
    }

    /// A mapping with known keys only.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let map = self.map(node, what)?;
        for (key, _) in map.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let message = format!("unknown key '{}' in {what}", key.text);
            self.problem(key.at, message, suggest::hint(&key.text, known.iter().copied()));
        }
        Some(Fields { map, at: node.at })
    }

    /// A mapping with any keys.
    pub fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        match &node.data {
            Data::Map(map) => Some(map),
            _ => {
                self.problem(node.at, format!("{what} must be a mapping, not {}", node.type_name()), None);
                None
            }
        }
    }

    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.data {
            Data::Text(text) => Some(text),
            _ => {
                self.wrong_type(node, what, "text");
                None
            }
        }
    }

    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.data {
            Data::Bool(value) => Some(value),
            _ => {
                self.wrong_type(node, what, "true or false");
                None
            }
        }
    }

    pub fn integer(&mut self, node: &Node, what: &str, low: i64, high: i64) -> Option<i64> {
        match node.data {
            Data::Integer(value) if (low..=high).contains(&value) => Some(value),
            Data::Integer(value) => {
                self.problem(node.at, format!("'{what}' must be in {low}-{high}, not {value}"), None);
                None
            }
            _ => {
                self.wrong_type(node, what, "an integer");
                None
            }
        }
    }

    pub fn count(&mut self, node: &Node, what: &str, low: u32, high: u32) -> Option<u32> {
        self.integer(node, what, low.into(), high.into()).and_then(|value| u32::try_from(value).ok())
    }

    pub fn number(&mut self, node: &Node, what: &str, low: f64, high: f64) -> Option<f64> {
        let value = match node.data {
            Data::Integer(value) => value as f64,
            Data::Float(value) => value,
            _ => {
                self.wrong_type(node, what, "a number");
                return None;
            }
        };
        if !(low..=high).contains(&value) {
            self.problem(node.at, format!("'{what}' must be in {low}-{high}, not {value}"), None);
            return None;
        }
        Some(value)
    }

    pub fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let hint = || Some("write it like 10s, 5m, 2h, 1d".to_owned());
        let text = match &node.data {
            Data::Text(text) => text,
            Data::Integer(0) => return Some(Duration::ZERO),
            _ => {
                let message = format!("'{what}' must be a duration, not {}", node.type_name());
                self.problem(node.at, message, hint());
                return None;
            }
        };
        match duration::parse(text) {
            Ok(duration) => Some(duration),
            Err(message) => {
                self.problem(node.at, format!("'{what}': {message}"), hint());
                None
            }
        }
    }

    /// A duration of at least a second.
    pub fn period(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let duration = self.duration(node, what)?;
        if duration < Duration::from_secs(1) {
            self.problem(node.at, format!("'{what}' must be at least 1s"), None);
            return None;
        }
        Some(duration)
    }

    /// A date (its midnight in the zone) or an instant.
    pub fn instant(&mut self, node: &Node, what: &str, zone: Tz) -> Option<DateTime<Utc>> {
        let text = self.text(node, what)?;
        let midnight = |date: NaiveDate| crate::schedule::start_of_day(zone, date);
        let instant = DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc()).ok();
        let instant = instant.or_else(|| text.parse::<NaiveDate>().ok().and_then(midnight));
        if instant.is_none() {
            let hint = Some("write it like 2026-01-31 or 2026-01-31T06:00:00Z".to_owned());
            self.problem(node.at, format!("'{what}': '{text}' is no date and no instant"), hint);
        }
        instant
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let hint = suggest::hint(text, words.iter().map(|(word, _)| *word));
            self.problem(node.at, format!("'{what}' cannot be '{text}'"), hint);
        }
        found
    }

    /// The one of these keys that is given.
    pub fn one_of<'k>(&mut self, fields: &Fields<'_>, what: &str, keys: &[&'k str]) -> Option<&'k str> {
        let given: Vec<&str> = keys.iter().copied().filter(|key| fields.get(key).is_some()).collect();
        let &[key] = &given[..] else {
            let message = match given[..] {
                [] => format!("{what} says nothing"),
                _ => format!("{what} has {}", given.join(" and ")),
            };
            self.problem(fields.at, message, Some(format!("give one of {}", keys.join(", "))));
            return None;
        };
        keys.iter().copied().find(|known| *known == key)
    }

    /// A list of texts, or one text.
    pub fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n Node, &'n str)> {
        match &node.data {
            Data::List(items) => {
                items.iter().filter_map(|item| self.text(item, what).map(|text| (item, text))).collect()
            }
            Data::Text(text) => vec![(node, text)],
            _ => {
                self.wrong_type(node, what, "a list of texts");
                Vec::new()
            }
        }
    }

    /// Names of assets, each once: one, or a list of them.
    pub fn assets(&mut self, node: &Node, what: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-./:=".contains(c);
        for (node, name) in self.texts(node, what) {
            if name.is_empty() || name.len() > 200 || !name.chars().all(allowed) {
                let hint =
                    "write it like lake/orders: at most 200 letters, digits and _ - . / : =".to_owned();
                self.problem(node.at, format!("'{name}' cannot be the name of an asset"), Some(hint));
            } else if names.iter().any(|known| known == name) {
                self.problem(node.at, format!("'{what}' names '{name}' twice"), None);
            } else {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// An identifier: letters, digits, `_`, `-`, and for dags `.`.
    pub fn id(&mut self, text: &str, at: Position, what: &str, dots: bool) -> bool {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || dots && c == '.';
        let fine = !text.is_empty() && text.len() <= 200 && text.chars().all(allowed);
        if !fine {
            let dots = if dots { ", dots" } else { "" };
            let hint = format!("use at most 200 letters, digits, underscores, hyphens{dots}");
            self.problem(at, format!("'{text}' cannot be the name of {what}"), Some(hint));
        }
        fine
    }
}
