//! `streamify up`: everything, with embedded servers where none are configured.

use crate::cli::{PipelineArgs, UpArgs};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::node::{self, DATABASE_URL_FILE, Node, Parts, Running};
use crate::reconcile::{self, Figures, Sources};
use crate::{embedded, lifecycle, logins};
use anyhow::{Context, Result};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use model::Clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub async fn run(mut config: Config, arguments: UpArgs) -> Result<ExitCode> {
    flags(&mut config, &arguments);
    let stop = lifecycle::stop_token()?;
    let data = DataFolder::open(&config.data_dir())?;
    if arguments.fresh {
        data.start_over(arguments.yes)?;
    }
    // The servers stop after the node: it writes its last words to them.
    let servers_stop = CancellationToken::new();
    let servers = TaskTracker::new();
    let outcome = with_servers(&mut config, &arguments, &data, &servers, &servers_stop, stop).await;
    servers_stop.cancel();
    servers.close();
    servers.wait().await;
    outcome
}

async fn with_servers(
    config: &mut Config,
    arguments: &UpArgs,
    data: &DataFolder,
    servers: &TaskTracker,
    servers_stop: &CancellationToken,
    stop: CancellationToken,
) -> Result<ExitCode> {
    let store = database(config, data, servers, servers_stop).await?;
    store.migrate().await?;
    if config.optional("database_url").is_some() {
        node::share_settings(config, &store).await?;
    }
    let kafka = match logins::kafka(config)? {
        Some(kafka) => kafka,
        None => embedded::broker(data, servers, servers_stop.clone()).await?.into(),
    };
    let parts = Parts { scheduler: true, worker: true, web: true, warehouse: true };
    let mut vars = pipeline_vars(config)?;
    let until = last_full_hour(SystemClock.now());
    if arguments.once {
        let hours: i64 = config.parsed("history_hours")?;
        bound_history(&mut vars, until - TimeDelta::hours(hours), until);
    }
    let node = Node::new(config.clone(), store.clone(), kafka, parts, vars)?;
    let warehouse = node.warehouse.clone();
    let (lake, kafka) = (node.lake.clone(), node.kafka.clone());
    let running = node.start(stop.clone()).await?;
    running.dags_loaded().await;
    banner(&store, &running).await?;
    if arguments.once {
        let figures = Figures::Own(warehouse);
        let sources = Sources { store: &store, figures, lake: &lake, kafka: &kafka, until };
        let agreed = reconcile::once(&sources, &stop).await;
        stop.cancel();
        running.tasks.wait().await;
        return Ok(crate::output::status(agreed?));
    }
    running.tasks.wait().await;
    Ok(ExitCode::SUCCESS)
}

fn flags(config: &mut Config, arguments: &UpArgs) {
    let text = |number: Option<u32>| number.map(|number| number.to_string());
    let PipelineArgs { users, songs, history_hours, stream_every } = &arguments.pipeline;
    config.flag("users", text(*users));
    config.flag("songs", songs.clone());
    config.flag("history_hours", text(*history_hours));
    config.flag("stream_every_seconds", text(*stream_every));
    config.flag("port", arguments.port.map(|port| port.to_string()));
    config.flag("host", arguments.host.map(|host| host.to_string()));
}

async fn database(
    config: &Config,
    data: &DataFolder,
    servers: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Store> {
    if config.optional("database_url").is_some() {
        return node::connect(config).await;
    }
    let url = embedded::postgres(data, servers, stop.clone()).await?;
    let file = data.join(DATABASE_URL_FILE);
    std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut file| file.write_all(url.as_bytes()))
        .with_context(|| file.display().to_string())?;
    Ok(Store::connect(&url, node::CONNECTIONS).await?)
}

/// What the pipeline's DAGs find as `var.*`.
pub fn pipeline_vars(config: &Config) -> Result<BTreeMap<String, Value>> {
    let hours: u32 = config.parsed("history_hours")?;
    let songs = match config.text("songs") {
        "" => String::new(),
        url if url.contains("://") => url.to_string(),
        path => std::path::absolute(path)?.display().to_string(),
    };
    Ok(BTreeMap::from([
        ("songs".to_string(), json!(songs)),
        ("users".to_string(), json!(config.text("users"))),
        ("seed".to_string(), json!(config.text("seed"))),
        ("history_hours".to_string(), json!(hours)),
        ("history_from".to_string(), json!("")),
        ("history_to".to_string(), json!("")),
        ("continuous".to_string(), json!(true)),
        ("stream_every".to_string(), json!(format!("{}s", config.text("stream_every_seconds")))),
    ]))
}

fn bound_history(vars: &mut BTreeMap<String, Value>, from: DateTime<Utc>, to: DateTime<Utc>) {
    vars.insert("history_from".to_string(), json!(from.to_rfc3339()));
    vars.insert("history_to".to_string(), json!(to.to_rfc3339()));
    vars.insert("continuous".to_string(), json!(false));
}

/// The end of the window of the newest hourly run: those runs come at minute 5.
pub fn last_full_hour(now: DateTime<Utc>) -> DateTime<Utc> {
    const RUNS_AT_MINUTE: i64 = 5;
    let tick = now - TimeDelta::minutes(RUNS_AT_MINUTE);
    tick.duration_trunc(TimeDelta::hours(1)).unwrap_or(tick)
}

async fn banner(store: &Store, running: &Running) -> Result<()> {
    let Some(url) = &running.url else { return Ok(()) };
    let link = web::login_link(store, url, SystemClock.now()).await?;
    println!("\n  Streamify is up\n");
    println!("  dags       {url}/");
    println!("  dashboard  {url}/dashboard");
    println!("  log in     {link}   (once; `streamify login` prints another)\n");
    println!("  Ctrl-C stops everything.\n");
    Ok(())
}
