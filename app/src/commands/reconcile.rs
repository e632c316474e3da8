//! `streamify reconcile`: the layers of a running platform, compared.

use crate::clock::SystemClock;
use crate::config::Config;
use crate::reconcile::{Figures, Sources, compare, print};
use crate::{logins, node, output};
use anyhow::{Context, Result};
use model::Clock;
use std::process::ExitCode;

pub async fn run(mut config: Config) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    node::share_settings(&mut config, &store).await?;
    let lake = lake::Lake::open(&node::lake_url(&config))?;
    let kafka = logins::kafka(&config)?.context("no Kafka: set KAFKA_BOOTSTRAP_SERVERS")?;
    let now = SystemClock.now();
    let figures = Figures::find(&config, &store).await?;
    let lines = compare(&Sources { store: &store, figures, lake: &lake, kafka: &kafka, until: now }).await?;
    if config.json {
        output::json(&lines)?;
        return Ok(output::status(
            lines.iter().filter(|line| line.hour.is_some()).all(|line| line.agrees_by_hour()),
        ));
    }
    Ok(output::status(print(&lines, false)))
}
