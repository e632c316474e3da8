//! Views, tables and seeds: replaced as a whole; and what incremental models ask about their table.

use warehouse::{Column, Dialect, Relation, RelationKind, Statement, quote_identifier};

use super::{Job, NodeResult};
use crate::Error;
use crate::config::{Config, SchemaChange};
use crate::project::Seed;

pub(super) async fn view(job: &mut Job<'_>, text: &str) -> Result<NodeResult, Error> {
    replace(job, text, RelationKind::View, String::new()).await
}

pub(super) async fn table(job: &mut Job<'_>, text: &str, config: &Config) -> Result<NodeResult, Error> {
    let layout = job.layout(config);
    replace(job, text, RelationKind::Table, layout).await
}

async fn replace(
    job: &mut Job<'_>,
    text: &str,
    kind: RelationKind,
    layout: String,
) -> Result<NodeResult, Error> {
    job.prepare().await?;
    let (sql, _) = job.render(text, &job.scope())?;
    let word = match kind {
        RelationKind::View => "view",
        RelationKind::Table => "table",
    };
    let mut statements = job.drop_other_kind(job.existing().await?.as_ref(), kind);
    statements
        .push(Statement::new(format!("create or replace {word} {}{layout} as {sql}", job.target().sql())));
    let changed = job.transaction(&statements).await?;
    job.say(format!("built {word} {}", job.id()));
    let rows_affected =
        if kind == RelationKind::Table { changed.last().copied().unwrap_or_default() } else { 0 };
    Ok(NodeResult { rows_affected, ..NodeResult::default() })
}

/// Left alone while the file says what was loaded from it last.
pub(super) async fn seed(job: &mut Job<'_>, seed: &Seed) -> Result<NodeResult, Error> {
    job.prepare().await?;
    let existing = job.existing().await?;
    if existing.is_some() && !job.args.full_refresh {
        let sql = format!("select count(*) from {} where model = $1 and digest = $2", job.intervals());
        let same = job.query(&sql, &[job.id().into(), seed.digest.as_str().into()]).await?;
        if same.rows.first().is_some_and(|row| row[0] != 0) {
            job.say(format!("{} is as it was", seed.path));
            return Ok(NodeResult::default());
        }
    }
    let table = job.target().sql();
    let mut statements = job.drop_other_kind(existing.as_ref(), RelationKind::Table);
    statements.push(Statement::new(seed.create_sql(&table)));
    statements.extend(seed.inserts(&table));
    statements.extend(job.record_whole(&seed.digest));
    job.transaction(&statements).await?;
    job.say(format!("loaded {} rows of {}", seed.row_count(), seed.path));
    Ok(NodeResult { rows_affected: seed.row_count(), ..NodeResult::default() })
}

impl Job<'_> {
    pub(super) async fn existing(&self) -> Result<Option<Relation>, Error> {
        let target = self.target();
        self.warehouse.relation(&target.schema, &target.name).await.map_err(|error| self.failed(error))
    }

    pub(super) fn drop_other_kind(
        &self,
        existing: Option<&Relation>,
        wanted: RelationKind,
    ) -> Vec<Statement> {
        let word = match existing.map(|relation| relation.kind) {
            Some(kind) if kind == wanted => return Vec::new(),
            None => return Vec::new(),
            Some(RelationKind::View) => "view",
            Some(RelationKind::Table) => "table",
        };
        vec![Statement::new(format!("drop {word} {}", self.target().sql()))]
    }

    /// How BigQuery is to lay a new table out: `partition_by` (else by the day of `event_time`) and `cluster_by`.
    pub(super) fn layout(&self, config: &Config) -> String {
        if self.args.dialect != Dialect::BigQuery {
            return String::new();
        }
        let by_hour = config.is_microbatch().then_some(config.event_time.as_deref()).flatten();
        let partition = config.partition_by.as_ref().map(|(field, unit)| (field.as_str(), unit.as_str()));
        let mut layout = match partition.or(by_hour.map(|field| (field, "day"))) {
            Some((field, unit)) => {
                format!(" partition by timestamp_trunc({}, {unit})", quote_identifier(field))
            }
            None => String::new(),
        };
        if !config.cluster_by.is_empty() {
            let fields: Vec<String> = config.cluster_by.iter().map(|field| quote_identifier(field)).collect();
            layout.push_str(&format!(" cluster by {}", fields.join(", ")));
        }
        layout
    }

    /// The columns to fill, quoted, after the table was made fit for what the query returns.
    pub(super) async fn fit_columns(
        &self,
        existing: &Relation,
        sql: &str,
        config: &Config,
        statements: &mut Vec<Statement>,
    ) -> Result<String, Error> {
        let returned = self.query(&format!("select * from ({sql}) as query limit 0"), &[]).await?.columns;
        let lacks = |columns: &[Column], name: &str| !columns.iter().any(|column| column.name == name);
        let gone: Vec<&str> = existing
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| lacks(&returned, name))
            .collect();
        let new: Vec<&Column> =
            returned.iter().filter(|column| lacks(&existing.columns, &column.name)).collect();
        if config.on_schema_change == SchemaChange::Fail && !(gone.is_empty() && new.is_empty()) {
            let new: Vec<&str> = new.iter().map(|column| column.name.as_str()).collect();
            return Err(self.refuse(format!(
                "the query's columns differ from the table's (new: [{}], gone: [{}]); \
                 run it with full_refresh, or set on_schema_change",
                new.join(", "),
                gone.join(", ")
            )));
        }
        let mut names: Vec<&str> = Vec::new();
        for column in &returned {
            if lacks(&existing.columns, &column.name) {
                if config.on_schema_change == SchemaChange::Ignore {
                    continue;
                }
                let add = format!(
                    "alter table {} add column {} {}",
                    self.target().sql(),
                    quote_identifier(&column.name),
                    column.type_name
                );
                statements.push(Statement::new(add));
            }
            names.push(&column.name);
        }
        Ok(names.into_iter().map(quote_identifier).collect::<Vec<_>>().join(", "))
    }
}
