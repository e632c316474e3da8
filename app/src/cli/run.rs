//! Words of `streamify run`.

use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

#[derive(Subcommand)]
pub enum RunCommand {
    /// Start a run now
    Trigger {
        dag: String,
        /// Parameter, as name=value; the value is read as JSON if it is JSON
        #[arg(long = "param", short, value_name = "NAME=VALUE")]
        params: Vec<String>,
        #[arg(long)]
        run_id: Option<String>,
        /// Wait for its end, telling what it waits for; exit status 0 is success, 1 another end
        #[arg(long)]
        wait: bool,
        /// With --wait: stop waiting after so long (10m), with exit status 124; the run goes on
        #[arg(long, value_name = "LENGTH", requires = "wait", value_parser = model::duration::parse)]
        timeout: Option<Duration>,
        /// Why, for the audit log
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Runs, newest first
    List {
        dag: Option<String>,
        #[arg(long, short, default_value_t = 20)]
        limit: i64,
    },
    /// A run with its tasks: what they did, and what those that wait wait for
    Show {
        dag: String,
        run_id: String,
        /// Only this task, with its attempts
        #[arg(long)]
        task: Option<String>,
        /// Most instances shown
        #[arg(long, short, default_value_t = 200)]
        limit: i64,
    },
    /// Lines of an attempt
    Logs {
        dag: String,
        run_id: String,
        task: String,
        /// [default: the newest]
        #[arg(long = "try")]
        try_number: Option<i32>,
        /// Which item of a for_each
        #[arg(long)]
        map_index: Option<i32>,
        /// Go on while it runs
        #[arg(long, short)]
        follow: bool,
    },
    /// Ask a run to stop
    Cancel {
        dag: String,
        run_id: String,
        /// Why, for the audit log
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Run tasks of a run again, or all of them
    Clear(ClearArgs),
    /// Say how tasks ended, or (without --task) the run; what follows goes on from there
    Mark(MarkArgs),
    /// Start a new run like an old one: same window and parameters, newest version. (The same run again is `run clear`)
    Rerun(RerunArgs),
}

#[derive(Args)]
pub struct ClearArgs {
    pub dag: String,
    pub run_id: String,
    /// Task or group; may be given several times [default: all tasks]
    #[arg(long = "task", short, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Only this item of the named tasks; may be given several times
    #[arg(long = "map-index", requires = "tasks")]
    pub map_indexes: Vec<i32>,
    /// Also what comes before the named tasks
    #[arg(long, requires = "tasks")]
    pub upstream: bool,
    /// Also what comes after them
    #[arg(long, requires = "tasks")]
    pub downstream: bool,
    /// Of these only what failed, or never ran because of that
    #[arg(long)]
    pub only_failed: bool,
    /// Only say what would run again
    #[arg(long)]
    pub dry_run: bool,
    /// On the newest version of the dag
    #[arg(long)]
    pub newest_version: bool,
    /// Parameter that changes, as name=value; the others stay
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Why, for the audit log
    #[arg(long, default_value = "")]
    pub reason: String,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum MarkState {
    Success,
    Failed,
    Skipped,
}

#[derive(Args)]
pub struct MarkArgs {
    pub dag: String,
    pub run_id: String,
    pub state: MarkState,
    /// Task or group; may be given several times [default: the run itself]
    #[arg(long = "task", short, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Only this item of the named tasks
    #[arg(long, requires = "tasks")]
    pub map_index: Option<i32>,
    /// Also what comes before the named tasks
    #[arg(long, requires = "tasks")]
    pub upstream: bool,
    /// Also what comes after them
    #[arg(long, requires = "tasks")]
    pub downstream: bool,
    /// Also in all earlier runs
    #[arg(long, requires = "tasks")]
    pub past: bool,
    /// Also in all later runs
    #[arg(long, requires = "tasks")]
    pub future: bool,
    /// Only say what would be marked
    #[arg(long, requires = "tasks")]
    pub dry_run: bool,
    /// Why, for the audit log
    #[arg(long, default_value = "")]
    pub reason: String,
}

#[derive(Args)]
pub struct RerunArgs {
    pub dag: String,
    /// The old run
    pub run_id: String,
    /// Parameter that changes, as name=value; the others are as in the old run
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Id of the new run
    #[arg(long)]
    pub new_run_id: Option<String>,
    /// On the version that the old run had
    #[arg(long)]
    pub same_version: bool,
    /// Wait for its end, telling what it waits for; exit status 0 is success, 1 another end
    #[arg(long)]
    pub wait: bool,
    /// With --wait: stop waiting after so long (10m), with exit status 124; the run goes on
    #[arg(long, value_name = "LENGTH", requires = "wait", value_parser = model::duration::parse)]
    pub timeout: Option<Duration>,
    /// Why, for the audit log
    #[arg(long, default_value = "")]
    pub reason: String,
}
