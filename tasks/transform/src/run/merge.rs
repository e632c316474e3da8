//! Incremental by key: what the query returns replaces the rows it stands for. Rows that are the same stay untouched,
//! and hours of models built on rows that changed can be made due again, all in one transaction.

use warehouse::{RelationKind, Statement, quote_identifier, quote_text};

use super::hours::{Due, hours_of};
use super::microbatch::describe;
use super::{Job, NodeResult};
use crate::Error;
use crate::config::{Config, Materialized, RawConfig, Strategy};
use crate::jinja::{Scope, Target};

pub(super) async fn run(job: &mut Job<'_>, text: &str, config: &Config) -> Result<NodeResult, Error> {
    job.prepare().await?;
    let existing = if job.args.full_refresh { None } else { job.existing().await? };
    let existing = existing.filter(|relation| relation.kind == RelationKind::Table);
    let followed = config.event_time.is_some();
    let due = if followed { job.due(config, existing.is_none()).await? } else { Vec::new() };
    if followed && due.is_empty() {
        return Ok(NodeResult::default());
    }
    let hours = followed.then(|| hours_of(&due));
    let scope = Scope { hours, incremental: existing.is_some(), ..job.scope() };
    let (sql, captured) = job.render(text, &scope)?;
    let (statements, counted) = match &existing {
        None => create(job, &sql, &due, config).await?,
        Some(table) => {
            let mut before = Vec::new();
            let columns = job.fit_columns(table, &sql, config, &mut before).await?;
            let merge = Merge::new(job, config, &captured.config, columns);
            if !followed && before.is_empty() && merge.is_idle(job, &sql).await? {
                job.say(format!("{} is as it was", job.id()));
                return Ok(NodeResult::default());
            }
            merge.statements(job, before, &sql, &due)
        }
    };
    let changed = job.transaction(&statements).await?;
    let rows_affected = counted.iter().filter_map(|index| changed.get(*index)).sum();
    job.say(describe(job.id(), &due, rows_affected));
    Ok(NodeResult { rows_affected, hours: hours_of(&due), ..NodeResult::default() })
}

/// The first build. The statements, and the positions of those whose rows count.
async fn create(
    job: &Job<'_>,
    sql: &str,
    due: &[Due],
    config: &Config,
) -> Result<(Vec<Statement>, Vec<usize>), Error> {
    // Forgotten first: where a definition is no part of a transaction, a crash after it must leave everything due.
    let mut statements = vec![job.forget_all()];
    statements.extend(job.drop_other_kind(job.existing().await?.as_ref(), RelationKind::Table));
    let position = statements.len() + 1;
    let target = job.target().sql();
    statements.push(Statement::new(format!(
        "create or replace table {target}{} as select * from ({sql}) as query limit 0",
        job.layout(config)
    )));
    statements.push(Statement::new(format!("insert into {target} select * from ({sql}) as query")));
    statements.extend(if config.event_time.is_some() {
        job.record(due, None)
    } else {
        job.record_whole("built")
    });
    Ok((statements, vec![position]))
}

struct Merge {
    target: Target,
    incoming: String,
    columns: String,
    key: String,
    keep_same: bool,
    replaces: String,
    invalidates: Option<String>,
}

impl Merge {
    fn new(job: &Job<'_>, config: &Config, rendered: &RawConfig, columns: String) -> Self {
        let key = config.unique_key.iter().map(|key| quote_identifier(key)).collect::<Vec<_>>().join(", ");
        let key = if config.unique_key.len() > 1 { format!("({key})") } else { key };
        let text = |name: &str| rendered.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let incoming = job.target().incoming();
        Self {
            target: job.target().clone(),
            columns,
            keep_same: config.materialized == Materialized::Incremental(Strategy::Merge),
            replaces: text("replaces").unwrap_or_else(|| format!("{key} in (select {key} from {incoming})")),
            invalidates: text("invalidates"),
            incoming,
            key,
        }
    }

    /// Whether the merge would change nothing: a read instead of a write, for dimensions that hardly ever change.
    async fn is_idle(&self, job: &Job<'_>, sql: &str) -> Result<bool, Error> {
        let (columns, target, incoming) = (&self.columns, self.target.sql(), &self.incoming);
        let differences = format!(
            "with {incoming} as materialized ({sql}) select count(*) from ( \
             (select {columns} from {incoming} except select {columns} from {target}) union all \
             (select {columns} from {target} where {} except select {columns} from {incoming})) as differences",
            self.replaces
        );
        let rows = job.query(&differences, &[]).await?;
        Ok(rows.rows.first().is_some_and(|row| row[0] == 0))
    }

    fn statements(
        &self,
        job: &Job<'_>,
        mut statements: Vec<Statement>,
        sql: &str,
        due: &[Due],
    ) -> (Vec<Statement>, Vec<usize>) {
        let Self { columns, incoming, key, replaces, .. } = self;
        let target = self.target.sql();
        statements.push(Statement::new(format!("create or replace temp table {incoming} as {sql}")));
        let readers: Vec<String> = job.hourly_readers().into_iter().map(quote_text).collect();
        if let Some(hours) = self.invalidates.as_ref().filter(|_| !readers.is_empty()) {
            let forget = format!(
                "delete from {} where model in ({}) and hour in ({hours})",
                job.intervals(),
                readers.join(", ")
            );
            statements.push(Statement::new(forget));
        }
        let same = format!(
            "select {columns} from {incoming} intersect select {columns} from {target} where {replaces}"
        );
        let keep = if self.keep_same {
            format!(" and {key} not in (select {key} from ({same}) as same)")
        } else {
            String::new()
        };
        let delete = statements.len();
        statements.push(Statement::new(format!("delete from {target} where {replaces}{keep}")));
        statements.push(Statement::new(format!(
            "insert into {target} ({columns}) select {columns} from {incoming} \
             where {key} not in (select {key} from {target} where {key} in (select {key} from {incoming}))"
        )));
        statements.push(Statement::new(format!("drop table {incoming}")));
        statements.extend(if due.is_empty() { job.record_whole("built") } else { job.record(due, None) });
        (statements, vec![delete, delete + 1])
    }
}
