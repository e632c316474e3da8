//! `branch`: says which of the tasks after it run; the others are skipped.

use crate::with;
use async_trait::async_trait;
use model::task::{Stream, WithProblem};
use model::template::has_template;
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::path::Path;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// Ids of tasks or groups that need this task, often as a template that gives them: `"{{ 'full' if params.full else 'quick' }}"`.
    #[serde(default)]
    choose: Option<Ids>,
    /// Or cases; the first whose `if` is true decides.
    #[serde(default)]
    cases: Option<Vec<Case>>,
    /// What is chosen when no case is true; nothing if not said.
    #[serde(default, rename = "else")]
    otherwise: Option<Ids>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Case {
    /// A template that gives true or false: `"{{ params.rows > 0 }}"`.
    #[serde(rename = "if")]
    condition: Value,
    then: Ids,
}

/// One id or a list of them.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Ids(Vec<String>);

impl TryFrom<Value> for Ids {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let one = |value: &Value| value.as_str().map(str::trim).filter(|id| is_id(id)).map(str::to_string);
        let ids = match &value {
            Value::Array(items) => items.iter().map(one).collect::<Option<Vec<_>>>(),
            other => one(other).map(|id| vec![id]),
        };
        ids.map(Ids).ok_or_else(|| format!("{value} is neither the id of a task or group nor a list of ids"))
    }
}

impl JsonSchema for Ids {
    fn schema_name() -> Cow<'static, str> {
        "Ids".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

pub struct Branch;

#[async_trait]
impl Task for Branch {
    fn kind(&self) -> &'static str {
        "branch"
    }

    fn summary(&self) -> &'static str {
        "Choose which of the tasks after it run; the others are skipped"
    }

    fn is_branch(&self) -> bool {
        true
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("choose").is_some() == given.get("cases").is_some() {
            problems.push(with::problem("", "give either `choose` or `cases`", None));
        }
        if given.get("else").is_some() && given.get("cases").is_none() {
            problems.push(with::problem("else", "`else` belongs to `cases`", None));
        }
        let cases = given.get("cases").and_then(Value::as_array);
        for (at, case) in cases.into_iter().flatten().enumerate() {
            problems.extend(case_problem(case).map(|(key, message)| {
                let hint = "cases: [{ if: \"{{ params.rows > 0 }}\", then: load }]".to_string();
                with::problem(&format!("cases[{at}]{key}"), message, Some(hint))
            }));
        }
        problems
    }

    fn outputs_of(&self, with: &Value) -> Option<Result<Value, String>> {
        let chosen = with::read(with).and_then(chosen).map_err(|error| error.to_string());
        Some(chosen.map(|chosen| json!({ "chosen": chosen })))
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let chosen = chosen(with::read(&ctx.with)?)?;
        let shown = if chosen.is_empty() { "nothing".to_string() } else { chosen.join(", ") };
        ctx.sink.log(Stream::System, format!("chosen: {shown}"));
        Ok(Outcome::Done { outputs: json!({ "chosen": chosen }) })
    }
}

fn chosen(with: With) -> Result<Vec<String>, TaskError> {
    match (with.choose, with.cases) {
        (Some(ids), None) => Ok(ids.0),
        (None, Some(cases)) => choose(cases, with.otherwise),
        _ => Err(TaskError::Fail("with: give either `choose` or `cases`".to_string())),
    }
}

fn choose(cases: Vec<Case>, otherwise: Option<Ids>) -> Result<Vec<String>, TaskError> {
    for (at, case) in cases.into_iter().enumerate() {
        let is_true = truth(&case.condition)
            .map_err(|message| TaskError::Fail(format!("with.cases[{at}].if: {message}")))?;
        if is_true {
            return Ok(case.then.0);
        }
    }
    Ok(otherwise.map(|ids| ids.0).unwrap_or_default())
}

/// A text is no condition: an expression that somebody forgot to put in braces would always be true.
fn truth(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Null => Ok(false),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(format!("{other} is neither true nor false; write \"{{{{ expression }}}}\"")),
    }
}

/// What is wrong with a case whose templates are not rendered yet, and where in it.
fn case_problem(case: &Value) -> Option<(&'static str, String)> {
    let Some(map) = case.as_object() else {
        return Some(("", "a case is a mapping of `if` and `then`".to_string()));
    };
    if let Some(unknown) = map.keys().find(|key| !matches!(key.as_str(), "if" | "then")) {
        return Some(("", format!("unknown key `{unknown}`")));
    }
    let (Some(condition), Some(then)) = (map.get("if"), map.get("then")) else {
        return Some(("", "a case has `if` and `then`".to_string()));
    };
    if !has_template(condition)
        && let Err(message) = truth(condition)
    {
        return Some((".if", message));
    }
    if has_template(then) {
        return None;
    }
    Ids::try_from(then.clone()).err().map(|message| (".then", message))
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
