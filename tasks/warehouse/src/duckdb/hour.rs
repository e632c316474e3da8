//! Replacing one hour of a staging table: delete, insert and the `_loads` row in one transaction.

use ::duckdb::Connection;

use super::run;
use crate::{ColumnType, Error, HourLoad, LoadColumn, LoadResult, Value, quote_identifier, quote_text, sql};

const HOUR: &str = "hour";

pub(crate) struct Plan {
    load: HourLoad,
    schema: String,
    /// Quoted, with its schema.
    table: String,
    /// `read_parquet(..)`, or nothing when the hour has no files.
    source: Option<String>,
}

impl Plan {
    pub(crate) fn of(load: &HourLoad) -> Result<Self, Error> {
        let (schema, name) = split(&load.table)?;
        let files = load
            .files
            .iter()
            .map(|file| Ok(quote_text(&local_path(file)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let source = (!files.is_empty()).then(|| {
            format!("read_parquet([{}], union_by_name = true, hive_partitioning = false)", files.join(", "))
        });
        Ok(Self { schema: schema.to_owned(), table: qualified(schema, name), source, load: load.clone() })
    }

    pub(crate) fn execute(&self, connection: &Connection) -> Result<LoadResult, Error> {
        self.prepare_tables(connection)?;
        let hour = Value::Time(self.load.hour);
        let delete = format!("delete from {} where \"hour\" = $1", self.table);
        let replaced = run::execute(connection, &delete, std::slice::from_ref(&hour))?;
        let rows = match &self.source {
            Some(source) => run::execute(connection, &self.insert(connection, source)?, &[hour])?,
            None => 0,
        };
        self.record(connection, rows)?;
        Ok(LoadResult { rows, replaced })
    }

    fn prepare_tables(&self, connection: &Connection) -> Result<(), Error> {
        let columns = self.load.columns.iter().map(definition).collect::<Vec<_>>().join(", ");
        let (schema, loads) = (quote_identifier(&self.schema), self.loads());
        for statement in [
            format!("create schema if not exists {schema}"),
            format!("create table if not exists {} ({columns}, \"hour\" timestamp not null)", self.table),
            format!(
                "create table if not exists {loads} (topic varchar not null, hour timestamp not null, \
                 digest varchar not null, files bigint not null, rows bigint not null, loaded_at timestamp not null)"
            ),
        ] {
            run::execute(connection, &statement, &[])?;
        }
        let known = column_names(connection, &self.table)?;
        for column in self.load.columns.iter().filter(|column| !known.contains(&column.name)) {
            let default = literal(column).map_or_else(String::new, |default| format!(" default {default}"));
            let add = format!("alter table {} add column {}{default}", self.table, definition(column));
            run::execute(connection, &add, &[])?;
        }
        Ok(())
    }

    fn insert(&self, connection: &Connection, source: &str) -> Result<String, Error> {
        let present = column_names(connection, source).map_err(|error| self.input_error(error))?;
        let names = self.load.columns.iter().map(|column| quote_identifier(&column.name)).collect::<Vec<_>>();
        let values = self.load.columns.iter().map(|column| {
            if present.contains(&column.name) {
                value(column)
            } else {
                literal(column).unwrap_or("null".to_owned())
            }
        });
        Ok(format!(
            "insert into {} ({}, \"{HOUR}\") select {}, $1 from {source}",
            self.table,
            names.join(", "),
            values.collect::<Vec<_>>().join(", ")
        ))
    }

    fn record(&self, connection: &Connection, rows: u64) -> Result<(), Error> {
        let load = &self.load;
        let key = [Value::from(load.topic.as_str()), Value::Time(load.hour)];
        run::execute(
            connection,
            &format!("delete from {} where topic = $1 and hour = $2", self.loads()),
            &key,
        )?;
        let [topic, hour] = key;
        let rest = [
            topic,
            hour,
            Value::from(load.digest.as_str()),
            Value::Int(load.files.len() as i64),
            Value::Int(i64::try_from(rows).unwrap_or(i64::MAX)),
            Value::Time(load.loaded_at),
        ];
        let columns = "topic, hour, digest, files, rows, loaded_at";
        run::execute(
            connection,
            &format!("insert into {} ({columns}) values ($1, $2, $3, $4, $5, $6)", self.loads()),
            &rest,
        )?;
        Ok(())
    }

    fn loads(&self) -> String {
        qualified(&self.schema, "_loads")
    }

    /// Files that cannot be opened are the input's fault, whatever class the engine gives the error.
    fn input_error(&self, error: Error) -> Error {
        let Error::Sql { message, .. } = error else { return error };
        Error::Input { file: format!("{} at {}", self.load.table, self.load.hour), message }
    }
}

pub(super) fn split(table: &str) -> Result<(&str, &str), Error> {
    sql::split_table(table).ok_or_else(|| Error::Input {
        file: table.to_owned(),
        message: "not a table name; write schema.table, for example staging.listen_events".to_owned(),
    })
}

pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

/// The columns of a table or table function.
pub(super) fn column_names(connection: &Connection, from: &str) -> Result<Vec<String>, Error> {
    let rows = run::select(connection, &format!("select * from {from} limit 0"), &[], 1)?;
    Ok(rows.columns.into_iter().map(|column| column.name).collect())
}

pub(super) fn definition(column: &LoadColumn) -> String {
    format!("{} {}", quote_identifier(&column.name), type_name(column.kind))
}

pub(super) fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int => "bigint",
        ColumnType::Double => "double",
        ColumnType::String => "varchar",
        ColumnType::Boolean => "boolean",
        ColumnType::Timestamp => "timestamp",
    }
}

/// The column's value in the target type, with its default for null.
pub(super) fn value(column: &LoadColumn) -> String {
    let cast = format!("cast({} as {})", quote_identifier(&column.name), type_name(column.kind));
    match literal(column) {
        Some(default) => format!("coalesce({cast}, {default})"),
        None => cast,
    }
}

fn literal(column: &LoadColumn) -> Option<String> {
    let plain = match column.default.as_ref()? {
        Value::Null => return None,
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => quote_text(text),
        Value::Time(time) => quote_text(&time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()),
    };
    Some(format!("cast({plain} as {})", type_name(column.kind)))
}

/// DuckDB reads local files only here: extensions are never downloaded.
pub(super) fn local_path(uri: &str) -> Result<String, Error> {
    let fail = |message: &str| Err(Error::Input { file: uri.to_owned(), message: message.to_owned() });
    let path = match uri.split_once("://") {
        None => uri.to_owned(),
        Some(("file", path)) => match percent_decode(path) {
            Some(path) => path,
            None => return fail("not a valid file:// URL"),
        },
        Some(_) => {
            return fail("the embedded warehouse reads local files only; use a file:// lake with duckdb:");
        }
    };
    if path.contains(['*', '?', '[']) {
        return fail("file names with *, ? or [ are read as patterns; rename the folder");
    }
    Ok(path)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            plain => plain,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}
