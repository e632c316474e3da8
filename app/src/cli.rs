//! The command line: words, defaults, help.

mod control;
mod db;
mod run;

pub use control::{Answer, ApprovalCommand, AssetCommand, BackfillArgs, BackfillCommand, PoolCommand};
pub use db::DbCommand;
pub use run::{ClearArgs, MarkArgs, MarkState, RerunArgs, RunCommand};

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Parser)]
#[command(
    name = "streamify",
    version,
    about = "A data platform in one binary: scheduler, workers, streaming, models, checks, pages"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Settings that every command knows. Flags win over the environment, that over streamify.toml, that over the defaults.
#[derive(Args, Default)]
pub struct Global {
    /// Folder for all state
    #[arg(long = "data", global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Folder with DAG files and the projects they use
    #[arg(long = "dags", global = true, value_name = "FOLDER")]
    pub dags_dir: Option<PathBuf>,
    /// Configuration file [default: streamify.toml, if there is one]
    #[arg(long = "config-file", global = true, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Write JSON for programs instead of tables for people
    #[arg(long, global = true)]
    pub json: bool,
    /// How the log is written to standard error: text for people, json for programs
    #[arg(long = "log-format", global = true, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub log_format: Option<String>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Start everything: Postgres, Kafka broker, scheduler, worker, web; what is not configured is embedded
    Up(UpArgs),
    /// Start one node on existing servers: scheduler, worker, web or some of them
    Node(NodeArgs),
    /// Run the embedded one-node Kafka-compatible broker (for laptops and tests)
    Broker(BrokerArgs),
    /// Send the events of simulated users to Kafka
    Generate(GenerateArgs),
    /// Write Kafka topics to the lake as Parquet, exactly once
    Stream(StreamArgs),
    /// Put the catalogue of songs into the lake
    Songs(SongsArgs),
    /// DAGs: list, show, pause, validate, test, next, schema
    #[command(subcommand)]
    Dag(DagCommand),
    /// Kinds of tasks: list, show
    #[command(subcommand)]
    Kind(KindCommand),
    /// Runs: trigger, list, show, logs, cancel, clear, mark, rerun
    #[command(subcommand)]
    Run(RunCommand),
    /// Past ticks: plan what would run, run it, follow it
    #[command(subcommand)]
    Backfill(BackfillCommand),
    /// Limits over all dags
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Questions of tasks to people
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// Named pieces of data: who writes, reads and waits for them
    #[command(subcommand)]
    Asset(AssetCommand),
    /// SQL models: list, compile
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Compare generated events, Kafka offsets, lake, staging and fact rows, per topic and hour
    Reconcile,
    /// Ask the warehouse, wherever it is open: one query that only reads
    Sql { query: String },
    /// Bring the database schema up to date
    Migrate,
    /// The database: prune
    #[command(subcommand)]
    Db(DbCommand),
    /// Make a user, or change its role and password; the password is asked for, or read from standard input
    User {
        name: String,
        /// viewer reads, operator triggers, cancels, clears and pauses, admin may do everything
        #[arg(long, default_value = "viewer")]
        role: String,
    },
    /// Print a link that logs a browser in as admin, once
    Login,
    /// Print the effective configuration and where each value comes from
    Config {
        /// Print the reference of all settings, variables and flags instead, as Markdown
        #[arg(long)]
        reference: bool,
    },
    /// Look for what is wrong and say what to do
    Doctor,
    /// Is the node of this machine alive? One line and the exit status, for health checks of containers
    Health(HealthArgs),
}

impl Command {
    /// Servers log to standard error by default; commands stay quiet.
    pub fn is_server(&self) -> bool {
        matches!(
            self,
            Command::Up(_)
                | Command::Node(_)
                | Command::Broker(_)
                | Command::Generate(_)
                | Command::Stream(_)
        )
    }

    /// It is about a platform that exists: which one is a matter of settings.
    pub fn asks_a_platform(&self) -> bool {
        let dag = |command: &DagCommand| {
            use DagCommand::{List, Pause, Show, Ticks, Unpause};
            matches!(command, List | Show { .. } | Pause(_) | Unpause(_) | Ticks { .. })
        };
        match self {
            Command::Run(_)
            | Command::Backfill(_)
            | Command::Pool(_)
            | Command::Approval(_)
            | Command::Asset(_)
            | Command::Reconcile
            | Command::Sql { .. }
            | Command::Db(_)
            | Command::User { .. }
            | Command::Login => true,
            Command::Dag(command) => dag(command),
            _ => false,
        }
    }
}

#[derive(Subcommand)]
pub enum KindCommand {
    /// All kinds that `uses:` takes, also those in the folder `kinds` of the dags folder
    List,
    /// What one kind takes in `with:`
    Show { kind: String },
}

#[derive(Args, Clone, Default)]
pub struct PipelineArgs {
    /// Users of the simulated music service
    #[arg(long)]
    pub users: Option<u32>,
    /// Songs CSV (Million Song Dataset layout), path or URL [default: a synthetic catalogue]
    #[arg(long)]
    pub songs: Option<String>,
    /// Hours of history to begin with
    #[arg(long)]
    pub history_hours: Option<u32>,
    /// Seconds between two commits of the streaming job
    #[arg(long)]
    pub stream_every: Option<u32>,
}

#[derive(Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Port of the web UI; 0 takes any free one
    #[arg(long)]
    pub port: Option<u16>,
    /// Address of the web UI
    #[arg(long)]
    pub host: Option<std::net::IpAddr>,
    /// Start over: remove all state first, after asking
    #[arg(long)]
    pub fresh: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Run the pipeline over a bounded history, print the reconciliation, and end with status 0 only if every figure agrees
    #[arg(long)]
    pub once: bool,
}

#[derive(Args)]
pub struct NodeArgs {
    /// Without the scheduler's loops
    #[arg(long)]
    pub no_scheduler: bool,
    /// Without executing tasks
    #[arg(long)]
    pub no_worker: bool,
    /// Without pages and API
    #[arg(long)]
    pub no_web: bool,
    /// Leave the embedded warehouse to another node, and with it the tasks that need it
    #[arg(long)]
    pub no_warehouse: bool,
    /// Port of the web UI; 0 takes any free one
    #[arg(long)]
    pub port: Option<u16>,
    /// Address of the web UI
    #[arg(long)]
    pub host: Option<std::net::IpAddr>,
}

#[derive(Args)]
pub struct HealthArgs {
    /// Ask this node, wherever it is [default: the one of this machine, by the shared database and its own pages]
    #[arg(long)]
    pub url: Option<String>,
}

#[derive(Args)]
pub struct PauseArgs {
    pub dag: String,
    /// Why, for the audit log
    #[arg(long, default_value = "")]
    pub reason: String,
}

#[derive(Args)]
pub struct BrokerArgs {
    /// Address to listen on; loopback only
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub listen: SocketAddr,
    /// Folder for topics and offsets
    #[arg(long)]
    pub folder: PathBuf,
    /// Keep records at least this many hours
    #[arg(long)]
    pub retention_hours: Option<u64>,
}

#[derive(Args)]
pub struct GenerateArgs {
    /// Kafka brokers, host:port,... [default: as configured]
    #[arg(long)]
    pub brokers: Option<String>,
    /// Configuration in Eventsim's format [default: built in]
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Songs CSV (Million Song Dataset layout), path or URL [default: a synthetic catalogue]
    #[arg(long)]
    pub songs: Option<String>,
    /// Users at the start
    #[arg(long)]
    pub users: Option<u32>,
    /// Seed of all randomness
    #[arg(long)]
    pub seed: Option<u64>,
    /// First instant of the history (RFC 3339)
    #[arg(long)]
    pub from: Option<DateTime<Utc>>,
    /// Full hours of history, where neither --from nor an earlier run says when it begins
    #[arg(long, default_value_t = 24)]
    pub history_hours: u32,
    /// End of the history [default: now]
    #[arg(long)]
    pub to: Option<DateTime<Utc>>,
    /// Go on in real time after the history
    #[arg(long)]
    pub continuous: bool,
    /// Write JSON lines into this folder instead of Kafka
    #[arg(long, conflicts_with_all = ["brokers", "continuous"])]
    pub files: Option<PathBuf>,
    /// Tell status as JSON lines on standard output (for the engine)
    #[arg(long, hide = true)]
    pub status_lines: bool,
}

#[derive(Args)]
pub struct StreamArgs {
    /// Kafka brokers, host:port,... [default: as configured]
    #[arg(long)]
    pub brokers: Option<String>,
    /// Lake: a folder or an object store URL [default: as configured]
    #[arg(long)]
    pub lake: Option<String>,
    /// Folder with a schema for each topic
    #[arg(long)]
    pub schemas: PathBuf,
    /// Most seconds between two commits
    #[arg(long, default_value_t = 120)]
    pub every: u64,
    /// Consumer group, for lag tools
    #[arg(long, default_value = "streamify-stream")]
    pub group: String,
    /// Tell status as JSON lines on standard output (for the engine)
    #[arg(long, hide = true)]
    pub status_lines: bool,
}

#[derive(Args)]
pub struct SongsArgs {
    /// Songs CSV (Million Song Dataset layout), path or URL; empty for a synthetic catalogue
    #[arg(long, default_value = "")]
    pub songs: String,
}

#[derive(Subcommand)]
pub enum DagCommand {
    /// DAGs known to the running platform
    List,
    /// One DAG: its tasks, its schedule, its last runs
    Show { dag: String },
    /// Let no further scheduled run start
    Pause(PauseArgs),
    /// Let scheduled runs start again
    Unpause(PauseArgs),
    /// Check DAG files and print every problem
    Validate {
        /// Files or folders [default: the dags folder]
        paths: Vec<PathBuf>,
    },
    /// The next ticks of a DAG and the windows they are about
    Next {
        dag: String,
        #[arg(long, short, default_value_t = 5)]
        count: usize,
        /// Ticks after this instant (RFC 3339) [default: now]
        #[arg(long)]
        after: Option<DateTime<Utc>>,
    },
    /// Play the cases of test files (*.test.yaml) and compare with what they expect; needs no platform
    Test {
        /// Files or folders [default: the dags folder]
        paths: Vec<PathBuf>,
    },
    /// The tick ledger: when it should have fired, and what came of it
    Ticks {
        dag: String,
        #[arg(long, short, default_value_t = 30)]
        count: i64,
    },
    /// Print the JSON Schema of DAG files
    Schema,
}

#[derive(Subcommand)]
pub enum ModelsCommand {
    /// Models, seeds and tests of a project
    List { project: PathBuf },
    /// The SQL that a model would run
    Compile { project: PathBuf, model: String },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
