//! Custom kinds: a file that gives another kind a name, inputs of its own and the rest of its `with:`. A task that uses one is read as
//! a task of the kind behind it; what is wrong with what it was given is told at the dag's own lines.
//!
//! `substitute` puts the inputs in their places. Not here: finding and reading the files.

mod substitute;
#[cfg(test)]
mod tests;

use super::fields::{Fields, Reader};
use super::tasks::Defaults;
use super::yaml::{self, Data, Key, Node, Position};
use super::{retries, task};
use crate::dag::Param;
use crate::params;
use crate::problem::Problem;
use crate::registry::Registry;
use crate::retry::RetryPolicy;
use crate::suggest;
use crate::template;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(super) const KIND_KEYS: [&str; 10] =
    ["kind", "summary", "inputs", "uses", "with", "env", "retries", "timeout", "queue", "pool"];
pub(super) const INPUT_KEYS: [&str; 5] = ["type", "default", "description", "required", "allowed"];

#[derive(Debug, Clone)]
pub struct CustomKind {
    name: String,
    file: String,
    summary: String,
    inputs: BTreeMap<String, Input>,
    uses: String,
    with: Node,
    env: Option<Node>,
    retries: Option<RetryPolicy>,
    timeout: Option<Duration>,
    queue: Option<String>,
    pool: Option<(String, u32)>,
}

/// What a task gives a custom kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub param: Param,
    /// Without it, and without a default, what it stands for is left out.
    pub required: bool,
}

/// What a task that uses a custom kind comes to.
pub(super) struct Made {
    pub with: Node,
    pub env: Option<Node>,
}

/// The kind that the file describes, or everything that is wrong with it. `registry` has the kinds that it may use.
pub fn read_kind(file: &str, bytes: &[u8], registry: &Registry) -> Result<CustomKind, Vec<Problem>> {
    let mut reader = Reader::new(file);
    let kind = yaml::parse(bytes, &mut reader).and_then(|root| read(&mut reader, &root, file, registry));
    let problems = reader.into_problems();
    match kind {
        Some(kind) if problems.is_empty() => Ok(kind),
        _ => Err(problems),
    }
}

fn read(reader: &mut Reader, root: &Node, file: &str, registry: &Registry) -> Option<CustomKind> {
    let fields = reader.fields(root, "a kind", &KIND_KEYS)?;
    let name = name(reader, &fields, file, registry);
    let inputs = fields.get("inputs").map_or_else(BTreeMap::new, |node| read_inputs(reader, node));
    let uses = uses(reader, &fields, registry);
    let with = fields.get("with").cloned().unwrap_or_else(|| Node::made(root.at, Data::Map(Vec::new())));
    reader.map(&with, "with")?;
    let env = fields.get("env").cloned();
    if let Some(env) = &env {
        super::tasks::env(reader, env);
    }
    for node in [Some(&with), env.as_ref()].into_iter().flatten() {
        check_texts(reader, node, &inputs);
    }
    let kind = CustomKind {
        name: name?,
        file: file.to_owned(),
        summary: fields.get("summary").and_then(|node| reader.text(node, "summary")).unwrap_or("").to_owned(),
        inputs,
        uses: uses?,
        with,
        env,
        retries: fields.get("retries").map(|node| retries::read(reader, Some(node), &RetryPolicy::default())),
        timeout: fields.get("timeout").and_then(|node| reader.period(node, "timeout")),
        queue: task::name(reader, &fields, "queue", "a queue"),
        pool: task::pool(reader, &fields),
    };
    Some(kind)
}

fn name(reader: &mut Reader, fields: &Fields<'_>, file: &str, registry: &Registry) -> Option<String> {
    let Some(node) = fields.get("kind") else {
        let hint = Some("begin the file with 'kind: <name>'".to_owned());
        reader.problem(fields.key_at("kind"), "'kind' is missing".to_owned(), hint);
        return None;
    };
    let name = reader.text(node, "kind")?;
    reader.id(name, node.at, "a kind", true);
    if registry.get(name).is_some() {
        let message = format!("'{name}' is a kind of the program");
        reader.problem(node.at, message, Some("choose another name".to_owned()));
    }
    let stem = Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    if stem.as_deref() != Some(name) {
        let hint = Some(format!("name the file {name}.yaml"));
        reader.problem(node.at, format!("the kind '{name}' is not in a file of its name"), hint);
    }
    Some(name.to_owned())
}

fn uses(reader: &mut Reader, fields: &Fields<'_>, registry: &Registry) -> Option<String> {
    let kinds = || registry.iter().map(|kind| kind.kind());
    let Some(node) = fields.get("uses") else {
        let message = "the kind does not say what it 'uses'".to_owned();
        reader.problem(fields.key_at("uses"), message, suggest::hint("", kinds()));
        return None;
    };
    let name = reader.text(node, "uses")?;
    if registry.get(name).is_none() {
        let hint = match registry.custom(name) {
            Some(_) => Some("a custom kind uses a kind of the program, not another custom one".to_owned()),
            None => suggest::hint(name, kinds()),
        };
        reader.problem(node.at, format!("unknown kind '{name}'"), hint);
        return None;
    }
    Some(name.to_owned())
}

fn read_inputs(reader: &mut Reader, node: &Node) -> BTreeMap<String, Input> {
    let mut inputs = BTreeMap::new();
    for (key, node) in reader.map(node, "inputs").unwrap_or_default() {
        if !reader.id(&key.text, key.at, "an input", false) {
            continue;
        }
        // One that is broken still lets templates name it.
        let broken = || {
            let (r#type, description) = (String::new(), String::new());
            Input {
                param: Param { r#type, default: None, description, allowed: Vec::new() },
                required: false,
            }
        };
        inputs.insert(key.text.clone(), read_input(reader, node).unwrap_or_else(broken));
    }
    inputs
}

fn read_input(reader: &mut Reader, node: &Node) -> Option<Input> {
    let fields = reader.fields(node, "an input", &INPUT_KEYS)?;
    let param = super::top::declared(reader, &fields, true)?;
    let required = fields.get("required").and_then(|node| Some((node.at, reader.boolean(node, "required")?)));
    if let (Some((at, true)), Some(_)) = (required, &param.default) {
        let hint = Some("remove one of the two".to_owned());
        reader.problem(at, "an input that is required has no default".to_owned(), hint);
    }
    let required = required.map_or(param.default.is_none(), |(_, required)| required);
    Some(Input { param, required })
}

/// Inputs that are named and not declared.
fn check_texts(reader: &mut Reader, node: &Node, inputs: &BTreeMap<String, Input>) {
    let mut texts = Vec::new();
    node.texts(&mut texts);
    for (node, text) in texts {
        for (offset, name) in substitute::named(text) {
            let at = node.position_in_text(text, text[..offset].chars().count());
            match name {
                Some(name) if inputs.contains_key(name) => {}
                Some(name) => {
                    let hint = suggest::hint(name, inputs.keys().map(String::as_str));
                    reader.problem(at, format!("unknown input '{name}'"), hint);
                }
                None => {
                    let hint = Some("name one input: {{ inputs.name }}".to_owned());
                    reader.problem(at, "'inputs' stands alone in a template".to_owned(), hint);
                }
            }
        }
    }
}

impl CustomKind {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The kind behind it.
    pub fn uses(&self) -> &str {
        &self.uses
    }

    pub fn inputs(&self) -> &BTreeMap<String, Input> {
        &self.inputs
    }

    /// In a message.
    pub(super) fn shown(&self) -> String {
        format!("kind '{}' ({})", self.name, self.file)
    }

    /// JSON Schema of what tasks give it.
    pub fn with_schema(&self) -> Value {
        let schema = |input: &Input| {
            let mut schema = json!({ "type": input.param.r#type, "description": input.param.description });
            if let Some(default) = &input.param.default {
                schema["default"] = default.clone();
            }
            if !input.param.allowed.is_empty() {
                schema["enum"] = Value::Array(input.param.allowed.clone());
            }
            schema
        };
        let properties: serde_json::Map<String, Value> =
            self.inputs.iter().map(|(name, input)| (name.clone(), schema(input))).collect();
        let required: Vec<&String> =
            self.inputs.iter().filter(|(_, input)| input.required).map(|(name, _)| name).collect();
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    /// What its tasks have if they say nothing.
    pub(super) fn over(&self, defaults: &Defaults) -> Defaults {
        Defaults {
            retries: self.retries.clone().unwrap_or_else(|| defaults.retries.clone()),
            timeout: self.timeout.or(defaults.timeout),
            queue: self.queue.clone().unwrap_or_else(|| defaults.queue.clone()),
            pool: self.pool.clone().or_else(|| defaults.pool.clone()),
            ..defaults.clone()
        }
    }

    /// What the task says, put into what the kind says. `at` is where the task names the kind.
    pub(super) fn expand(&self, reader: &mut Reader, given: Option<&Node>, at: Position) -> Option<Made> {
        let values = self.values(reader, given, at)?;
        let mut fine = true;
        let mut fill = |node: &Node| {
            let mut problems = Vec::new();
            let made = substitute::fill(node, &values, at, &mut problems);
            for (at, message) in problems {
                reader.problem(at, format!("{}: {message}", self.shown()), None);
                fine = false;
            }
            made
        };
        let with = fill(&self.with);
        let env = self.env.as_ref().map(&mut fill);
        fine.then_some(Made { with, env })
    }

    fn values(
        &self,
        reader: &mut Reader,
        given: Option<&Node>,
        at: Position,
    ) -> Option<BTreeMap<&str, Node>> {
        let none: &[(Key, Node)] = &[];
        let map = given.map_or(Some(none), |node| reader.map(node, "with"))?;
        let mut fine = true;
        for (key, _) in map.iter().filter(|(key, _)| !self.inputs.contains_key(&key.text)) {
            let message = format!("{} has no input '{}'", self.shown(), key.text);
            reader.problem(key.at, message, suggest::hint(&key.text, self.inputs.keys().map(String::as_str)));
            fine = false;
        }
        let mut values = BTreeMap::new();
        for (name, Input { param, required }) in &self.inputs {
            let node = map.iter().find(|(key, _)| key.text == *name).map(|(_, node)| node);
            let node = node.filter(|node| !matches!(node.data, Data::Null));
            let Some(node) = node else {
                if *required {
                    let message = format!("{} needs the input '{name}' ({})", self.shown(), param.r#type);
                    let hint = Some(param.description.clone()).filter(|text| !text.is_empty());
                    reader.problem(given.map_or(at, |given| given.at), message, hint);
                    fine = false;
                }
                values.insert(
                    name.as_str(),
                    Node::from_json(at, param.default.as_ref().unwrap_or(&Value::Null)),
                );
                continue;
            };
            let is_template = matches!(&node.data, Data::Text(text) if template::is_template(text));
            if !is_template && let Some(wrong) = params::mismatch(param, &node.to_json()) {
                reader.problem(node.at, format!("{}: the input '{name}' {wrong}", self.shown()), None);
                fine = false;
            }
            values.insert(name.as_str(), node.clone());
        }
        fine.then_some(values)
    }
}
