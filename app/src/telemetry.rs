//! Logging: text for people, JSON for programs, to standard error, without the values of secrets.

use crate::config::Config;
use crate::log_json::FlatJson;
use crate::log_mask::Masked;
use anyhow::{Context, Result, bail};
use engine::EngineConfig;
use std::io::IsTerminal;
use tracing::Metadata;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

const SERVER_FILTER: &str = "info,tokio_cron_scheduler=warn,sqlx=warn";
const COMMAND_FILTER: &str = "warn";

pub fn start(config: &Config, is_server: bool) -> Result<()> {
    let default = if is_server { SERVER_FILTER } else { COMMAND_FILTER };
    let filter = config.optional("log").unwrap_or(default);
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log = {filter:?}"))?;
    let secrets = EngineConfig::secrets_of(std::env::vars()).into_values().chain(config.secrets());
    let layer = fmt::layer().with_writer(Masked::of(secrets));
    match config.text("log_format") {
        "json" => {
            let json = layer.fmt_fields(JsonFields::new()).event_format(FlatJson);
            registry().with(filter).with(json).init();
        }
        "text" => {
            let text = layer.with_ansi(std::io::stderr().is_terminal()).with_target(false).compact();
            // Each line about an attempt names it already.
            registry().with(filter).with(text.with_filter(filter_fn(is_for_people))).init();
        }
        other => bail!("log_format = {other:?}: text or json"),
    }
    Ok(())
}

fn is_for_people(metadata: &Metadata<'_>) -> bool {
    !(metadata.is_span() && metadata.name() == "attempt" && metadata.target().starts_with("engine"))
}
