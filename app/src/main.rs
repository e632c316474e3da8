//! The one binary: command line and wiring, no decisions.

mod addresses;
mod cli;
mod clock;
mod commands;
mod config;
mod data_folder;
mod embedded;
mod lifecycle;
mod limits;
mod log_json;
mod log_mask;
mod logins;
mod node;
mod node_health;
mod offline;
mod output;
mod reconcile;
mod retention;
mod settings;
mod telemetry;
mod traces;
mod warehouse_owner;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("streamify: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(cli));
    // Blocking work of a command that was interrupted must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("streamify: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = config::Config::load(&cli.global)?;
    telemetry::start(&config, cli.command.is_server())?;
    if cli.command.is_server() {
        limits::raise_open_files();
    }
    let hint = cli.command.asks_a_platform().then(|| node::which_platform(&config)).flatten();
    let answer = perform(config, cli.command).await;
    match hint {
        Some(hint) => answer.map_err(|error| anyhow::anyhow!("{error:#}\n{hint}")),
        None => answer,
    }
}

async fn perform(config: config::Config, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(arguments) => commands::up::run(config, arguments).await,
        Command::Node(arguments) => commands::node::run(config, arguments).await,
        Command::Broker(arguments) => commands::broker::run(arguments).await,
        Command::Generate(arguments) => commands::generate::run(config, arguments).await,
        Command::Stream(arguments) => commands::stream::run(config, arguments).await,
        Command::Songs(arguments) => commands::songs::run(config, arguments).await,
        Command::Dag(command) => commands::dag::run(config, command).await,
        Command::Kind(command) => commands::kind::run(&config, command),
        Command::Run(command) => commands::run::run(config, command).await,
        Command::Backfill(command) => commands::backfill::run(config, command).await,
        Command::Pool(command) => commands::pool::run(config, command).await,
        Command::Approval(command) => commands::approval::run(config, command).await,
        Command::Asset(command) => commands::asset::run(config, command).await,
        Command::Models(command) => commands::models::run(config, command).await,
        Command::Reconcile => commands::reconcile::run(config).await,
        Command::Sql { query } => commands::sql::run(config, &query).await,
        Command::Db(command) => commands::db::run(config, command).await,
        Command::Migrate => commands::migrate::run(config).await,
        Command::User { name, role } => commands::user::run(config, &name, &role).await,
        Command::Login => commands::login::run(config).await,
        Command::Config { reference: true } => commands::config_reference::run(),
        Command::Config { reference: false } => commands::config::run(config),
        Command::Doctor => commands::doctor::run(config).await,
        Command::Health(arguments) => commands::health::run(config, arguments).await,
    }
}
