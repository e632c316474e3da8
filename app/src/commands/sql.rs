//! `streamify sql`: one query on the warehouse.

use crate::config::Config;
use crate::reconcile::Figures;
use crate::{node, output};
use anyhow::Result;
use serde_json::Value;
use std::process::ExitCode;

pub async fn run(mut config: Config, query: &str) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    node::share_settings(&mut config, &store).await?;
    let rows = Figures::find(&config, &store).await?.query(query, &[]).await?;
    if config.json {
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let first = rows.first().and_then(Value::as_object);
    let header: Vec<&str> = first.into_iter().flat_map(|row| row.keys().map(String::as_str)).collect();
    let lines = rows.iter().filter_map(Value::as_object).map(|row| row.values().map(shown).collect());
    println!("{}", output::table(&header, lines));
    println!("{} rows", rows.len());
    Ok(ExitCode::SUCCESS)
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}
