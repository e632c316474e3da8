//! DuckDB as a [`Warehouse`]: the trait's methods over a small pool of connections, one writer at a time.

mod csv;
mod decode;
mod hour;
mod options;
mod pool;
mod registry;
mod run;

use std::sync::Arc;

use ::duckdb::Connection;
use async_trait::async_trait;

use crate::{
    Column, Dialect, Error, HourLoad, LoadColumn, LoadResult, MAX_ROWS, Relation, RelationKind, Rows,
    Statement, Value, Warehouse,
};

/// Conflicts cannot happen between our own writers, but may with statements run inside `query`.
const CONFLICT_ATTEMPTS: u32 = 3;

pub(crate) struct DuckDb {
    pool: Arc<pool::Pool>,
}

impl DuckDb {
    /// `rest` is the URL after `duckdb:`.
    pub(crate) fn open(url: &str, rest: &str) -> Result<Self, Error> {
        let options = options::Options::parse(url, rest)?;
        Ok(Self { pool: registry::open(&options)? })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.pool.writer().await;
        self.pool
            .run(move |connection, cancelled| {
                let _turn = turn;
                let mut attempt = 1;
                loop {
                    match run::in_transaction(connection, cancelled, &work) {
                        Err(Error::Sql { retryable: true, message, .. })
                            if attempt < CONFLICT_ATTEMPTS && run::is_conflict(&message) =>
                        {
                            tracing::debug!(attempt, message, "write conflict, trying again");
                            attempt += 1;
                        }
                        outcome => return outcome,
                    }
                }
            })
            .await
    }
}

#[async_trait]
impl Warehouse for DuckDb {
    fn dialect(&self) -> Dialect {
        Dialect::DuckDb
    }

    async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        self.pool
            .run(move |connection, cancelled| run::read(connection, cancelled, &sql, &params, MAX_ROWS))
            .await
    }

    async fn transaction(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        let statements = statements.to_vec();
        self.write(move |connection| {
            statements.iter().map(|one| run::execute(connection, &one.sql, &one.params)).collect()
        })
        .await
    }

    async fn relation(&self, schema: &str, name: &str) -> Result<Option<Relation>, Error> {
        let sql = "select column_name, data_type,
                          exists(select 1 from duckdb_views() where schema_name = $1 and view_name = $2) as is_view
                   from duckdb_columns()
                   where database_name = current_database() and schema_name = $1 and table_name = $2
                   order by column_index";
        let rows = self.query(sql, &[schema.into(), name.into()]).await?;
        let Some(first) = rows.rows.first() else { return Ok(None) };
        let kind = if first[2] == true { RelationKind::View } else { RelationKind::Table };
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let columns =
            rows.rows.iter().map(|row| Column { name: text(&row[0]), type_name: text(&row[1]) }).collect();
        Ok(Some(Relation { kind, columns }))
    }

    async fn load_hour(&self, load: &HourLoad) -> Result<LoadResult, Error> {
        let plan = hour::Plan::of(load)?;
        self.write(move |connection| plan.execute(connection)).await
    }

    async fn load_csv(&self, table: &str, uri: &str, columns: &[LoadColumn]) -> Result<u64, Error> {
        let plan = csv::Plan::of(table, uri, columns)?;
        self.write(move |connection| plan.execute(connection)).await
    }
}
