//! The loops that make runs happen: files become dag versions, ticks become runs, runs advance, attempts are executed.
//!
//! ```text
//! dags folder -> dagbag -> versions      planner: schedule -> ledger rows and runs
//! triggers: continuous dags, assets -> runs      deadlines, notifier: people are told
//! driver: queued runs start, due runs advance      worker: claim -> attempt -> finish -> claimed successors
//! lease: heartbeats out, stop orders in      sweep: deadlines and the fence      reaper: dead nodes given up
//! ```
//!
//! Each loop is a `tick()` without input that may be repeated at any time; a bell or a timer calls it. What survives a crash is in
//! the store; everything here can be thrown away at any instruction.
//!
//! Not here: what a task does (kinds come as a [`model::Registry`]), SQL, HTTP, and decisions about states (`model::decide`).

mod attempt;
mod bell;
mod calls;
mod config;
mod context;
mod dagbag;
mod deadlines;
mod driver;
mod duty;
mod error;
mod finisher;
mod lease;
mod live;
mod logship;
mod mask;
mod node;
mod notifier;
mod outputs;
mod planner;
mod platform;
mod probes;
mod realm;
mod reaper;
mod report;
mod retention;
mod rounds;
mod routes;
mod rows;
mod sink;
mod slots;
mod stats;
mod store_clock;
mod supervisor;
mod suspects;
mod sweep;
mod trace;
mod triggers;
mod worker;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

pub use calls::{Bound, CallFigures};
pub use config::{EngineConfig, Routes};
pub use dagbag::{dag_files, registry_of, test_files};
pub use error::{Error, Result};
pub use stats::{LoopFigures, Stats, StatsSnapshot};
pub use store_clock::{Reference, StoreClock};
pub use supervisor::{Engine, Report};
