//! The fields of one task, before needs are resolved and kinds are asked.

use super::custom::CustomKind;
use super::fields::{Fields, Reader};
use super::service::{self, ReadService};
use super::tasks::{Defaults, env};
use super::yaml::{Data, Node, Position};
use super::{each, retries};
use crate::dag::{Role, TaskDef};
use crate::params;
use crate::registry::Registry;
use crate::suggest;
use crate::task::Task;
use crate::template;
use crate::trigger_rule::TriggerRule;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const TASK_KEYS: [&str; 21] = [
    "needs",
    "uses",
    "with",
    "if",
    "trigger_rule",
    "for_each",
    "retries",
    "timeout",
    "deadline",
    "priority",
    "queue",
    "pool",
    "max_active",
    "depends_on_past",
    "setup",
    "teardown",
    "reads",
    "writes",
    "outputs",
    "env",
    "service",
];
pub(super) const POOL_KEYS: [&str; 2] = ["name", "slots"];
const PRIORITY_MAX: i64 = 1_000_000;
const SLOTS_MAX: u32 = 100_000;

pub(super) type Needs<'n> = Vec<(&'n str, Position)>;

pub(super) struct RawTask<'n> {
    /// `None` if it cannot be asked: it is not known, or what it is told is no mapping. There is a problem.
    pub kind: Option<Arc<dyn Task>>,
    /// `kind 'x' (file)`, if it was written with a custom one.
    pub custom: Option<String>,
    pub with: Option<Cow<'n, Node>>,
    pub env: Vec<Cow<'n, Node>>,
    /// Other texts that may be templates.
    pub texts: Vec<&'n Node>,
    pub condition: Option<Condition<'n>>,
    /// The expression of `for_each`.
    pub each: Option<&'n Node>,
    /// Whether the author chose the trigger rule, so that a group's does not hold.
    pub rule_said: bool,
    /// All but `needs` and `group`.
    pub def: TaskDef,
}

/// `if:` as an expression.
pub(super) struct Condition<'n> {
    pub node: &'n Node,
    /// Without braces.
    pub text: String,
}

/// What the task uses: a kind, or a custom one and the kind that it stands for.
struct Used<'r> {
    kind: Arc<dyn Task>,
    custom: Option<&'r CustomKind>,
    at: Position,
}

/// Its needs, and the rest; `None` if it is no mapping.
pub(super) fn read<'n>(
    reader: &mut Reader,
    node: &'n Node,
    id: &str,
    at: Position,
    defaults: &Defaults,
    registry: &Registry,
) -> Option<(Needs<'n>, RawTask<'n>)> {
    let fields = reader.fields(node, &format!("task '{id}'"), &TASK_KEYS)?;
    let needs = fields.get("needs").map_or_else(Vec::new, |node| needs(reader, node));
    let used = used(reader, &fields, id, at, registry);
    let custom = used.as_ref().and_then(|used| used.custom);
    let defaults = custom.map_or(Cow::Borrowed(defaults), |custom| Cow::Owned(custom.over(defaults)));
    let def = TaskDef { id: id.to_owned(), ..TaskDef::default() };
    let mut task = Reading { fields, defaults: &defaults, def, texts: Vec::new() };
    let is_service = used.as_ref().is_some_and(|used| used.kind.is_service());
    task.service_or_tries(reader, is_service);
    let (rule, condition) = rule_and_condition(reader, &fields);
    let rule_said = task.role(reader, rule);
    let each = task.for_each(reader);
    task.limits(reader);
    task.assets_and_outputs(reader);
    let env_node = fields.get("env");
    let own_env = env_node.map_or_else(BTreeMap::new, |node| env(reader, node));
    let with = fields.get("with");
    let with_is_map = with.is_none_or(|node| reader.map(node, "with").is_some());
    let with = with.filter(|_| with_is_map);
    let mut kind = used.as_ref().filter(|_| with_is_map).map(|used| used.kind.clone());
    let (mut with, mut envs) = (with.map(Cow::Borrowed), Vec::from_iter(env_node.map(Cow::Borrowed)));
    task.def.env = defaults.env.clone();
    if let (Some(custom), Some(used)) = (custom.filter(|_| with_is_map), &used) {
        match custom.expand(reader, with.as_deref(), used.at) {
            Some(made) => {
                if let Some(node) = made.env {
                    task.def.env.extend(env(reader, &node));
                    envs.push(Cow::Owned(node));
                }
                with = Some(Cow::Owned(made.with));
            }
            None => kind = None,
        }
    }
    task.def.env.extend(own_env);
    if let Some(kind) = &kind {
        task.def.uses = kind.kind().to_owned();
        task.def.route = kind.route().map(str::to_owned);
        task.def.branch = kind.is_branch();
    }
    task.def.condition = condition.as_ref().map(|condition| condition.text.clone());
    let Reading { def, texts, .. } = task;
    let custom = custom.map(CustomKind::shown);
    Some((needs, RawTask { kind, custom, with, env: envs, texts, condition, each, rule_said, def }))
}

fn used<'r>(
    reader: &mut Reader,
    fields: &Fields<'_>,
    id: &str,
    at: Position,
    registry: &'r Registry,
) -> Option<Used<'r>> {
    let Some(node) = fields.get("uses") else {
        let hint = suggest::hint("", registry.names());
        reader.problem(at, format!("task '{id}' does not say what it 'uses'"), hint);
        return None;
    };
    let name = reader.text(node, "uses")?;
    if registry.get(name).is_none() {
        reader.uses_custom_kind(name);
    }
    let custom = registry.custom(name);
    let kind = registry.get(custom.map_or(name, CustomKind::uses));
    if kind.is_none() {
        reader.problem(node.at, format!("unknown kind '{name}'"), suggest::hint(name, registry.names()));
    }
    Some(Used { kind: kind?.clone(), custom, at: node.at })
}

pub(super) fn needs<'n>(reader: &mut Reader, node: &'n Node) -> Needs<'n> {
    reader.texts(node, "needs").into_iter().map(|(node, text)| (text, node.at)).collect()
}

/// What `if:` and `trigger_rule:` say together.
pub(super) fn rule_and_condition<'n>(
    reader: &mut Reader,
    fields: &Fields<'n>,
) -> (Option<TriggerRule>, Option<Condition<'n>>) {
    let words = TriggerRule::ALL.map(|rule| (rule.as_str(), rule));
    let rule = fields.get("trigger_rule").and_then(|node| reader.word(node, "trigger_rule", &words));
    let Some(node) = fields.get("if") else { return (rule, None) };
    let text = match &node.data {
        Data::Text(text) => text.as_str(),
        Data::Bool(true) => return (rule, None),
        Data::Bool(false) => "false",
        _ => {
            reader.wrong_type(node, "if", "a trigger rule or an expression");
            return (rule, None);
        }
    };
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_word && text != "false" && !template::is_known_root(text) {
        let own = reader.word(node, "if", &words);
        if fields.get("trigger_rule").is_some() {
            let hint = Some("remove one of them".to_owned());
            reader.problem(node.at, "'if' and 'trigger_rule' are both trigger rules".to_owned(), hint);
        }
        return (own.or(rule), None);
    }
    (rule, Some(Condition { node, text: template::inner(text).to_owned() }))
}

pub(super) fn timeout(reader: &mut Reader, fields: &Fields<'_>, defaults: &Defaults) -> Option<Duration> {
    let own = fields.get("timeout").and_then(|node| reader.period(node, "timeout"));
    own.or(defaults.timeout)
}

pub(super) fn priority(reader: &mut Reader, fields: &Fields<'_>, defaults: &Defaults) -> i32 {
    let node = fields.get("priority");
    let own = node.and_then(|node| reader.integer(node, "priority", -PRIORITY_MAX, PRIORITY_MAX));
    own.and_then(|priority| i32::try_from(priority).ok()).unwrap_or(defaults.priority)
}

pub(super) fn queue(reader: &mut Reader, fields: &Fields<'_>, defaults: &Defaults) -> String {
    name(reader, fields, "queue", "a queue").unwrap_or_else(|| defaults.queue.clone())
}

pub(super) fn name(reader: &mut Reader, fields: &Fields<'_>, key: &str, what: &str) -> Option<String> {
    let node = fields.get(key)?;
    let name = reader.text(node, key)?;
    reader.id(name, node.at, what, true);
    Some(name.to_owned())
}

/// The pool and how many of its slots.
pub(super) fn pool(reader: &mut Reader, fields: &Fields<'_>) -> Option<(String, u32)> {
    let node = fields.get("pool")?;
    if !matches!(node.data, Data::Map(_)) {
        return name(reader, fields, "pool", "a pool").map(|name| (name, 1));
    }
    let pool = reader.fields(node, "pool", &POOL_KEYS)?;
    let slots = pool.get("slots").and_then(|node| reader.count(node, "slots", 1, SLOTS_MAX)).unwrap_or(1);
    let own = name(reader, &pool, "name", "a pool");
    if own.is_none() && pool.get("name").is_none() {
        let hint = Some("pool: { name: database, slots: 2 }".to_owned());
        reader.problem(pool.at, "'name' is missing in pool".to_owned(), hint);
    }
    Some((own?, slots))
}

/// A task whose fields are read into its definition.
struct Reading<'n, 'd> {
    fields: Fields<'n>,
    defaults: &'d Defaults,
    def: TaskDef,
    texts: Vec<&'n Node>,
}

impl<'n> Reading<'n, '_> {
    fn service_or_tries(&mut self, reader: &mut Reader, kind_is_service: bool) {
        let read = match self.fields.get("service") {
            Some(node) => service::read(reader, node),
            None => kind_is_service.then(ReadService::default),
        };
        let Some(ReadService { service, delays, texts }) = read else {
            self.def.retries = retries::read(reader, self.fields.get("retries"), &self.defaults.retries);
            self.def.timeout = timeout(reader, &self.fields, self.defaults);
            return;
        };
        self.refuse_for_service(reader, "retries", "say under service.restart when it is restarted");
        self.refuse_for_service(reader, "timeout", "a service runs until it is stopped");
        self.refuse_for_service(reader, "deadline", "a service runs until it is stopped");
        self.refuse_for_service(reader, "teardown", "what cleans up ends by itself");
        self.def.service = Some(service);
        self.def.retries = delays;
        self.texts = texts;
    }

    fn refuse_for_service(&self, reader: &mut Reader, key: &str, hint: &str) {
        if self.fields.get(key).is_some() {
            let message = format!("a service has no '{key}'");
            reader.problem(self.fields.key_at(key), message, Some(hint.to_owned()));
        }
    }

    /// Role and trigger rule; true if a group's rule does not hold for it.
    fn role(&mut self, reader: &mut Reader, rule: Option<TriggerRule>) -> bool {
        let setup = self.flag(reader, "setup");
        let teardown = self.flag(reader, "teardown");
        if setup && teardown {
            let hint = Some("make them two tasks".to_owned());
            let at = self.fields.key_at("teardown");
            reader.problem(at, "a task is 'setup' or 'teardown', not both".to_owned(), hint);
        }
        let own = if teardown { TriggerRule::AllDoneSetupSuccess } else { TriggerRule::AllSuccess };
        self.def.trigger_rule = rule.unwrap_or(own);
        self.def.role = match (setup, teardown) {
            (_, true) => Role::Teardown,
            (true, false) => Role::Setup,
            (false, false) => Role::Work,
        };
        rule.is_some() || teardown
    }

    fn flag(&self, reader: &mut Reader, key: &str) -> bool {
        self.fields.get(key).and_then(|node| reader.boolean(node, key)).unwrap_or(false)
    }

    fn for_each(&mut self, reader: &mut Reader) -> Option<&'n Node> {
        let node = self.fields.get("for_each")?;
        // One that is broken still lets templates name the item.
        let (for_each, expression) =
            each::read(reader, node).unwrap_or_else(|| (crate::for_each::ForEach::list(Vec::new()), None));
        self.def.for_each = Some(for_each);
        expression
    }

    fn limits(&mut self, reader: &mut Reader) {
        let fields = &self.fields;
        self.def.priority = priority(reader, fields, self.defaults);
        self.def.queue = queue(reader, fields, self.defaults);
        if let Some((pool, slots)) = pool(reader, fields).or_else(|| self.defaults.pool.clone()) {
            (self.def.pool, self.def.pool_slots) = (Some(pool), slots);
        }
        self.def.max_active =
            fields.get("max_active").and_then(|node| reader.count(node, "max_active", 1, SLOTS_MAX));
        self.def.depends_on_past = self.flag(reader, "depends_on_past");
        self.def.deadline = fields.get("deadline").and_then(|node| reader.period(node, "deadline"));
    }

    fn assets_and_outputs(&mut self, reader: &mut Reader) {
        let fields = &self.fields;
        self.def.reads = fields.get("reads").map_or_else(Vec::new, |node| reader.assets(node, "reads"));
        self.def.writes = fields.get("writes").map_or_else(Vec::new, |node| reader.assets(node, "writes"));
        let outputs = fields.get("outputs").and_then(|node| reader.map(node, "outputs"));
        let words = params::TYPES.map(|name| (name, name));
        for (key, node) in outputs.unwrap_or_default() {
            if reader.id(&key.text, key.at, "an output", false)
                && let Some(name) = reader.word(node, &key.text, &words)
            {
                self.def.outputs.insert(key.text.clone(), name.to_owned());
            }
        }
    }
}
