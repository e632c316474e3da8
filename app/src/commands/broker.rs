//! `streamify broker`: the embedded broker as a process.

use crate::cli::BrokerArgs;
use crate::lifecycle;
use anyhow::Result;
use broker::{Broker, BrokerConfig};
use std::process::ExitCode;
use std::time::Duration;

pub async fn run(arguments: BrokerArgs) -> Result<ExitCode> {
    let stop = lifecycle::stop_token()?;
    let mut config = BrokerConfig::new(arguments.folder);
    config.listen = arguments.listen;
    config.retention.max_age = arguments.retention_hours.map(|hours| Duration::from_secs(hours * 3600));
    let broker = Broker::start(config).await?;
    tracing::info!(
        "Kafka-compatible broker on {}: one node, no replication, for laptops and tests",
        broker.address()
    );
    stop.cancelled().await;
    broker.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
