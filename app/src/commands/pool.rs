//! `streamify pool`: limits over all dags.

use super::request;
use crate::cli::PoolCommand;
use crate::config::Config;
use crate::{node, output};
use anyhow::Result;
use std::process::ExitCode;

pub async fn run(config: Config, command: PoolCommand) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    let now = store.clock().await?;
    match command {
        PoolCommand::List => {
            let pools = store.list_pools().await?;
            if config.json {
                output::json(&pools)?;
                return Ok(ExitCode::SUCCESS);
            }
            let rows = pools.into_iter().map(|pool| {
                let slots = pool.slots.map_or_else(|| "does not exist".to_owned(), |slots| slots.to_string());
                vec![pool.name, slots, pool.running.to_string(), pool.queued.to_string(), pool.description]
            });
            println!("{}", output::table(&["pool", "slots", "running", "queued", ""], rows));
        }
        PoolCommand::Set { name, slots, description, reason } => {
            store.put_pool(&name, slots, &description, &request::who(), &reason, now).await?;
            println!("pool {name} has {slots} slots");
        }
        PoolCommand::Delete { name, reason } => {
            store.delete_pool(&name, &request::who(), &reason, now).await?;
            println!("pool {name} is no more");
        }
    }
    Ok(ExitCode::SUCCESS)
}
