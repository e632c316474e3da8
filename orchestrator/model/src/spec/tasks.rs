//! The fields of each task, before needs and kinds are resolved.

use super::fields::{Fields, Reader};
use super::yaml::{Data, Node, Position};
use crate::dag::{Restart, Service};
use crate::for_each::ForEach;
use crate::registry::Registry;
use crate::retry::RetryPolicy;
use crate::suggest;
use crate::task::Task;
use crate::trigger_rule::TriggerRule;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const TASK_KEYS: [&str; 11] =
    ["needs", "uses", "with", "if", "for_each", "retries", "timeout", "priority", "queue", "env", "service"];
pub(super) const DEFAULTS_KEYS: [&str; 4] = ["retries", "timeout", "priority", "queue"];
pub(super) const RETRIES_KEYS: [&str; 4] = ["limit", "delay", "backoff", "max_delay"];
pub(super) const SERVICE_KEYS: [&str; 3] = ["restart", "stop", "ready_timeout"];
pub(super) const RESTART_KEYS: [&str; 3] = ["policy", "budget", "backoff"];
pub(super) const STOP_KEYS: [&str; 1] = ["grace"];
const TASKS_MAX: usize = 10_000;
const ITEMS_MAX: usize = 10_000;
const RETRIES_MAX: u32 = 1000;
const PRIORITY_MAX: i64 = 1_000_000;

/// What tasks have if they say nothing.
#[derive(Clone, Default)]
pub(super) struct Defaults {
    retries: RetryPolicy,
    timeout: Option<Duration>,
    priority: i32,
    queue: Option<String>,
    env: BTreeMap<String, String>,
}

/// A task as its author wrote it.
pub(super) struct RawTask<'n> {
    pub id: String,
    pub at: Position,
    pub kind: Arc<dyn Task>,
    pub with: Option<&'n Node>,
    pub env_node: Option<&'n Node>,
    pub env: BTreeMap<String, String>,
    pub needs: Vec<(String, Position)>,
    pub trigger_rule: TriggerRule,
    pub for_each: Option<ForEach>,
    pub retries: RetryPolicy,
    pub timeout: Option<Duration>,
    pub priority: i32,
    pub queue: String,
    pub service: Option<Service>,
}

impl Defaults {
    pub fn read(reader: &mut Reader, node: Option<&Node>, env: BTreeMap<String, String>) -> Defaults {
        let none = Defaults { env, ..Defaults::default() };
        let Some(fields) = node.and_then(|node| reader.fields(node, "defaults", &DEFAULTS_KEYS)) else {
            return none;
        };
        let read = TaskReader { fields, defaults: &none };
        Defaults {
            retries: read.retries(reader),
            timeout: read.timeout(reader),
            priority: read.priority(reader),
            queue: Some(read.queue(reader)),
            env: none.env.clone(),
        }
    }
}

/// All tasks; `None` if there is no list of them. Tasks that cannot be asked about (unknown kind, no mapping in `with`) are left out, with a problem.
pub(super) fn read<'n>(
    reader: &mut Reader,
    node: &'n Node,
    defaults: &Defaults,
    registry: &Registry,
) -> Option<Vec<(String, Option<RawTask<'n>>)>> {
    let map = reader.map(node, "tasks")?;
    if map.is_empty() || map.len() > TASKS_MAX {
        let message = format!("a dag has 1 to {TASKS_MAX} tasks, this one has {}", map.len());
        reader.problem(node.at, message, None);
        return None;
    }
    let mut tasks = Vec::with_capacity(map.len());
    for (key, node) in map {
        reader.id(&key.text, key.at, "a task", false);
        let what = format!("task '{}'", key.text);
        let task = reader
            .fields(node, &what, &TASK_KEYS)
            .and_then(|fields| TaskReader { fields, defaults }.read(reader, &key.text, key.at, registry));
        tasks.push((key.text.clone(), task));
    }
    Some(tasks)
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

struct TaskReader<'n, 'd> {
    fields: Fields<'n>,
    defaults: &'d Defaults,
}

impl<'n> TaskReader<'n, '_> {
    fn read(self, reader: &mut Reader, id: &str, at: Position, registry: &Registry) -> Option<RawTask<'n>> {
        let kind = self.kind(reader, id, at, registry);
        let service = self.service(reader, kind.as_ref().is_some_and(|kind| kind.is_service()));
        let with = self.fields.get("with");
        let with_is_map = with.is_none_or(|node| reader.map(node, "with").is_some());
        let env_node = self.fields.get("env");
        let mut variables = self.defaults.env.clone();
        variables.extend(env_node.map_or_else(BTreeMap::new, |node| env(reader, node)));
        let needs = self.fields.get("needs").map_or_else(Vec::new, |node| reader.texts(node, "needs"));
        let trigger_rule = self.trigger_rule(reader);
        let for_each = self.for_each(reader);
        let (service, restart_delays) =
            service.map_or((None, None), |(service, delays)| (Some(service), Some(delays)));
        let (retries, timeout) = match restart_delays {
            Some(delays) => {
                self.refuse_for_service(reader, "retries", "say under service.restart when it is restarted");
                self.refuse_for_service(reader, "timeout", "a service runs until it is stopped");
                (delays, None)
            }
            None => (self.retries(reader), self.timeout(reader)),
        };
        Some(RawTask {
            id: id.to_owned(),
            at,
            with,
            env_node,
            env: variables,
            needs: needs.into_iter().map(|(node, text)| (text.to_owned(), node.at)).collect(),
            trigger_rule,
            for_each,
            retries,
            timeout,
            priority: self.priority(reader),
            queue: self.queue(reader),
            service,
            kind: kind.filter(|_| with_is_map)?,
        })
    }

    fn kind(
        &self,
        reader: &mut Reader,
        id: &str,
        at: Position,
        registry: &Registry,
    ) -> Option<Arc<dyn Task>> {
        let kinds = || registry.iter().map(|kind| kind.kind());
        let Some(node) = self.fields.get("uses") else {
            let hint = suggest::hint("", kinds());
            reader.problem(at, format!("task '{id}' does not say what it 'uses'"), hint);
            return None;
        };
        let name = reader.text(node, "uses")?;
        let kind = registry.get(name);
        if kind.is_none() {
            reader.problem(node.at, format!("unknown kind '{name}'"), suggest::hint(name, kinds()));
        }
        kind.cloned()
    }

    fn trigger_rule(&self, reader: &mut Reader) -> TriggerRule {
        let Some(node) = self.fields.get("if") else { return TriggerRule::AllSuccess };
        if let Data::Text(text) = &node.data
            && text.contains(['{', '(', '=', ' ', '!'])
        {
            let rules = TriggerRule::ALL.map(TriggerRule::as_str).join(", ");
            let message = format!("'if: {text}' is an expression, which is not supported yet");
            reader.problem(node.at, message, Some(format!("use one of {rules}")));
            return TriggerRule::AllSuccess;
        }
        let words = TriggerRule::ALL.map(|rule| (rule.as_str(), rule));
        reader.word(node, "if", &words).unwrap_or_default()
    }

    fn for_each(&self, reader: &mut Reader) -> Option<ForEach> {
        let node = self.fields.get("for_each")?;
        let items = match &node.data {
            Data::List(items) if items.len() <= ITEMS_MAX => items,
            Data::List(items) => {
                let message =
                    format!("'for_each' has {} items, at most {ITEMS_MAX} are allowed", items.len());
                reader.problem(node.at, message, None);
                return None;
            }
            Data::Text(text) if crate::template::is_template(text) => {
                let message = "a 'for_each' over outputs is not supported yet".to_owned();
                reader.problem(node.at, message, Some("write the list: [a, b, c]".to_owned()));
                return None;
            }
            _ => {
                reader.wrong_type(node, "for_each", "a list");
                return None;
            }
        };
        let mut texts = Vec::new();
        node.texts(&mut texts);
        for (node, _) in texts.iter().filter(|(_, text)| crate::template::is_template(text)) {
            let hint = Some("write the template in 'with', over {{ item }}".to_owned());
            reader.problem(node.at, "the items of 'for_each' are not rendered".to_owned(), hint);
        }
        Some(ForEach::list(items.iter().map(Node::to_json).collect()))
    }

    fn retries(&self, reader: &mut Reader) -> RetryPolicy {
        let mut policy = self.defaults.retries.clone();
        let Some(node) = self.fields.get("retries") else { return policy };
        if let Data::Integer(_) = node.data {
            policy.limit = reader.count(node, "retries", 0, RETRIES_MAX).unwrap_or(policy.limit);
            return policy;
        }
        let Some(fields) = reader.fields(node, "retries", &RETRIES_KEYS) else { return policy };
        if let Some(limit) = fields.get("limit").and_then(|node| reader.count(node, "limit", 0, RETRIES_MAX))
        {
            policy.limit = limit;
        }
        if let Some(delay) = fields.get("delay").and_then(|node| reader.duration(node, "delay")) {
            policy.delay = delay;
        }
        if let Some(backoff) =
            fields.get("backoff").and_then(|node| reader.number(node, "backoff", 1.0, 100.0))
        {
            policy.backoff = backoff;
        }
        match fields.get("max_delay").map(|node| (reader.duration(node, "max_delay"), node.at)) {
            None => policy.max_delay = policy.max_delay.max(policy.delay),
            Some((Some(max_delay), at)) if max_delay < policy.delay => {
                reader.problem(at, "'max_delay' is shorter than 'delay'".to_owned(), None);
            }
            Some((max_delay, _)) => policy.max_delay = max_delay.unwrap_or(policy.max_delay),
        }
        policy
    }

    fn timeout(&self, reader: &mut Reader) -> Option<Duration> {
        let own = self.fields.get("timeout").and_then(|node| reader.period(node, "timeout"));
        own.or(self.defaults.timeout)
    }

    fn priority(&self, reader: &mut Reader) -> i32 {
        let node = self.fields.get("priority");
        let own = node.and_then(|node| reader.integer(node, "priority", -PRIORITY_MAX, PRIORITY_MAX));
        own.and_then(|priority| i32::try_from(priority).ok()).unwrap_or(self.defaults.priority)
    }

    fn queue(&self, reader: &mut Reader) -> String {
        let own = self.fields.get("queue").and_then(|node| Some((node.at, reader.text(node, "queue")?)));
        match own {
            Some((at, name)) => {
                reader.id(name, at, "a queue", true);
                name.to_owned()
            }
            None => self.defaults.queue.clone().unwrap_or_else(|| "default".to_owned()),
        }
    }

    fn refuse_for_service(&self, reader: &mut Reader, key: &str, hint: &str) {
        if self.fields.get(key).is_some() {
            let message = format!("a service has no '{key}'");
            reader.problem(self.fields.key_at(key), message, Some(hint.to_owned()));
        }
    }

    /// The service, and how long it waits between restarts.
    fn service(&self, reader: &mut Reader, kind_is_service: bool) -> Option<(Service, RetryPolicy)> {
        let mut service = Service::default();
        let mut delays = RetryPolicy {
            limit: 0,
            delay: Duration::from_secs(1),
            backoff: 2.0,
            max_delay: Duration::from_secs(60),
        };
        let Some(node) = self.fields.get("service") else {
            return kind_is_service.then_some((service, delays));
        };
        let fields = reader.fields(node, "service", &SERVICE_KEYS)?;
        if let Some(node) = fields.get("restart") {
            read_restart(reader, node, &mut service, &mut delays);
        }
        let stop = fields.get("stop").and_then(|node| reader.fields(node, "stop", &STOP_KEYS));
        if let Some(grace) = stop.and_then(|stop| stop.get("grace")) {
            service.stop_grace = reader.duration(grace, "grace").unwrap_or(service.stop_grace);
        }
        if let Some(node) = fields.get("ready_timeout") {
            service.ready_timeout = reader.period(node, "ready_timeout").unwrap_or(service.ready_timeout);
        }
        Some((service, delays))
    }
}

fn read_restart(reader: &mut Reader, node: &Node, service: &mut Service, delays: &mut RetryPolicy) {
    let words = [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
    if let Data::Text(_) = node.data {
        service.restart = reader.word(node, "restart", &words).unwrap_or(service.restart);
        return;
    }
    let Some(fields) = reader.fields(node, "restart", &RESTART_KEYS) else { return };
    if let Some(policy) = fields.get("policy").and_then(|node| reader.word(node, "policy", &words)) {
        service.restart = policy;
    }
    if let Some(node) = fields.get("budget") {
        match budget(node) {
            Some((budget, period)) => (service.budget, service.period) = (budget, period),
            None => {
                let hint = Some("write it like '5 in 10m'".to_owned());
                reader.problem(node.at, "'budget' must be a number of restarts in a time".to_owned(), hint);
            }
        }
    }
    if let Some(delay) = fields.get("backoff").and_then(|node| reader.duration(node, "backoff")) {
        delays.delay = delay;
        delays.max_delay = delays.max_delay.max(delay);
    }
}

fn budget(node: &Node) -> Option<(u32, Duration)> {
    let Data::Text(text) = &node.data else { return None };
    let (count, period) = text.split_once(" in ")?;
    let count = count.trim().parse().ok().filter(|count| *count <= RETRIES_MAX)?;
    let period = crate::duration::parse(period).ok().filter(|period| *period >= Duration::from_secs(1))?;
    Some((count, period))
}
