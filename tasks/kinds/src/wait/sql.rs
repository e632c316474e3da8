//! `wait.sql`: until a query on the warehouse answers as wished.

use super::{Look, Pace, Waits};
use crate::env::Env;
use crate::span::Span;
use crate::{WAREHOUSE, loaded, with};
use async_trait::async_trait;
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const POLL: Duration = Duration::from_secs(10);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// A read-only query; `$1`, `$2`, ... stand for `params`.
    query: String,
    /// Values bound to `$1`, `$2`, ... Put what comes from outside here, not into the text.
    #[serde(default)]
    params: Vec<Value>,
    /// `rows`: there is a row (if not said); `truthy`: the first value of the first row is not false, 0, empty or null.
    #[serde(default)]
    until: Option<Until>,
    /// Or the value that the first value of the first row must have.
    #[serde(default)]
    value: Option<Value>,
    /// Time between two looks: 10s if not said.
    #[serde(default)]
    poll: Option<Span>,
    /// Give up after this long; for ever if not said.
    #[serde(default)]
    timeout: Option<Span>,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Until {
    Rows,
    Truthy,
}

pub struct Sql {
    env: Arc<Env>,
    waits: Arc<Waits>,
}

impl Sql {
    pub fn new(env: Arc<Env>, waits: Arc<Waits>) -> Self {
        Sql { env, waits }
    }

    async fn look(&self, with: &With) -> Result<Look, TaskError> {
        let params: Vec<warehouse::Value> = with.params.iter().map(loaded::bound).collect();
        let warehouse = loaded::warehouse(&self.env)?;
        let rows = warehouse.query(&with.query, &params).await.map_err(loaded::failed)?;
        let first = rows.rows.first().and_then(|row| row.first());
        let met = match (&with.value, with.until.unwrap_or(Until::Rows)) {
            (Some(wanted), _) => first.is_some_and(|first| is_same(first, wanted)),
            (None, Until::Rows) => !rows.is_empty(),
            (None, Until::Truthy) => first.is_some_and(is_truthy),
        };
        if met {
            return Ok(Look::Met(json!({ "rows": rows.len(), "value": first })));
        }
        Ok(Look::NotYet(match first {
            Some(value) => format!("the query answers {value}"),
            None => "the query answers no rows".to_string(),
        }))
    }
}

#[async_trait]
impl Task for Sql {
    fn kind(&self) -> &'static str {
        "wait.sql"
    }

    fn summary(&self) -> &'static str {
        "Wait until a query on the warehouse has rows, a true value, or a given one"
    }

    fn route(&self) -> Option<&'static str> {
        Some(WAREHOUSE)
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("until").is_some() && given.get("value").is_some() {
            problems.push(with::problem("value", "`until` and `value` exclude each other", None));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let pace = Pace::new(with.poll, POLL, with.timeout);
        self.waits.look(&ctx, &pace, self.look(&with)).await
    }
}

/// Big integers and instants come as text, so text that reads the same is the same.
fn is_same(found: &Value, wanted: &Value) -> bool {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let number = found.as_f64().zip(wanted.as_f64());
    found == wanted || number.is_some_and(|(found, wanted)| found == wanted) || text(found) == text(wanted)
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}
