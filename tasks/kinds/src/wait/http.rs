//! `wait.http`: until a page answers as wished.

use super::{Look, Pace, Waits};
use crate::env::Env;
use crate::http::read_body;
use crate::span::Span;
use crate::text::Text;
use crate::{address, with};
use async_trait::async_trait;
use minijinja::{Environment, Expression, UndefinedBehavior};
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use reqwest::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const POLL: Duration = Duration::from_secs(10);
/// Steps of one expression.
const FUEL: u64 = 100_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, Text>,
    /// The statuses that are wished; all of 200 to 299 if not said.
    #[serde(default)]
    status: Vec<u16>,
    /// An expression without braces over `body` (parsed where it is JSON, else text), `status` and `headers`: `body.state == 'done'`.
    #[serde(default)]
    until: Option<String>,
    /// Time between two looks: 10s if not said.
    #[serde(default)]
    poll: Option<Span>,
    /// Give up after this long; for ever if not said.
    #[serde(default)]
    timeout: Option<Span>,
}

/// What is not in the body yet is not there; that is no error.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment
});

pub struct Http {
    env: Arc<Env>,
    waits: Arc<Waits>,
}

impl Http {
    pub fn new(env: Arc<Env>, waits: Arc<Waits>) -> Self {
        Http { env, waits }
    }

    async fn look(&self, with: &With) -> Result<Look, TaskError> {
        let shown = address::page(&with.url);
        let mut request = self.env.http.get(&with.url);
        for (name, value) in &with.headers {
            request = request.header(name, &value.0);
        }
        let request = request
            .build()
            .map_err(|error| TaskError::Fail(format!("{shown}: {}", address::failure(error))))?;
        // A server that is not up yet may be what is waited for.
        let answer = match self.env.http.execute(request).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Look::NotYet(format!("{shown}: {}", address::failure(error)))),
        };
        let status = answer.status();
        if !is_wished(status, &with.status) {
            let state = format!("{shown} answered {status}");
            return if may_change(status) { Ok(Look::NotYet(state)) } else { Err(TaskError::Fail(state)) };
        }
        let headers: BTreeMap<String, String> = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let (text, is_cut) = read_body(answer)
            .await
            .map_err(|error| TaskError::Retry(format!("{shown}: {}", address::failure(error))))?;
        if is_cut && with.until.is_some() {
            return Err(TaskError::Fail(format!("{shown}: the answer is too long for an expression")));
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let facts = json!({ "status": status.as_u16(), "headers": headers, "body": body });
        match with.until.as_deref().map(|expression| holds(expression, &facts)).transpose()? {
            Some(false) => Ok(Look::NotYet(format!("{shown} answered {status}, but `until` is not true"))),
            _ => Ok(Look::Met(json!({ "status": status.as_u16(), "body": facts["body"] }))),
        }
    }
}

#[async_trait]
impl Task for Http {
    fn kind(&self) -> &'static str {
        "wait.http"
    }

    fn summary(&self) -> &'static str {
        "Wait until a page answers with a status, and with a body of which an expression is true"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        let until = given.get("until").filter(|value| !with::has_template(value)).and_then(Value::as_str);
        if let Some(Err(message)) = until.map(compiled) {
            problems.push(with::problem("until", message, Some("until: body.state == 'done'".to_string())));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let pace = Pace::new(with.poll, POLL, with.timeout);
        self.waits.look(&ctx, &pace, self.look(&with)).await
    }
}

fn is_wished(status: StatusCode, wished: &[u16]) -> bool {
    if wished.is_empty() { status.is_success() } else { wished.contains(&status.as_u16()) }
}

/// Of the rest (not allowed, wrong request) waiting makes no better.
fn may_change(status: StatusCode) -> bool {
    !status.is_client_error() || matches!(status.as_u16(), 404 | 408 | 409 | 423 | 425 | 429)
}

fn compiled(expression: &str) -> Result<Expression<'static, 'static>, String> {
    // minijinja's lexer of single expressions panics at an end mark.
    if ["}}", "%}", "#}"].iter().any(|mark| expression.contains(mark)) {
        return Err("an expression has no braces".to_string());
    }
    EXPRESSIONS.compile_expression_owned(expression.to_owned()).map_err(|error| error.to_string())
}

fn holds(expression: &str, facts: &Value) -> Result<bool, TaskError> {
    let failed = |message: String| TaskError::Fail(format!("with.until: {message}"));
    let value =
        compiled(expression).map_err(failed)?.eval(facts).map_err(|error| failed(error.to_string()))?;
    Ok(value.is_true())
}
