//! `cargo xtask bench`: the release binary as a node on a real Postgres (`fsync` on), measured from outside.
//!
//! Each figure stands beside the time of a durable one-row update on the same Postgres in the same minutes: machines differ, ratios
//! stay.

mod airflow;
mod dags;
mod growth;
mod http;
mod node;
mod targets;
mod waits;
mod yardstick;

use crate::ci::{built, cargo};
use anyhow::{Result, bail};
use std::path::Path;

pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let what = arguments.first().map(String::as_str);
    if !matches!(what, None | Some("targets" | "growth" | "airflow")) {
        bail!(
            "bench what? `targets`, `growth` (of all, or `dags`, `tasks`, `runs` or `history`) or `airflow`"
        );
    }
    cargo(root, &["build", "--release", "--package", "app"])?;
    let program = built(root, "release")?;
    match what {
        Some("targets") => targets::run(&program),
        Some("growth") => growth::run(&program, arguments.get(1).map(String::as_str)),
        Some(_) => airflow::run(root, &program),
        None => targets::run(&program).and_then(|()| growth::run(&program, None)),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
