//! The tree of tasks and groups under `tasks:`, flattened in the order of the file; needs are not resolved yet.

use super::fields::Reader;
use super::retries;
use super::task::{self, Condition, RawTask};
use super::yaml::{Data, Node, Position};
use crate::registry::Registry;
use crate::retry::RetryPolicy;
use crate::trigger_rule::TriggerRule;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const DEFAULTS_KEYS: [&str; 4] = ["retries", "timeout", "priority", "queue"];
pub(super) const GROUP_KEYS: [&str; 5] = ["needs", "if", "trigger_rule", "retries", "tasks"];
/// Tasks that one dag may have.
pub(super) const TASKS_MAX: usize = 100_000;
const ID_MAX: usize = 250;

/// What tasks have if they say nothing.
#[derive(Clone)]
pub(super) struct Defaults {
    pub retries: RetryPolicy,
    pub timeout: Option<Duration>,
    pub priority: i32,
    pub queue: String,
    pub env: BTreeMap<String, String>,
    pub pool: Option<(String, u32)>,
}

/// A task or a group as its author wrote it.
pub(super) struct Raw<'n> {
    /// `group.id` in a group.
    pub id: String,
    /// Position of the group that it is in.
    pub group: Option<usize>,
    pub at: Position,
    pub needs: Vec<(&'n str, Position)>,
    pub body: Body<'n>,
}

pub(super) enum Body<'n> {
    Task(Box<RawTask<'n>>),
    Group(RawGroup<'n>),
    /// It is no mapping. There is a problem.
    Broken,
}

pub(super) struct RawGroup<'n> {
    pub rule: Option<TriggerRule>,
    pub condition: Option<Condition<'n>>,
    pub retries: RetryPolicy,
}

impl<'n> Raw<'n> {
    pub fn task(&self) -> Option<&RawTask<'n>> {
        match &self.body {
            Body::Task(task) => Some(task),
            Body::Group(_) | Body::Broken => None,
        }
    }

    pub fn is_group(&self) -> bool {
        matches!(self.body, Body::Group(_))
    }
}

impl Defaults {
    pub fn read(reader: &mut Reader, node: Option<&Node>, env: BTreeMap<String, String>) -> Defaults {
        let none = Defaults {
            retries: RetryPolicy::default(),
            timeout: None,
            priority: 0,
            queue: "default".to_owned(),
            env,
            pool: None,
        };
        let Some(fields) = node.and_then(|node| reader.fields(node, "defaults", &DEFAULTS_KEYS)) else {
            return none;
        };
        Defaults {
            retries: retries::read(reader, fields.get("retries"), &none.retries),
            timeout: task::timeout(reader, &fields, &none),
            priority: task::priority(reader, &fields, &none),
            queue: task::queue(reader, &fields, &none),
            ..none
        }
    }
}

/// `None` if there is no list of them.
pub(super) fn read<'n>(
    reader: &mut Reader,
    node: &'n Node,
    defaults: &Defaults,
    registry: &Registry,
) -> Option<Vec<Raw<'n>>> {
    let mut tree = Tree { defaults, registry, found: Vec::new() };
    tree.add_all(reader, node, None)?;
    let tasks = tree.found.iter().filter(|raw| !raw.is_group()).count();
    if tasks == 0 || tasks > TASKS_MAX {
        let message = format!("a dag has 1 to {TASKS_MAX} tasks, this one has {tasks}");
        reader.problem(node.at, message, None);
        return None;
    }
    Some(tree.found)
}

struct Tree<'n, 'd> {
    defaults: &'d Defaults,
    registry: &'d Registry,
    found: Vec<Raw<'n>>,
}

impl<'n> Tree<'n, '_> {
    fn add_all(&mut self, reader: &mut Reader, node: &'n Node, group: Option<usize>) -> Option<()> {
        for (key, node) in reader.map(node, "tasks")? {
            let id = match group {
                None => key.text.clone(),
                Some(group) => format!("{}.{}", self.found[group].id, key.text),
            };
            reader.id(&key.text, key.at, "a task", false);
            if id.len() > ID_MAX {
                let message = format!("'{id}' is longer than {ID_MAX} characters with its groups");
                reader.problem(key.at, message, None);
            }
            if is_group(node) {
                self.add_group(reader, node, id, key.at, group);
                continue;
            }
            let read = task::read(reader, node, &id, key.at, self.defaults, self.registry);
            let (needs, body) = match read {
                Some((needs, task)) => (needs, Body::Task(Box::new(task))),
                None => (Vec::new(), Body::Broken),
            };
            self.found.push(Raw { id, group, at: key.at, needs, body });
        }
        Some(())
    }

    fn add_group(
        &mut self,
        reader: &mut Reader,
        node: &'n Node,
        id: String,
        at: Position,
        group: Option<usize>,
    ) {
        let what = format!("group '{id}' (what has 'tasks' is a group)");
        let Some(fields) = reader.fields(node, &what, &GROUP_KEYS) else { return };
        let needs = fields.get("needs").map_or_else(Vec::new, |node| task::needs(reader, node));
        let (rule, condition) = task::rule_and_condition(reader, &fields);
        let retries = retries::read(reader, fields.get("retries"), &RetryPolicy::default());
        let body = Body::Group(RawGroup { rule, condition, retries });
        let own = self.found.len();
        self.found.push(Raw { id, group, at, needs, body });
        let Some(tasks) = fields.get("tasks") else { return };
        if matches!(&tasks.data, Data::Map(map) if map.is_empty()) {
            let message = format!("group '{}' has no tasks", self.found[own].id);
            reader.problem(tasks.at, message, None);
        }
        // What is no mapping has its problem.
        let _added = self.add_all(reader, tasks, Some(own));
    }
}

fn is_group(node: &Node) -> bool {
    match &node.data {
        Data::Map(map) => {
            map.iter().any(|(key, node)| key.text == "tasks" && !matches!(node.data, Data::Null))
        }
        _ => false,
    }
}

/// `env:`; values are texts, and numbers and booleans as they are written.
pub(super) fn env(reader: &mut Reader, node: &Node) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (key, node) in reader.map(node, "env").unwrap_or_default() {
        if key.text.is_empty() || key.text.contains(['=', '\0']) {
            reader.problem(key.at, format!("'{}' cannot be the name of a variable", key.text), None);
        }
        match &node.data {
            Data::Text(text) => env.insert(key.text.clone(), text.clone()),
            Data::Null => env.insert(key.text.clone(), String::new()),
            Data::Bool(_) | Data::Integer(_) | Data::Float(_) => {
                env.insert(key.text.clone(), node.to_json().to_string())
            }
            Data::List(_) | Data::Map(_) => {
                reader.wrong_type(node, &key.text, "text");
                None
            }
        };
    }
    env
}
