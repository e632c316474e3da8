//! `cargo xtask chaos`: the real thing under real faults, at moments that a printed seed decides.
//!
//! * `engine`: several nodes, each behind a wire of its own that is cut, slowed, and loses replies; nodes and tasks are killed and
//!   stopped, Postgres restarts every few seconds. Afterwards the rows and what the tasks did must agree.
//! * `pipeline`: `streamify up` while it loads its history; node, Postgres and broker are killed. Afterwards every layer has every event.

mod dags;
mod dice;
mod engine;
mod nodes;
mod pipeline;
mod processes;
mod proxy;
pub mod task;
pub mod upgrade;
mod verdict;

use anyhow::{Result, bail};
use std::path::Path;

pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let amount = |default: u64| match arguments.get(1).map(|text| text.parse::<u64>()) {
        None => Ok(default),
        Some(Ok(amount)) => Ok(amount),
        Some(Err(error)) => bail!("{:?}: {error}", arguments[1]),
    };
    match arguments.first().map(String::as_str) {
        Some("engine") => engine::run(root, amount(engine::SECONDS)?),
        Some("pipeline") => pipeline::run(root, amount(pipeline::KILLS)?),
        None => {
            engine::run(root, engine::SECONDS)?;
            pipeline::run(root, pipeline::KILLS)
        }
        Some(other) => bail!("chaos of what? `engine [seconds]` or `pipeline [kills]`, not `{other}`"),
    }
}
