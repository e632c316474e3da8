//! Incremental by the hour: each due hour's rows are deleted and inserted, and recorded, in one transaction.

use warehouse::{RelationKind, Statement, quote_identifier};

use super::hours::{Due, hours_of};
use super::{Job, NodeResult};
use crate::Error;
use crate::config::Config;
use crate::jinja::{Scope, hours_filter};

/// Due hours that one transaction builds together; a year of history is 53 of them.
const BATCH: usize = 168;

pub(super) async fn run(job: &mut Job<'_>, text: &str, config: &Config) -> Result<NodeResult, Error> {
    job.prepare().await?;
    let existing = job.existing().await?;
    let fresh =
        job.args.full_refresh || existing.as_ref().is_none_or(|relation| relation.kind == RelationKind::View);
    let due = job.due(config, fresh).await?;
    let mut result = NodeResult::default();
    for (number, batch) in due.chunks(BATCH).enumerate() {
        let scope = Scope {
            hours: Some(hours_of(batch)),
            narrow: true,
            incremental: !(fresh && number == 0),
            ..job.scope()
        };
        let (sql, _) = job.render(text, &scope)?;
        let mut statements = Vec::new();
        let insert = if fresh && number == 0 {
            // Forgotten first: where a definition is no part of a transaction, a crash after it must leave everything due.
            statements.push(job.forget_all());
            if let Some(relation) = &existing {
                statements.extend(job.drop_other_kind(Some(relation), RelationKind::Table));
            }
            statements.push(Statement::new(format!(
                "create or replace table {}{} as select * from ({sql}) as query limit 0",
                job.target().sql(),
                job.layout(config)
            )));
            format!("insert into {} select * from ({sql}) as query", job.target().sql())
        } else {
            append(job, config, &sql, batch, &mut statements).await?
        };
        let position = statements.len();
        statements.push(Statement::new(insert));
        statements.extend(job.record(batch, config.event_time.as_deref()));
        let rows = job.transaction(&statements).await?.get(position).copied().unwrap_or_default();
        job.say(describe(job.id(), batch, rows));
        result.rows_affected += rows;
        result.hours.extend(hours_of(batch));
    }
    Ok(result)
}

/// Into a table that exists: fits its columns, deletes the hours, and returns the insert.
async fn append(
    job: &Job<'_>,
    config: &Config,
    sql: &str,
    batch: &[Due],
    statements: &mut Vec<Statement>,
) -> Result<String, Error> {
    let existing =
        job.existing().await?.ok_or_else(|| job.refuse("its table disappeared while it was being built"))?;
    let columns = job.fit_columns(&existing, sql, config, statements).await?;
    let event_time = quote_identifier(config.event_time.as_deref().unwrap_or_default());
    let filter = hours_filter(&event_time, &hours_of(batch));
    let target = job.target().sql();
    statements.push(Statement::new(format!("delete from {target} where {filter}")));
    Ok(format!("insert into {target} ({columns}) select {columns} from ({sql}) as query"))
}

pub(super) fn describe(id: &str, batch: &[Due], rows: u64) -> String {
    match batch {
        [one] => format!("{id}: {rows} rows for {}", one.hour.format("%Y-%m-%dT%H:%MZ")),
        [first, .., last] => format!(
            "{id}: {rows} rows for {} hours from {} to {}",
            batch.len(),
            first.hour.format("%Y-%m-%dT%H:%MZ"),
            last.hour.format("%Y-%m-%dT%H:%MZ")
        ),
        [] => format!("{id}: {rows} rows"),
    }
}
