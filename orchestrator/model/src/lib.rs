//! The words of the orchestrator and its decisions, pure: YAML to a checked [`Dag`], schedules, windows, templates, states, and
//! [`decide`], which says what should happen next. Time, randomness and ids are arguments.
//!
//! Not here: IO, clocks, SQL, HTTP, an async runtime.

pub mod archive;
pub mod check;
pub mod clock;
pub mod dag;
pub mod decide;
pub mod duration;
pub mod ending;
pub mod for_each;
#[cfg(test)]
mod fuzz_tests;
pub mod notify;
pub mod params;
pub mod platform;
pub mod probe;
pub mod problem;
pub mod registry;
pub mod retry;
pub mod schedule;
pub mod simulate;
pub mod spec;
pub mod state;
pub mod suggest;
pub mod task;
pub mod template;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod trigger_rule;
pub mod window;

pub use check::{CheckResult, CheckStatus, Severity};
pub use clock::{Clock, FixedClock};
pub use dag::Dag;
pub use decide::{Command, RunSnapshot, TaskSnapshot, decide};
pub use ending::Ending;
pub use problem::Problem;
pub use registry::Registry;
pub use state::{RunState, TaskState};
pub use task::{Outcome, Sink, Task, TaskContext, TaskError};
pub use trigger_rule::TriggerRule;
pub use window::Window;
