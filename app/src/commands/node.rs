//! `streamify node`: a node on servers that exist.

use crate::cli::NodeArgs;
use crate::config::Config;
use crate::node::{self, Node, Parts};
use crate::{lifecycle, logins};
use anyhow::{Result, bail};
use std::process::ExitCode;

pub async fn run(mut config: Config, arguments: NodeArgs) -> Result<ExitCode> {
    config.flag("port", arguments.port.map(|port| port.to_string()));
    config.flag("host", arguments.host.map(|host| host.to_string()));
    // Several nodes may start from one folder, so its name is not enough.
    if config.optional("node_name").is_none() {
        config.flag("node_name", Some(format!("{}:{}", node::host_name(), std::process::id())));
    }
    let stop = lifecycle::stop_token()?;
    let store = node::connect(&config).await?;
    store.migrate().await?;
    node::share_settings(&mut config, &store).await?;
    let Some(kafka) = logins::kafka(&config)? else {
        bail!("no Kafka: set KAFKA_BOOTSTRAP_SERVERS, or start `streamify up` once on this database");
    };
    let parts = Parts {
        scheduler: !arguments.no_scheduler,
        worker: !arguments.no_worker,
        web: !arguments.no_web,
        warehouse: !arguments.no_warehouse && !arguments.no_worker,
    };
    let vars = super::up::pipeline_vars(&config)?;
    let running = Node::new(config, store, kafka, parts, vars)?.start(stop.clone()).await?;
    if let Some(url) = &running.url {
        tracing::info!("pages and API on {url}");
    }
    running.tasks.wait().await;
    Ok(ExitCode::SUCCESS)
}
