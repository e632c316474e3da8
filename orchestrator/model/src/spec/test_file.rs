//! Files with tests of dags: `<name>.test.yaml`, read into the cases that [`crate::simulate`] plays.
//!
//! What stands beside `cases:` holds for each of them; a file without `cases:` is one case. `script` reads what tasks come to, `expect`
//! what is expected.

mod expect;
mod script;

use super::fields::{Fields, Reader};
use super::yaml::{self, Data, Node, Position};
use crate::dag::Dag;
use crate::params;
use crate::problem::Problem;
use crate::schedule::window_at;
use crate::simulate::{Case, Expect, Place, Script, Selector};
use crate::suggest;
use crate::window::Window;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};

const SHARED_KEYS: [&str; 10] =
    ["name", "at", "window", "params", "vars", "conns", "secrets", "cancel_after", "tasks", "expect"];
const CASES_MAX: usize = 1000;
/// The tick of a run that the test does not date.
const DEFAULT_AT: DateTime<Utc> = match DateTime::from_timestamp(1_767_225_600, 0) {
    Some(at) => at,
    None => DateTime::<Utc>::UNIX_EPOCH,
};

/// What `dag:` says: an id or a file. `None`: the file of the same name without `.test`.
pub fn tested_dag(file: &str, bytes: &[u8]) -> Result<Option<String>, Vec<Problem>> {
    let mut reader = Reader::new(file);
    let root = root(&mut reader, bytes);
    let dag = root.as_ref().and_then(|root| {
        let map = reader.map(root, "the test")?;
        let (_, node) = map.iter().find(|(key, _)| key.text == "dag")?;
        reader.text(node, "dag").map(str::to_owned)
    });
    if reader.has_problems() { Err(reader.into_problems()) } else { Ok(dag) }
}

/// The cases of the file, or everything that is wrong with it.
pub fn read_test(file: &str, bytes: &[u8], dag: &Dag) -> Result<Vec<Case>, Vec<Problem>> {
    let mut reader = Reader::new(file);
    let cases = root(&mut reader, bytes).and_then(|root| cases(&mut reader, &root, dag));
    match cases {
        Some(cases) if !reader.has_problems() => Ok(cases),
        _ => Err(reader.into_problems()),
    }
}

fn root(reader: &mut Reader, bytes: &[u8]) -> Option<Node> {
    if bytes.trim_ascii().is_empty() {
        let hint = "a test needs at least 'expect: { run: success }'".to_owned();
        reader.whole("the file is empty".to_owned(), Some(hint));
        return None;
    }
    yaml::parse(bytes, reader)
}

fn cases(reader: &mut Reader, root: &Node, dag: &Dag) -> Option<Vec<Case>> {
    let keys: Vec<&str> = SHARED_KEYS.into_iter().chain(["dag", "cases"]).collect();
    let shared = reader.fields(root, "the test", &keys)?;
    let Some(node) = shared.get("cases") else {
        return case(reader, &[shared], dag).map(|case| vec![case]);
    };
    let Data::List(items) = &node.data else {
        reader.wrong_type(node, "cases", "a list");
        return None;
    };
    if items.is_empty() || items.len() > CASES_MAX {
        reader.problem(node.at, format!("a file has 1-{CASES_MAX} cases, not {}", items.len()), None);
    }
    let mut cases = Vec::with_capacity(items.len());
    for item in items {
        let own = reader.fields(item, "a case", &SHARED_KEYS)?;
        cases.extend(case(reader, &[shared, own], dag));
    }
    Some(cases)
}

/// What a case says for itself stands last in `fields`, and wins.
fn case(reader: &mut Reader, fields: &[Fields<'_>], dag: &Dag) -> Option<Case> {
    let own = fields.last()?;
    let get = |name: &str| fields.iter().rev().find_map(|fields| fields.get(name));
    let at = get("at").map_or(Some(DEFAULT_AT), |node| reader.instant(node, "at", Tz::UTC))?;
    let window = match get("window") {
        Some(node) => Some(window(reader, node)?),
        None => window_at(&dag.window, &dag.schedule, at),
    };
    let name = own.get("name").and_then(|node| reader.text(node, "name")).unwrap_or_default();
    let cancel_after = get("cancel_after").and_then(|node| reader.duration(node, "cancel_after"));
    let mut scripts: Vec<(Selector, Script)> = Vec::new();
    let mut expect = Expect::default();
    for fields in fields {
        if let Some(node) = fields.get("tasks") {
            script::read(reader, node, dag, &mut scripts);
        }
        if let Some(node) = fields.get("expect") {
            expect::read(reader, node, dag, &mut expect);
        }
    }
    if get("expect").is_none() {
        let hint = "expect: { run: success }".to_owned();
        reader.problem(own.at, "the case expects nothing".to_owned(), Some(hint));
    }
    let params = params(reader, fields, dag);
    Some(Case {
        name: name.to_owned(),
        place: place(own.at),
        at,
        window,
        params,
        vars: merged(reader, fields, "vars"),
        conns: merged(reader, fields, "conns"),
        secrets: merged(reader, fields, "secrets"),
        cancel_after,
        scripts,
        expect,
    })
}

fn params(reader: &mut Reader, fields: &[Fields<'_>], dag: &Dag) -> Value {
    let given = Value::Object(merged(reader, fields, "params"));
    let at = fields.iter().rev().find(|fields| fields.get("params").is_some());
    let at = at.or(fields.last()).map_or(Position { line: 0, column: 0 }, |fields| fields.key_at("params"));
    params::check(&dag.params, &given).unwrap_or_else(|problems| {
        problems.into_iter().for_each(|message| reader.problem(at, message, None));
        Value::Null
    })
}

/// Key by key, the case's own over the shared ones.
fn merged(reader: &mut Reader, fields: &[Fields<'_>], name: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for node in fields.iter().filter_map(|fields| fields.get(name)) {
        for (key, value) in reader.map(node, name).unwrap_or_default() {
            all.insert(key.text.clone(), value.to_json());
        }
    }
    all
}

fn window(reader: &mut Reader, node: &Node) -> Option<Window> {
    let fields = reader.fields(node, "window", &["start", "end"])?;
    let mut instant = |name: &str| {
        let Some(node) = fields.get(name) else {
            reader.problem(fields.at, format!("'{name}' is missing in window"), None);
            return None;
        };
        reader.instant(node, name, Tz::UTC)
    };
    let (start, end) = (instant("start"), instant("end"));
    let window = Window { start: start?, end: end? };
    if window.start >= window.end {
        reader.problem(fields.at, "the window ends before it starts".to_owned(), None);
    }
    Some(window)
}

/// `load`, `load[1]` or a group of this dag.
fn selector(reader: &mut Reader, text: &str, at: Position, dag: &Dag) -> Option<Selector> {
    let (id, index) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        None => (text, None),
        Some((id, index)) => match index.parse::<u16>() {
            Ok(index) => (id, Some(i32::from(index))),
            Err(_) => {
                reader.problem(
                    at,
                    format!("'{index}' is no map index"),
                    Some("load[0] is the first".to_owned()),
                );
                return None;
            }
        },
    };
    let task = dag.tasks.iter().find(|task| task.id == id);
    let is_group = (0..dag.tasks.len()).any(|task| dag.is_in_group(task, id));
    if task.is_none() && !is_group {
        let known = dag.tasks.iter().map(|task| task.id.as_str());
        let hint = suggest::hint(id, known.chain(dag.groups.iter().map(|group| group.id.as_str())));
        reader.problem(at, format!("dag '{}' has no task '{id}'", dag.id), hint);
        return None;
    }
    if let (Some(task), Some(index)) = (task, index) {
        let last = task.items().map(|items| items.len() as i32 - 1);
        let last = last.or((task.for_each.is_none()).then_some(-1));
        if last.is_some_and(|last| index > last) {
            let message = match last {
                Some(last @ 0..) => format!("the last instance of '{id}' is {id}[{last}]"),
                _ => format!("'{id}' is not mapped: write '{id}' alone"),
            };
            reader.problem(at, message, None);
            return None;
        }
    }
    Some(Selector { id: id.to_owned(), map_index: index })
}

fn place(at: Position) -> Place {
    Place { line: at.line, column: at.column }
}

#[cfg(test)]
mod tests;
