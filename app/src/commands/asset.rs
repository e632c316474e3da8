//! `streamify asset`: named pieces of data, and who writes, reads and waits for them.

use super::request::{self, dash};
use crate::cli::AssetCommand;
use crate::config::Config;
use crate::{node, output};
use anyhow::Result;
use std::process::ExitCode;

pub async fn run(config: Config, command: AssetCommand) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    match command {
        AssetCommand::List => {
            let assets = store.list_assets().await?;
            if config.json {
                output::json(&assets)?;
                return Ok(ExitCode::SUCCESS);
            }
            let rows = assets.into_iter().map(|asset| {
                let last =
                    asset.last.map(|event| format!("{} UTC by {}", event.at.format("%F %T"), event.who));
                vec![
                    asset.name,
                    tasks(&asset.writers),
                    tasks(&asset.readers),
                    if asset.triggers.is_empty() { dash() } else { asset.triggers.join(", ") },
                    last.unwrap_or_else(dash),
                ]
            });
            println!(
                "{}",
                output::table(&["asset", "written by", "read by", "starts", "last written"], rows)
            );
        }
        AssetCommand::Events { asset, limit } => {
            let events = store.asset_events(asset.as_deref(), None, limit).await?;
            if config.json {
                output::json(&events)?;
                return Ok(ExitCode::SUCCESS);
            }
            let rows = events.into_iter().map(|event| {
                vec![event.id.to_string(), event.asset, format!("{}", event.at.format("%F %T")), event.who]
            });
            println!("{}", output::table(&["event", "asset", "at (UTC)", "by"], rows));
        }
        AssetCommand::Tell { asset, reason } => {
            let now = store.clock().await?;
            let event = store.tell_asset(&asset, &request::who(), &reason, now).await?;
            println!("{asset} was written (event {event})");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tasks(of: &[(String, String)]) -> String {
    if of.is_empty() {
        return dash();
    }
    of.iter().map(|(dag, task)| format!("{dag}/{task}")).collect::<Vec<_>>().join(", ")
}
