//! Templates in `with:` and `env:`: minijinja, strict, over the facts of one attempt. `check` finds at load time what can be known
//! then, `expression` judges `if:` and `for_each:`, `filters` works on instants.
//!
//! Not here: where connections, variables and secrets come from.

mod check;
mod context;
mod expression;
mod filters;
#[cfg(test)]
mod tests;

pub(crate) use check::is_known_root;
pub use check::{Found, Given, Names, NoTasks, TaskNames, TemplateProblem, check, check_expression};
pub use context::{DagFacts, RunFacts, TaskFacts, TemplateContext};
pub(crate) use expression::inner;
pub use expression::{condition, conditions, evaluate, names_any};

use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;

/// Steps of one template; a loop that takes more is cut off.
const FUEL: u64 = 100_000;
/// Bytes that one template may give.
const OUTPUT_MAX: usize = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template{}: {message}", if path.is_empty() { String::new() } else { format!(" in '{path}'") })]
pub struct TemplateError {
    /// Where in the value: `json.text`, `commands[2]`.
    pub path: String,
    pub message: String,
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true);
    filters::add_to(&mut environment);
    environment
});

/// The value with all templates in it rendered. A string that is one `{{ expression }}` and nothing else keeps the expression's type.
pub fn render(value: &Value, context: &TemplateContext) -> Result<Value, TemplateError> {
    if !has_template(value) {
        return Ok(value.clone());
    }
    walk(value, &context.to_value(), &mut String::new())
}

/// The same for `env:`, where everything is text.
pub fn render_env(
    env: &BTreeMap<String, String>,
    context: &TemplateContext,
) -> Result<BTreeMap<String, String>, TemplateError> {
    if !env.values().any(|text| is_template(text)) {
        return Ok(env.clone());
    }
    let context = context.to_value();
    let render = |(name, text): (&String, &String)| {
        let error = |message| TemplateError { path: name.clone(), message };
        Ok((name.clone(), render_text(text, &context).map_err(error)?))
    };
    env.iter().map(render).collect()
}

/// Whether any string in the value is a template, and so may become anything.
pub fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(map) => map.values().any(has_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

fn walk(value: &Value, context: &minijinja::Value, path: &mut String) -> Result<Value, TemplateError> {
    let length = path.len();
    match value {
        Value::String(text) => {
            render_string(text, context).map_err(|message| TemplateError { path: path.clone(), message })
        }
        Value::Array(items) => {
            let mut rendered = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                rendered.push(walk(item, context, path)?);
                path.truncate(length);
            }
            Ok(Value::Array(rendered))
        }
        Value::Object(map) => {
            let mut rendered = Map::with_capacity(map.len());
            for (key, item) in map {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                rendered.insert(key.clone(), walk(item, context, path)?);
                path.truncate(length);
            }
            Ok(Value::Object(rendered))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

fn render_string(text: &str, context: &minijinja::Value) -> Result<Value, String> {
    if !is_template(text) {
        return Ok(Value::String(text.to_owned()));
    }
    let Some(expression) = single_expression(text) else {
        return render_text(text, context).map(Value::String);
    };
    let value = expression.eval(context).map_err(|error| describe(&error))?;
    if value.is_undefined() {
        return Err(format!("'{}' is not defined", text.trim()));
    }
    serde_json::to_value(&value).map_err(|error| error.to_string())
}

/// The expression, if the text is `{{ expression }}` and nothing else.
fn single_expression(text: &str) -> Option<minijinja::Expression<'static, 'static>> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    // An end mark inside: there is more than one expression. (minijinja's lexer of single expressions panics at it.)
    if inner.contains("}}") {
        return None;
    }
    ENVIRONMENT.compile_expression_owned(inner.to_owned()).ok()
}

fn render_text(text: &str, context: &minijinja::Value) -> Result<String, String> {
    let template = ENVIRONMENT.template_from_str(text).map_err(|error| describe(&error))?;
    let mut output = Bounded(Vec::new());
    template.render_captured_to(context, &mut output).map_err(|error| describe(&error))?;
    String::from_utf8(output.0).map_err(|error| error.to_string())
}

/// Refuses to grow beyond [`OUTPUT_MAX`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_MAX {
            return Err(std::io::Error::other(format!("the output is longer than {OUTPUT_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What went wrong in one line, with the expression that is to blame.
fn describe(error: &minijinja::Error) -> String {
    use std::error::Error as _;
    let place = error.template_source().zip(error.range()).and_then(|(source, range)| source.get(range));
    let kind = match error.kind() {
        minijinja::ErrorKind::UndefinedError => "not defined".to_owned(),
        minijinja::ErrorKind::OutOfFuel => format!("takes more than {FUEL} steps"),
        kind => kind.to_string(),
    };
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    let place = place.map(str::trim).filter(|place| !place.is_empty());
    place.map_or_else(String::new, |place| format!("'{place}': ")) + &kind + &detail + &source
}
