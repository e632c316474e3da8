//! What each layer says it has.

use super::Hours;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::node;
use crate::warehouse_owner::WarehouseOwner;
use ::kafka::Access;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use lake::Lake;
use model::{Clock, Window};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use store::Store;
use warehouse::quote_identifier;

const OWNER_TOLD_MAX: Duration = Duration::from_secs(10);
const OWNER_LOOK_EVERY: Duration = Duration::from_millis(300);

pub struct Sources<'a> {
    pub store: &'a Store,
    pub figures: Figures,
    pub lake: &'a Lake,
    pub kafka: &'a Access,
    /// Events before this instant are expected.
    pub until: DateTime<Utc>,
}

/// The warehouse of this process, or that of the node that has it.
pub enum Figures {
    Own(WarehouseOwner),
    Remote { url: String, token: String },
}

pub struct LakeRows {
    pub rows: Hours,
    pub dead_letters: u64,
}

/// Which model is built from which topic: what the `reconcile` checks of the dags say.
pub async fn facts(store: &Store) -> Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    for scheduled in store.scheduled_dags().await? {
        for task in scheduled.dag.tasks.iter().filter(|task| task.uses == "check") {
            let pairs = task.with.get("reconcile").and_then(Value::as_object).into_iter().flatten();
            facts.extend(
                pairs.filter_map(|(topic, model)| Some((topic.clone(), model.as_str()?.to_string()))),
            );
        }
    }
    if facts.is_empty() {
        bail!("no dag says what to compare: none has a `check` with `reconcile`");
    }
    Ok(facts)
}

/// Counted by making all events again.
pub async fn generated(kafka: &Access, until: DateTime<Utc>) -> Result<BTreeMap<String, Hours>> {
    let options = generator::Options::default();
    let counts = generator::count_for_brokers(kafka, &options, until).await?;
    Ok(counts.topics.into_iter().map(|(topic, hours)| (topic.name().to_string(), hours)).collect())
}

pub async fn kafka(kafka: &Access, topics: &[String]) -> Result<BTreeMap<String, u64>> {
    let mut totals = BTreeMap::new();
    for (topic, partitions) in stream::offsets(kafka, topics).await? {
        totals.insert(
            topic,
            partitions.iter().map(|partition| u64::try_from(partition.high).unwrap_or(0)).sum(),
        );
    }
    Ok(totals)
}

pub async fn lake(lake: &Lake, topic: &str) -> Result<LakeRows> {
    let commits = lake.commits(topic).await?;
    let dead_letters = commits.iter().map(|commit| commit.dead_letters).sum();
    let always = Window { start: DateTime::UNIX_EPOCH, end: Utc::now() + TimeDelta::days(366) };
    let hours = lake.hours(topic, &always).await?;
    Ok(LakeRows {
        rows: hours.into_iter().map(|manifest| (manifest.hour, manifest.rows)).collect(),
        dead_letters,
    })
}

impl Figures {
    /// An embedded warehouse belongs to one process: if a node has it open, that node answers. A node that has just started says so a
    /// moment after it has opened the file.
    pub async fn find(config: &Config, store: &Store) -> Result<Figures> {
        let give_up = tokio::time::Instant::now() + OWNER_TOLD_MAX;
        loop {
            let now = SystemClock.now();
            if let Some((_, url)) = store.duty_url(&format!("route:{}", kinds::WAREHOUSE), now).await? {
                return Ok(Figures::Remote { url, token: web::cli_token(store, now).await? });
            }
            match WarehouseOwner::opened(&node::warehouse_url(config)) {
                Ok(owner) => return Ok(Figures::Own(owner)),
                Err(warehouse::Error::Owned { .. }) if tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(OWNER_LOOK_EVERY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Rows by hour; none where the table is not there yet.
    pub async fn hours(&self, schema: &str, table: &str) -> Result<Hours> {
        let known =
            "select count(*) as n from information_schema.tables where table_schema = $1 and table_name = $2";
        let found = self.query(known, &[schema, table]).await?;
        if found.first().and_then(|row| row.get("n")).and_then(Value::as_u64) != Some(1) {
            return Ok(Hours::new());
        }
        let (schema, table) = (quote_identifier(schema), quote_identifier(table));
        let rows = self
            .query(&format!("select hour, count(*) as n from {schema}.{table} group by hour"), &[])
            .await?;
        rows.iter()
            .map(|row| {
                let hour = row.get("hour").and_then(Value::as_str).context("hour")?;
                let count = row.get("n").and_then(Value::as_u64).context("count")?;
                Ok((DateTime::parse_from_rfc3339(hour)?.to_utc(), count))
            })
            .collect()
    }

    /// Rows as objects by column.
    pub async fn query(&self, sql: &str, params: &[&str]) -> Result<Vec<Value>> {
        match self {
            Figures::Own(owner) => {
                let warehouse = owner.get().map_err(anyhow::Error::msg)?;
                let bound: Vec<warehouse::Value> = params.iter().map(|param| (*param).into()).collect();
                Ok(warehouse.query(sql, &bound).await?.to_objects())
            }
            Figures::Remote { url, token } => {
                let body = serde_json::json!({ "sql": sql, "params": params });
                let request = reqwest::Client::new()
                    .post(format!("{url}/api/v2/warehouse/query"))
                    .bearer_auth(token)
                    .json(&body);
                let response = request.send().await?;
                let status = response.status();
                let answer: Value = response.json().await?;
                if !status.is_success() {
                    bail!(
                        "{url}: {}",
                        answer.get("detail").and_then(Value::as_str).unwrap_or(status.as_str())
                    );
                }
                Ok(answer.get("rows").and_then(Value::as_array).cloned().unwrap_or_default())
            }
        }
    }
}
