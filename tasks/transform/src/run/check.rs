//! Running a test: over the window's hours where its relations are known by the hour, over the whole table where not.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use model::CheckStatus;
use serde_json::Value;

use super::{Job, NodeResult};
use crate::Error;
use crate::config::Config;
use crate::jinja::Scope;
use crate::testing::{GenericTest, Plan, SAMPLE_ROWS, judge};

const FAILING: &str = "__failing";

pub(super) async fn generic(job: &mut Job<'_>, test: &GenericTest) -> Result<NodeResult, Error> {
    let scope = scope(job).await?;
    let plan = test.plan(job.project, &scope, job.args)?;
    finish(job, &test.name, &test.label, &test.config, plan, scope).await
}

pub(super) async fn singular(job: &mut Job<'_>, text: &str, config: &Config) -> Result<NodeResult, Error> {
    let scope = scope(job).await?;
    let (sql, _) = job.render(text, &scope)?;
    let (name, subject) = (job.id().to_owned(), job.entry.node.depends_on.join(", "));
    finish(job, &name, &subject, config, Plan::rows(sql), scope).await
}

/// The window's hours and those that the models built last, which may be late ones.
async fn scope(job: &Job<'_>) -> Result<Scope, Error> {
    let mut scope = job.scope();
    let Some(window) = job.args.window_hours() else { return Ok(scope) };
    let hourly = |id: &&String| job.project.refs.get(*id).is_some_and(|target| target.event_time.is_some());
    let models: Vec<&str> = job.entry.node.depends_on.iter().filter(hourly).map(String::as_str).collect();
    let mut hours: BTreeSet<DateTime<Utc>> = window.into_iter().collect();
    if !models.is_empty() {
        hours.extend(job.last_built(&models).await?);
    }
    scope.hours = Some(hours.into_iter().collect());
    scope.narrow = true;
    Ok(scope)
}

async fn finish(
    job: &mut Job<'_>,
    name: &str,
    subject: &str,
    config: &Config,
    plan: Plan,
    scope: Scope,
) -> Result<NodeResult, Error> {
    let (value, sample) = match &plan.measure {
        None => failing_rows(job, &plan.failing).await?,
        Some(measure) => {
            let rows = job.query(measure, &[]).await?;
            let value = rows.rows.first().and_then(|row| row[0].as_f64());
            let value = value.ok_or_else(|| job.refuse(format!("test {name} measured no number")))?;
            let unmet =
                judge(name, subject, config, plan.clone(), value, Vec::new()).status != CheckStatus::Pass;
            (value, if unmet { failing_rows(job, &plan.failing).await?.1 } else { Vec::new() })
        }
    };
    let check = judge(name, subject, config, plan, value, sample);
    job.say(format!("{name}: {value}, allowed {}", check.bounds));
    Ok(NodeResult { check: Some(check), hours: scope.hours.unwrap_or_default(), ..NodeResult::default() })
}

/// How many rows fail, and the first of them.
async fn failing_rows(job: &Job<'_>, sql: &str) -> Result<(f64, Vec<Value>), Error> {
    let sql =
        format!("select *, count(*) over () as \"{FAILING}\" from ({sql}) as failing limit {SAMPLE_ROWS}");
    let mut sample = job.query(&sql, &[]).await?.to_objects();
    let count = sample.first().and_then(|row| row[FAILING].as_f64()).unwrap_or_default();
    for row in sample.iter_mut().filter_map(Value::as_object_mut) {
        row.remove(FAILING);
    }
    Ok((count, sample))
}
