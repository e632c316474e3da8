//! BigQuery as a [`Warehouse`]: jobs of one project, with our schemas as its datasets.
//!
//! The client is `gcp-bigquery-client`; waiting, repeating, error classes and cancelling are ours (`jobs`, `failure`).

mod csv;
mod failure;
mod hour;
mod jobs;
mod labels;
mod options;
mod script;
mod spelling;
mod tokens;
mod values;

use std::collections::HashSet;
use std::sync::Mutex;

use async_trait::async_trait;
use gcp_bigquery_client::model::dataset::Dataset;

pub use failure::Refusal;
pub use labels::labelled;

use self::failure::of_api;
use self::jobs::Api;
use self::script::Script;
use self::tokens::{Token, tokens};
use crate::{
    Dialect, Error, HourLoad, LoadColumn, LoadResult, MAX_ROWS, Relation, RelationKind, Rows, Statement,
    Value, Warehouse, sql,
};

/// Two transactions that delete from one bookkeeping table end each other; the loser tries again.
const CONFLICT_TRIES: u32 = 5;

pub(crate) struct BigQuery {
    api: Api,
    /// Transactions of this process wait for each other rather than fail: all of them write to the same bookkeeping.
    writer: tokio::sync::Mutex<()>,
    /// Datasets that are known to be there.
    datasets: Mutex<HashSet<String>>,
}

impl BigQuery {
    /// `rest` is the URL after `bigquery:`. Nothing is contacted yet.
    pub(crate) fn open(url: &str, rest: &str) -> Result<Self, Error> {
        let api = Api::new(options::Options::parse(url, rest)?);
        Ok(Self { api, writer: tokio::sync::Mutex::new(()), datasets: Mutex::new(HashSet::new()) })
    }

    fn script(&self, statements: &[Statement]) -> Result<Script, Error> {
        Script::of(&self.api.options, statements)
    }

    /// Runs the statements and returns the rows that each changed; the emulator counts none.
    async fn write(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        let rest = self.without_existing(statements).await?;
        let Some(first) = rest.first() else { return Ok(vec![0; statements.len()]) };
        let what = sql::first_line(&first.sql);
        if self.api.options.is_emulator {
            self.clear(&rest).await;
        }
        let _turn = if rest.len() > 1 { Some(self.writer.lock().await) } else { None };
        let mut tries = 1;
        let changed = loop {
            match self.write_once(&rest, &what).await {
                Err(Error::BigQuery { refusal: Refusal::Conflict, message, .. })
                    if tries < CONFLICT_TRIES =>
                {
                    tracing::debug!(tries, message, "transactions met, trying again");
                    tries += 1;
                }
                outcome => break outcome?,
            }
        };
        let skipped = statements.len() - rest.len();
        Ok(std::iter::repeat_n(0, skipped).chain(changed).collect())
    }

    /// The emulator cannot replace what is there: it is dropped first.
    async fn clear(&self, statements: &[Statement]) {
        let Ok(connected) = self.api.connected().await else { return };
        for (schema, name) in statements.iter().filter_map(|one| replaced(&one.sql)) {
            let dataset = self.api.options.dataset(&schema);
            connected.client.table().delete_if_exists(&self.api.options.project, &dataset, &name).await;
        }
    }

    async fn write_once(&self, statements: &[Statement], what: &str) -> Result<Vec<u64>, Error> {
        let script = self.script(statements)?;
        let is_counted = script.is_counted;
        let done = self.api.query(script, what, |_| {}).await?;
        if let [one] = statements {
            return Ok(vec![self.api.changed(&done, &one.sql).await?]);
        }
        if !is_counted {
            return Ok(vec![0; statements.len()]);
        }
        let rows = self.api.rows(&done, what, 1).await?;
        let counts = rows.rows.first().and_then(|row| row.first()).and_then(serde_json::Value::as_array);
        let counts =
            counts.map(|counts| counts.iter().map(|count| count.as_u64().unwrap_or_default()).collect());
        Ok(counts.unwrap_or_else(|| vec![0; statements.len()]))
    }

    /// Leading `create .. if not exists` of what is there are answered without a job, which would take a second, and need a right to
    /// create; new datasets are made by the API, which knows their place.
    async fn without_existing(&self, statements: &[Statement]) -> Result<Vec<Statement>, Error> {
        let mut rest = statements;
        while let Some((first, others)) = rest.split_first() {
            match wanted(&first.sql) {
                Some((schema, None)) => self.ensure_dataset(&schema).await?,
                Some((schema, Some(table))) if self.table(&schema, &table).await?.is_some() => {}
                _ => break,
            }
            rest = others;
        }
        Ok(rest.to_vec())
    }

    async fn ensure_dataset(&self, schema: &str) -> Result<(), Error> {
        let dataset = self.api.options.dataset(schema);
        let is_known = |known: &Mutex<HashSet<String>>| {
            known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&dataset)
        };
        if is_known(&self.datasets) {
            return Ok(());
        }
        let client = &self.api.connected().await?.client;
        let project = &self.api.options.project;
        let what = format!("dataset {dataset}");
        let found = self
            .api
            .patiently(|| async {
                let found = client.dataset().get(project, &dataset).await;
                found.map(|_| ()).map_err(|error| of_api(error, &what))
            })
            .await;
        match found {
            Err(Error::BigQuery { refusal: Refusal::NotFound, .. }) => {
                let mut new = Dataset::new(project, &dataset);
                new.location.clone_from(&self.api.options.location);
                match client.dataset().create(new).await.map_err(|error| of_api(error, &what)) {
                    // Somebody else was quicker.
                    Ok(_) | Err(Error::BigQuery { refusal: Refusal::AlreadyExists, .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            other => other?,
        }
        self.datasets.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(dataset);
        Ok(())
    }

    async fn table(&self, schema: &str, name: &str) -> Result<Option<Relation>, Error> {
        let client = &self.api.connected().await?.client;
        let (project, dataset) = (&self.api.options.project, self.api.options.dataset(schema));
        let what = format!("{dataset}.{name}");
        let found = self
            .api
            .patiently(|| async {
                let found = client.table().get(project, &dataset, name, None).await;
                found.map_err(|error| of_api(error, &what))
            })
            .await;
        let table = match found {
            Err(Error::BigQuery { refusal: Refusal::NotFound, .. }) => return Ok(None),
            other => other?,
        };
        let is_view = matches!(table.r#type.as_deref(), Some("VIEW" | "MATERIALIZED_VIEW"));
        let kind = if is_view { RelationKind::View } else { RelationKind::Table };
        let columns = values::columns(table.schema.fields.as_deref().unwrap_or_default());
        Ok(Some(Relation { kind, columns }))
    }

    async fn number(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let rows = self.query(sql, params).await?;
        let number = rows.rows.first().and_then(|row| row.first()).and_then(serde_json::Value::as_u64);
        Ok(number.unwrap_or_default())
    }
}

/// What a `create schema if not exists a` or `create table if not exists a.b ..` wants to be there.
fn wanted(statement: &str) -> Option<(String, Option<String>)> {
    let found = tokens(statement);
    let words: Vec<&Token> = found.iter().filter(|token| !token.is_space() && !token.is_sign(';')).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|token| token.is_word(word));
    if !(is(0, "create") && is(2, "if") && is(3, "not") && is(4, "exists")) {
        return None;
    }
    let name = |at: usize| match words.get(at)? {
        Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
        _ => None,
    };
    let schema = name(5)?;
    match words.get(6) {
        None if is(1, "schema") => Some((schema, None)),
        Some(dot) if is(1, "table") && dot.is_sign('.') => Some((schema, Some(name(7)?))),
        _ => None,
    }
}

/// The table or view of a `create or replace table a.b ..`.
fn replaced(statement: &str) -> Option<(String, String)> {
    let found = tokens(statement);
    let words: Vec<&Token> = found.iter().filter(|token| !token.is_space()).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|token| token.is_word(word));
    let name = |at: usize| match words.get(at)? {
        Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
        _ => None,
    };
    let replaces = is(0, "create") && is(1, "or") && is(2, "replace") && (is(3, "table") || is(3, "view"));
    let qualified = words.get(5).is_some_and(|token| token.is_sign('.'));
    (replaces && qualified).then(|| name(4).zip(name(6))).flatten()
}

#[async_trait]
impl Warehouse for BigQuery {
    fn dialect(&self) -> Dialect {
        Dialect::BigQuery
    }

    async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let script = Script::query(&self.api.options, sql, params)?;
        let done = self.api.query(script, &sql::first_line(sql), |_| {}).await?;
        self.api.rows(&done, sql, MAX_ROWS).await
    }

    async fn transaction(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.write(statements).await
    }

    async fn relation(&self, schema: &str, name: &str) -> Result<Option<Relation>, Error> {
        self.table(schema, name).await
    }

    async fn load_hour(&self, load: &HourLoad) -> Result<LoadResult, Error> {
        self.replace_hour(load).await
    }

    async fn load_csv(&self, table: &str, uri: &str, columns: &[LoadColumn]) -> Result<u64, Error> {
        self.replace_by_csv(table, uri, columns).await
    }

    async fn describe(&self) -> Result<String, Error> {
        self.query("select 1 as one", &[]).await?;
        let who = self.api.connected().await?.principal().await;
        Ok(format!("project {} answers to {who}", self.api.options.project))
    }
}
