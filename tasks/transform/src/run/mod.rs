//! Bringing one node up to date.

mod check;
mod hours;
mod merge;
mod microbatch;
mod relation;

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use model::CheckResult;
use warehouse::{Dialect, Rows, Statement, Value, Warehouse};

use crate::Error;
use crate::config::{Config, Materialized, Strategy};
use crate::jinja::{Captured, Scope, Target};
use crate::project::{Body, Entry, Project};

/// How to run or compile nodes.
#[derive(Clone, Debug, Default)]
pub struct RunArgs {
    /// `[start, end)`: models build what is due before its end, tests look at its hours.
    pub window: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Forget what was built and build all of it again.
    pub full_refresh: bool,
    /// Over those of dbt_project.yml.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// For compiling without a warehouse; a run takes its warehouse's.
    pub dialect: Dialect,
}

impl RunArgs {
    pub(crate) fn window_hours(&self) -> Option<Vec<DateTime<Utc>>> {
        let (start, end) = self.window?;
        let count = usize::try_from((end - start).num_hours().max(0)).unwrap_or_default();
        Some(
            std::iter::successors(Some(start), |hour| Some(*hour + TimeDelta::hours(1)))
                .take(count)
                .collect(),
        )
    }
}

/// What a node's run did.
#[derive(Clone, Debug, Default)]
pub struct NodeResult {
    pub rows_affected: u64,
    /// The hours that were built, or tested.
    pub hours: Vec<DateTime<Utc>>,
    pub seconds: f64,
    /// Of a test.
    pub check: Option<CheckResult>,
}

/// Receives one line at a time about what is being done.
pub(crate) type Log<'a> = dyn FnMut(String) + Send + Sync + 'a;

impl Project {
    /// Runs a seed, a model or a test. A failed test is a result, not an error.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], or what compiling or the warehouse said.
    pub async fn run(
        &self,
        id: &str,
        args: &RunArgs,
        warehouse: &dyn Warehouse,
        log: &mut (dyn FnMut(String) + Send + Sync),
    ) -> Result<NodeResult, Error> {
        let started = Instant::now();
        let entry = self.entry(id)?;
        let args = &RunArgs { dialect: warehouse.dialect(), ..args.clone() };
        let mut job = Job { project: self, entry, args, warehouse, log, built_at: Utc::now() };
        let mut result = match &entry.body {
            Body::Seed(seed) => relation::seed(&mut job, seed).await,
            Body::Model { text, config } => job.model(text, config).await,
            Body::Singular { text, config } => check::singular(&mut job, text, config).await,
            Body::Generic(test) => check::generic(&mut job, test).await,
        }?;
        result.seconds = started.elapsed().as_secs_f64();
        Ok(result)
    }
}

/// One node's run.
pub(crate) struct Job<'a> {
    project: &'a Project,
    entry: &'a Entry,
    args: &'a RunArgs,
    warehouse: &'a dyn Warehouse,
    log: &'a mut Log<'a>,
    /// When this run builds: the version of every hour that it writes.
    built_at: DateTime<Utc>,
}

impl Job<'_> {
    async fn model(&mut self, text: &str, config: &Config) -> Result<NodeResult, Error> {
        match config.materialized {
            Materialized::View => relation::view(self, text).await,
            Materialized::Table => relation::table(self, text, config).await,
            Materialized::Incremental(Strategy::Microbatch) => microbatch::run(self, text, config).await,
            Materialized::Incremental(_) => merge::run(self, text, config).await,
        }
    }

    fn id(&self) -> &str {
        &self.entry.node.id
    }

    fn target(&self) -> &Target {
        self.project.target(&self.entry.node.id)
    }

    fn scope(&self) -> Scope {
        let this = self.project.refs.get(self.id()).cloned();
        Scope { this, ..self.project.scope(self.args) }
    }

    fn render(&self, text: &str, scope: &Scope) -> Result<(String, Captured), Error> {
        self.project.render(&self.entry.node.path, text, scope)
    }

    async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        self.warehouse.query(sql, params).await.map_err(|error| self.failed(error))
    }

    async fn transaction(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.warehouse.transaction(statements).await.map_err(|error| self.failed(error))
    }

    fn failed(&self, source: warehouse::Error) -> Error {
        Error::Warehouse { path: self.entry.node.path.clone(), source }
    }

    fn refuse(&self, message: impl Into<String>) -> Error {
        Error::Model { path: self.entry.node.path.clone(), message: message.into() }
    }

    fn say(&mut self, line: impl Into<String>) {
        (self.log)(line.into());
    }
}
