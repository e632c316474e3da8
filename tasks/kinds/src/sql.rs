//! `sql`: statements on the warehouse, all or nothing.

use crate::env::Env;
use crate::with;
use crate::{WAREHOUSE, loaded};
use async_trait::async_trait;
use model::task::{Stream, WithProblem};
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warehouse::Statement;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The statements, one list item each; run in one transaction. `$1`, `$2`, ... stand for `params`.
    #[serde(default)]
    statements: Vec<String>,
    /// Or one statement in a file, from the dags folder.
    #[serde(default)]
    file: Option<PathBuf>,
    /// Values bound to `$1`, `$2`, ... of each statement. Put what comes from outside here, not into the text.
    #[serde(default)]
    params: Vec<Value>,
}

pub struct Sql {
    env: Arc<Env>,
}

impl Sql {
    pub fn new(env: Arc<Env>) -> Self {
        Sql { env }
    }
}

#[async_trait]
impl Task for Sql {
    fn kind(&self) -> &'static str {
        "sql"
    }

    fn summary(&self) -> &'static str {
        "Run SQL statements on the warehouse in one transaction"
    }

    fn route(&self) -> Option<&'static str> {
        Some(WAREHOUSE)
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("statements").is_some() == given.get("file").is_some() {
            problems.push(with::problem("", "give either `statements` or `file`", None));
        }
        let file = given.get("file").filter(|value| !with::has_template(value)).and_then(Value::as_str);
        if let Some(file) = file.filter(|file| !self.env.dags_dir.join(file).is_file()) {
            let hint = format!("paths start at {}", self.env.dags_dir.display());
            problems.push(with::problem("file", format!("there is no file {file}"), Some(hint)));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let mut texts = with.statements;
        if let Some(file) = with.file {
            let path = self.env.dags_dir.join(file);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| TaskError::Fail(format!("{}: {error}", path.display())))?;
            texts.push(text);
        }
        let params: Vec<warehouse::Value> = with.params.iter().map(loaded::bound).collect();
        let statements: Vec<Statement> = texts
            .into_iter()
            .map(|sql| {
                let used = params.iter().take(placeholders(&sql)).cloned().collect::<Vec<_>>();
                Statement::with(sql, used)
            })
            .collect();
        let warehouse = loaded::warehouse(&self.env)?;
        let rows = tokio::select! {
            rows = loaded::labelled(&ctx, warehouse.transaction(&statements)) => rows.map_err(loaded::failed)?,
            () = ctx.cancel.cancelled() => return Err(TaskError::Cancelled),
        };
        for (statement, rows) in statements.iter().zip(&rows) {
            let first = statement.sql.trim().lines().next().unwrap_or_default();
            ctx.sink.log(Stream::System, format!("{rows} rows: {first}"));
        }
        Ok(Outcome::Done { outputs: json!({ "rows": rows }) })
    }
}

/// The highest `$n` of a statement.
fn placeholders(sql: &str) -> usize {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    sql.split('$').skip(1).filter_map(|rest| digits(rest).parse().ok()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_statement_gets_the_params_it_names() {
        assert_eq!(super::placeholders("select $1, $12, '$x'"), 12);
        assert_eq!(super::placeholders("select 1"), 0);
    }
}
