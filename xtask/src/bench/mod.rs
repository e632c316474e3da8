//! `cargo xtask bench`: the release binary as a node on a real Postgres (`fsync` on), measured from outside.
//!
//! Each figure stands beside the time of a durable one-row update on the same Postgres in the same minutes: machines differ, ratios
//! stay.

mod dags;
mod growth;
mod http;
mod node;
mod targets;
mod yardstick;

use crate::ci::{built, cargo};
use anyhow::{Result, bail};
use std::path::Path;

pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let what = arguments.first().map(String::as_str);
    if !matches!(what, None | Some("targets" | "growth")) {
        bail!("bench what? `targets` or `growth`");
    }
    cargo(root, &["build", "--release", "--package", "app"])?;
    let program = built(root, "release")?;
    if what != Some("growth") {
        targets::run(&program)?;
    }
    if what != Some("targets") {
        growth::run(&program)?;
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
