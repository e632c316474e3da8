//! SQL models as first-class citizens: a dbt-style project, minijinja, incremental strategies and tests on data.
//!
//! [`Project::load`] reads and checks a folder; [`Project::run`] brings one node (seed, model or test) up to date in a
//! [`warehouse::Warehouse`]. Every run of an incremental model is a function of the bookkeeping in
//! `<schema>._intervals` and `<staging>._loads`, never of the clock: gaps, late hours and reruns are one mechanism.
//!
//! Not here: when nodes run (the orchestrator expands them to tasks), loading of hours, engines.

mod config;
mod error;
mod jinja;
mod project;
mod run;
mod testing;
mod yaml;

pub use error::Error;
pub use project::{ColumnDoc, Node, NodeKind, Project};
pub use run::{NodeResult, RunArgs};
