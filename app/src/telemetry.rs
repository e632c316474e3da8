//! Logging: text for people, JSON for programs, to standard error.

use crate::config::Config;
use anyhow::{Context, Result, bail};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

const SERVER_FILTER: &str = "info,tokio_cron_scheduler=warn,sqlx=warn";
const COMMAND_FILTER: &str = "warn";

pub fn start(config: &Config, is_server: bool) -> Result<()> {
    let default = if is_server { SERVER_FILTER } else { COMMAND_FILTER };
    let filter = config.optional("log").unwrap_or(default);
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log = {filter:?}"))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.text("log_format") {
        "json" => subscriber.json().init(),
        "text" => subscriber.with_target(false).compact().init(),
        other => bail!("log_format = {other:?}: text or json"),
    }
    Ok(())
}
