//! Running statements on one connection, and what DuckDB's error messages mean.

use std::sync::atomic::{AtomicBool, Ordering};

use ::duckdb::types::{TimeUnit, Value as DuckValue};
use ::duckdb::{Connection, params_from_iter};

use super::decode;
use crate::{Column, Error, Rows, Value, sql};

/// Runs one statement with bound values; returns the rows it changed.
pub(crate) fn execute(connection: &Connection, statement: &str, params: &[Value]) -> Result<u64, Error> {
    let mut prepared = connection.prepare(statement).map_err(|error| sql_error(statement, &error))?;
    let changed = prepared
        .execute(params_from_iter(params.iter().map(bind)))
        .map_err(|error| sql_error(statement, &error))?;
    Ok(changed as u64)
}

/// All or nothing; a failed transaction leaves the connection fit for the next one.
pub(crate) fn in_transaction<T>(
    connection: &Connection,
    cancelled: &AtomicBool,
    work: impl Fn(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    begin(connection, cancelled, "begin transaction")?;
    let outcome = work(connection).and_then(|value| {
        if cancelled.load(Ordering::SeqCst) {
            return Err(Error::Cancelled);
        }
        connection.execute_batch("commit").map_err(|error| sql_error("commit", &error))?;
        Ok(value)
    });
    if outcome.is_err() {
        rollback(connection);
    }
    outcome
}

/// Runs one statement that must not change anything.
pub(crate) fn read(
    connection: &Connection,
    cancelled: &AtomicBool,
    statement: &str,
    params: &[Value],
    limit: usize,
) -> Result<Rows, Error> {
    begin(connection, cancelled, "begin transaction read only")?;
    let outcome = select(connection, statement, params, limit);
    rollback(connection);
    outcome
}

/// Runs one statement and decodes its rows, inside whatever transaction is open.
pub(crate) fn select(
    connection: &Connection,
    statement: &str,
    params: &[Value],
    limit: usize,
) -> Result<Rows, Error> {
    let fail = |error: ::duckdb::Error| sql_error(statement, &error);
    let mut prepared = connection.prepare(statement).map_err(fail)?;
    prepared.execute(params_from_iter(params.iter().map(bind))).map_err(fail)?;
    let names = prepared.column_names();
    let columns: Vec<Column> = names
        .into_iter()
        .enumerate()
        .map(|(index, name)| Column {
            name,
            type_name: format!("{:?}", prepared.column_logical_type(index).id()).to_uppercase(),
        })
        .collect();
    let mut rows = Vec::new();
    let mut cursor = prepared.raw_query();
    while let Some(row) = cursor.next().map_err(fail)? {
        if rows.len() == limit {
            return Err(Error::TooManyRows { statement: sql::first_line(statement), limit });
        }
        let values =
            (0..columns.len()).map(|index| row.get_ref(index).map(|value| decode::json(value.to_owned())));
        rows.push(values.collect::<Result<Vec<_>, _>>().map_err(fail)?);
    }
    Ok(Rows { columns, rows })
}

fn begin(connection: &Connection, cancelled: &AtomicBool, statement: &str) -> Result<(), Error> {
    if cancelled.load(Ordering::SeqCst) {
        return Err(Error::Cancelled);
    }
    connection.execute_batch(statement).map_err(|error| sql_error(statement, &error))
}

fn rollback(connection: &Connection) {
    // An interrupt meant for the failed statement may hit this one; without an open transaction there is nothing to do.
    for _ in 0..3 {
        match connection.execute_batch("rollback") {
            Ok(()) => return,
            Err(error) if error.to_string().contains("no transaction is active") => return,
            Err(error) => tracing::debug!(%error, "rollback failed, trying again"),
        }
    }
}

fn bind(value: &Value) -> DuckValue {
    match value {
        Value::Null => DuckValue::Null,
        Value::Bool(flag) => DuckValue::Boolean(*flag),
        Value::Int(number) => DuckValue::BigInt(*number),
        Value::Float(number) => DuckValue::Double(*number),
        Value::Text(text) => DuckValue::Text(text.clone()),
        Value::Time(time) => DuckValue::Timestamp(TimeUnit::Microsecond, time.timestamp_micros()),
    }
}

pub(crate) fn sql_error(statement: &str, error: &::duckdb::Error) -> Error {
    let message = error.to_string();
    if message.starts_with("INTERRUPT") {
        return Error::Cancelled;
    }
    let retryable = is_conflict(&message)
        || ["IO Error", "Out of Memory Error", "Connection Error"]
            .iter()
            .any(|class| message.starts_with(class));
    Error::Sql { statement: sql::first_line(statement), message, retryable }
}

/// Two writers met. DuckDB reports it at the statement or at the commit.
pub(crate) fn is_conflict(message: &str) -> bool {
    message.starts_with("TransactionContext Error") && message.to_lowercase().contains("conflict")
        || message.contains("write-write conflict")
}
