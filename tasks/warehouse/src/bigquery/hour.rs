//! Replacing one hour of a staging table.
//!
//! A load job reads the explicit list of files into a table of its own; a query then puts their typed rows into the hour's partition
//! (`table$YYYYMMDDHH`, replaced as a whole); `_loads` is written last. Each step can be repeated: what is half done is done again.

use chrono::{DateTime, Utc};
use gcp_bigquery_client::model::job_configuration::JobConfiguration;
use gcp_bigquery_client::model::job_configuration_load::JobConfigurationLoad;
use gcp_bigquery_client::model::table_field_schema::TableFieldSchema;
use gcp_bigquery_client::model::table_reference::TableReference;
use gcp_bigquery_client::model::table_schema::TableSchema;
use sha2::{Digest, Sha256};

use super::BigQuery;
use super::spelling::literal as text_literal;
use super::values::{type_name, type_of};
use crate::{Error, HourLoad, LoadColumn, LoadResult, RelationKind, Statement, Value, quote_identifier, sql};

/// A load job takes no more.
const MOST_FILES: usize = 10_000;

impl BigQuery {
    pub(super) async fn replace_hour(&self, load: &HourLoad) -> Result<LoadResult, Error> {
        let (schema, name) = split(&load.table)?;
        check_files(load)?;
        self.ensure_staging(load, schema, name).await?;
        let table = quoted(schema, name);
        let hour = [Value::Time(load.hour)];
        let count = format!("select count(*) as n from {table} where \"hour\" = $1");
        let replaced = self.number(&count, &hour).await?;
        if load.files.is_empty() {
            let mut statements =
                vec![Statement::with(format!("delete from {table} where \"hour\" = $1"), hour)];
            statements.extend(record(load, schema, 0));
            self.write(&statements).await?;
            return Ok(LoadResult { rows: 0, replaced });
        }
        let scratch = scratch_name(name, load);
        self.load_files(load, schema, &scratch).await?;
        let rows =
            self.number(&format!("select count(*) as n from {}", quoted(schema, &scratch)), &[]).await?;
        let select = select(load, &quoted(schema, &scratch));
        if self.api.options.is_emulator {
            let mut statements = vec![
                Statement::with(format!("delete from {table} where \"hour\" = $1"), hour),
                Statement::with(
                    format!("insert into {table} ({}) {select}", names(load)),
                    [Value::Time(load.hour)],
                ),
            ];
            statements.extend(record(load, schema, rows));
            self.write(&statements).await?;
        } else {
            self.overwrite_partition(load, schema, name, &select).await?;
            self.write(&record(load, schema, rows)).await?;
        }
        self.drop_scratch(schema, &scratch).await;
        Ok(LoadResult { rows, replaced })
    }

    async fn ensure_staging(&self, load: &HourLoad, schema: &str, name: &str) -> Result<(), Error> {
        self.ensure_dataset(schema).await?;
        let table = quoted(schema, name);
        let Some(existing) = self.table(schema, name).await? else {
            let columns = load.columns.iter().map(definition).collect::<Vec<_>>().join(", ");
            let create = format!(
                "create table if not exists {table} ({columns}, \"hour\" timestamp) \
                 partition by timestamp_trunc(\"hour\", hour){}",
                cluster(load)
            );
            let loads = format!(
                "create table if not exists {} (topic string not null, hour timestamp not null, \
                 digest string not null, files int64 not null, \"rows\" int64 not null, loaded_at timestamp not null)",
                quoted(schema, "_loads")
            );
            self.write(&[Statement::new(create), Statement::new(loads)]).await?;
            return Ok(());
        };
        if existing.kind == RelationKind::View {
            return Err(input(&load.table, "is a view; the hours need a table"));
        }
        let is_known = |column: &&LoadColumn| existing.columns.iter().any(|known| known.name == column.name);
        let new: Vec<&LoadColumn> = load.columns.iter().filter(|column| !is_known(column)).collect();
        for column in new {
            let mut statements =
                vec![Statement::new(format!("alter table {table} add column {}", definition(column)))];
            if let Some(default) = default(column) {
                let column = quote_identifier(&column.name);
                statements.push(Statement::with(
                    format!("update {table} set {column} = {} where {column} is null", default.0),
                    default.1,
                ));
            }
            self.write(&statements).await?;
        }
        Ok(())
    }

    async fn load_files(&self, load: &HourLoad, schema: &str, scratch: &str) -> Result<(), Error> {
        let field = |column: &LoadColumn| TableFieldSchema::new(&column.name, type_of(column.kind));
        let reference =
            TableReference::new(&self.api.options.project, &self.api.options.dataset(schema), scratch);
        let configuration = JobConfigurationLoad {
            source_uris: Some(load.files.clone()),
            source_format: Some("PARQUET".to_owned()),
            schema: Some(TableSchema::new(load.columns.iter().map(field).collect())),
            ignore_unknown_values: Some(true),
            destination_table: Some(reference),
            create_disposition: Some("CREATE_IF_NEEDED".to_owned()),
            write_disposition: Some("WRITE_TRUNCATE".to_owned()),
            ..JobConfigurationLoad::default()
        };
        let configuration = JobConfiguration { load: Some(configuration), ..JobConfiguration::default() };
        let what = format!("load of {} at {}", load.table, load.hour);
        let id = job_id("load", load);
        self.api.run(&id, configuration.clone(), &what).await?;
        // An earlier call with this very load has ended and taken its table away.
        if self.table(schema, scratch).await?.is_none() {
            self.api.run(&format!("{id}_{}", uuid::Uuid::new_v4().simple()), configuration, &what).await?;
        }
        Ok(())
    }

    /// The hour's partition becomes what the query selects, all at once.
    async fn overwrite_partition(
        &self,
        load: &HourLoad,
        schema: &str,
        name: &str,
        select: &str,
    ) -> Result<(), Error> {
        let statement = Statement::with(select, [Value::Time(load.hour)]);
        let script = self.script(std::slice::from_ref(&statement))?;
        let partition = format!("{name}${}", load.hour.format("%Y%m%d%H"));
        let destination =
            TableReference::new(&self.api.options.project, &self.api.options.dataset(schema), &partition);
        let what = sql::first_line(select);
        let done = self.api.query(script, &what, |query| {
            query.destination_table = Some(destination);
            query.create_disposition = Some("CREATE_NEVER".to_owned());
            query.write_disposition = Some("WRITE_TRUNCATE".to_owned());
        });
        done.await.map(|_| ())
    }

    /// What is left behind is overwritten by the next load of the same files.
    pub(super) async fn drop_scratch(&self, schema: &str, scratch: &str) {
        let Ok(connected) = self.api.connected().await else { return };
        let dataset = self.api.options.dataset(schema);
        let deleted = connected.client.table().delete(&self.api.options.project, &dataset, scratch).await;
        if let Err(error) = deleted {
            tracing::warn!(%error, scratch, "the table of a load could not be dropped");
        }
    }
}

fn check_files(load: &HourLoad) -> Result<(), Error> {
    if let Some(file) = load.files.iter().find(|file| !file.starts_with("gs://")) {
        return Err(input(file, "BigQuery reads from Cloud Storage; use a gs:// lake with bigquery:"));
    }
    if let Some(file) = load.files.iter().find(|file| file.contains('*')) {
        return Err(input(file, "a `*` would be read as a pattern; rename the file"));
    }
    if load.files.len() > MOST_FILES {
        let many = format!("the hour has {} files, a load takes {MOST_FILES}: compact it", load.files.len());
        return Err(input(&load.table, &many));
    }
    Ok(())
}

/// The same load has the same id however often it is asked for; another attempt is another load.
fn job_id(what: &str, load: &HourLoad) -> String {
    let mut hash = Sha256::new();
    for part in
        [&load.table, &load.topic, &load.digest, &load.hour.to_rfc3339(), &load.loaded_at.to_rfc3339()]
    {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("streamify_{what}_{}_{digest}", stamp(load.hour))
}

fn stamp(hour: DateTime<Utc>) -> String {
    hour.format("%Y%m%d%H").to_string()
}

fn scratch_name(name: &str, load: &HourLoad) -> String {
    let digest: String =
        Sha256::digest(load.digest.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("_load_{name}_{}_{digest}", stamp(load.hour))
}

fn select(load: &HourLoad, from: &str) -> String {
    let values: Vec<String> = load.columns.iter().map(value).collect();
    format!("select {}, $1 as \"hour\" from {from}", values.join(", "))
}

fn names(load: &HourLoad) -> String {
    let own = load.columns.iter().map(|column| quote_identifier(&column.name));
    own.chain(["\"hour\"".to_owned()]).collect::<Vec<_>>().join(", ")
}

/// The column's value with its default for null.
pub(super) fn value(column: &LoadColumn) -> String {
    let name = quote_identifier(&column.name);
    let kind = type_name(&type_of(column.kind));
    match default_text(column) {
        Some(default) => format!("coalesce(cast({name} as {kind}), cast({default} as {kind})) as {name}"),
        None => format!("cast({name} as {kind}) as {name}"),
    }
}

/// Our own schema files' words, written out because a long list of columns would need as many bound values.
fn default_text(column: &LoadColumn) -> Option<String> {
    Some(match column.default.as_ref()? {
        Value::Null => return None,
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => crate::quote_text(text),
        Value::Time(time) => text_literal(&time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()),
    })
}

fn default(column: &LoadColumn) -> Option<(&'static str, Vec<Value>)> {
    match column.default.as_ref()? {
        Value::Null => None,
        value => Some(("$1", vec![value.clone()])),
    }
}

pub(super) fn definition(column: &LoadColumn) -> String {
    format!("{} {}", quote_identifier(&column.name), type_name(&type_of(column.kind)))
}

/// What most questions filter by, in this order.
fn cluster(load: &HourLoad) -> String {
    let has = |name: &&str| load.columns.iter().any(|column| column.name == *name);
    let by: Vec<String> = ["userId", "sessionId"].into_iter().filter(has).map(quote_identifier).collect();
    if by.is_empty() { String::new() } else { format!(" cluster by {}", by.join(", ")) }
}

fn record(load: &HourLoad, schema: &str, rows: u64) -> Vec<Statement> {
    let loads = quoted(schema, "_loads");
    let key = [Value::from(load.topic.as_str()), Value::Time(load.hour)];
    let row = [
        key[0].clone(),
        key[1].clone(),
        Value::from(load.digest.as_str()),
        Value::Int(load.files.len() as i64),
        Value::Int(i64::try_from(rows).unwrap_or(i64::MAX)),
        Value::Time(load.loaded_at),
    ];
    let columns = "topic, hour, digest, files, \"rows\", loaded_at";
    vec![
        Statement::with(format!("delete from {loads} where topic = $1 and hour = $2"), key),
        Statement::with(format!("insert into {loads} ({columns}) values ($1, $2, $3, $4, $5, $6)"), row),
    ]
}

pub(super) fn quoted(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

pub(super) fn split(table: &str) -> Result<(&str, &str), Error> {
    sql::split_table(table).ok_or_else(|| {
        input(table, "not a table name; write schema.table, for example staging.listen_events")
    })
}

pub(super) fn input(file: &str, message: &str) -> Error {
    Error::Input { file: file.to_owned(), message: message.to_owned() }
}
