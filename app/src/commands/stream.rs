//! `streamify stream`: the streaming job as a process, by hand or under the engine.

use crate::cli::StreamArgs;
use crate::config::Config;
use crate::{lifecycle, logins, node};
use anyhow::{Result, bail};
use chrono::Utc;
use indicatif::ProgressBar;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use stream::{Options, State, Status, TopicConfig};

pub async fn run(mut config: Config, arguments: StreamArgs) -> Result<ExitCode> {
    let stop = lifecycle::stop_token()?;
    if arguments.brokers.is_none() || arguments.lake.is_none() {
        node::share_settings_if_connected(&mut config).await;
    }
    config.flag("kafka_bootstrap_servers", arguments.brokers);
    let Some(kafka) = logins::kafka(&config)? else {
        bail!("no Kafka: give --brokers, or set KAFKA_BOOTSTRAP_SERVERS");
    };
    let lake = arguments.lake.unwrap_or_else(|| node::lake_url(&config));
    let schemas = stream::read_schemas(&arguments.schemas)?;
    let topics =
        schemas.into_iter().map(|schema| TopicConfig { name: schema.topic().to_string(), schema }).collect();
    let mut options = Options::new(kafka, lake, topics);
    options.group = arguments.group;
    options.roll.every = Duration::from_secs(arguments.every.max(1));
    let bar = if arguments.status_lines { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let status_lines = arguments.status_lines;
    let show = move |status: Status| {
        if status_lines {
            let ready = status.state != State::default();
            println!("{}", serde_json::json!({ "status": status, "ready": ready }));
        } else {
            let rows: u64 = status.topics.values().map(|topic| topic.committed.rows).sum();
            let lag: u64 = status.topics.values().filter_map(|topic| topic.lag).sum();
            bar.set_message(format!("{rows} rows in the lake, {lag} behind"));
            bar.tick();
        }
    };
    let report = stream::run(options, Arc::new(Utc::now), show, stop).await?;
    if !status_lines {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(ExitCode::SUCCESS)
}
