//! `streamify migrate`: the schema, brought up to date.

use crate::config::Config;
use crate::node;
use anyhow::Result;
use std::process::ExitCode;

pub async fn run(config: Config) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    store.migrate().await?;
    println!("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}
