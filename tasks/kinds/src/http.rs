//! `http`: one request; the status decides.

use crate::address;
use crate::env::Env;
use crate::text::Text;
use crate::with;
use async_trait::async_trait;
use model::task::{Stream, WithProblem};
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// More of an answer is not kept.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// W3C Trace Context: whom the work of the called one belongs to.
const TRACEPARENT: &str = "traceparent";
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    url: String,
    /// GET without a body, POST with one, if not said.
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Text>,
    /// Sent as JSON.
    #[serde(default)]
    json: Option<Value>,
    /// Sent as it is.
    #[serde(default)]
    body: Option<String>,
    /// The statuses that are success; all of 200 to 299 if not said.
    #[serde(default)]
    expect_status: Vec<u16>,
}

pub struct Http {
    env: Arc<Env>,
}

impl Http {
    pub fn new(env: Arc<Env>) -> Self {
        Http { env }
    }

    fn request(&self, with: With, traceparent: Option<&str>) -> Result<reqwest::RequestBuilder, TaskError> {
        let has_body = with.json.is_some() || with.body.is_some();
        let name =
            with.method.unwrap_or_else(|| if has_body { "POST" } else { "GET" }.to_string()).to_uppercase();
        let method =
            name.parse().map_err(|_| TaskError::Fail(format!("with.method: `{name}` is no HTTP method")))?;
        let mut request = self.env.http.request(method, &with.url);
        let is_traced = with.headers.keys().any(|name| name.eq_ignore_ascii_case(TRACEPARENT));
        if let Some(traceparent) = traceparent.filter(|_| !is_traced) {
            request = request.header(TRACEPARENT, traceparent);
        }
        for (name, value) in &with.headers {
            request = request.header(name, &value.0);
        }
        request = match (with.json, with.body) {
            (Some(json), _) => request.json(&json),
            (None, Some(body)) => request.body(body),
            (None, None) => request,
        };
        Ok(request)
    }
}

#[async_trait]
impl Task for Http {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn summary(&self) -> &'static str {
        "Send one HTTP request; statuses 5xx, 408 and 429 are retried"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        let method = given.get("method").filter(|value| !with::has_template(value)).and_then(Value::as_str);
        if let Some(method) = method.filter(|method| !METHODS.contains(&method.to_uppercase().as_str())) {
            problems.push(with::problem(
                "method",
                format!("`{method}` is no HTTP method"),
                Some(METHODS.join(", ")),
            ));
        }
        if given.get("json").is_some() && given.get("body").is_some() {
            problems.push(with::problem("body", "`json` and `body` exclude each other", None));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let expected = with.expect_status.clone();
        let shown = address::page(&with.url);
        let request = self.request(with, ctx.traceparent.as_deref())?;
        let sent = tokio::select! {
            sent = request.send() => sent,
            () = ctx.cancel.cancelled() => return Err(TaskError::Cancelled),
        };
        let response =
            sent.map_err(|error| TaskError::Retry(format!("{shown}: {}", address::failure(error))))?;
        let status = response.status();
        let (body, is_cut) = read_body(response).await.map_err(|error| {
            TaskError::Retry(format!("{shown}: reading the answer: {}", address::failure(error)))
        })?;
        ctx.sink.log(Stream::System, format!("{shown} answered {status}"));
        if is_cut {
            ctx.sink.log(Stream::System, format!("only its first {BODY_BYTES_MAX} bytes are kept"));
        }
        let code = status.as_u16();
        let is_fine = if expected.is_empty() { status.is_success() } else { expected.contains(&code) };
        if is_fine {
            let parsed = serde_json::from_str(&body).unwrap_or(Value::String(body));
            return Ok(Outcome::Done { outputs: json!({ "status": code, "body": parsed }) });
        }
        ctx.sink.log(Stream::Stderr, body.chars().take(2000).collect());
        let message = format!("{shown} answered {status}");
        if status.is_server_error() || code == 408 || code == 429 {
            return Err(TaskError::Retry(message));
        }
        Err(TaskError::Fail(message))
    }
}

/// The beginning of the answer, and whether there was more.
pub async fn read_body(mut response: reqwest::Response) -> Result<(String, bool), reqwest::Error> {
    let mut bytes = Vec::new();
    let mut is_cut = false;
    while let Some(chunk) = response.chunk().await? {
        let room = BODY_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            is_cut = true;
            break;
        }
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), is_cut))
}
