//! One command is CI: each step printed with its time, the first failure ends it. What was skipped is told at the end.

use crate::skips::Report;
use crate::{chaos, deploy, terraform, tidy, tools, workflows};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The variables of cargo that a person sets.
const KEPT: [&str; 4] = ["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_BUILD_JOBS", "CARGO_TERM_COLOR"];

/// (what prints it, where it is committed)
const GENERATED: [(&[&str], &str); 2] =
    [(&["dag", "schema"], "dags/dag.schema.json"), (&["config", "--reference"], "docs/ops/configure.md")];

/// Of faults to real nodes; ten minutes of it are for the night.
const CHAOS_SECONDS: u64 = 40;

pub fn run(root: &Path) -> Result<()> {
    let start = Instant::now();
    let report = Report::new();
    let outcome = steps(root, &report);
    report.print()?;
    outcome?;
    eprintln!("ci: all green in {} s", start.elapsed().as_secs());
    Ok(())
}

fn steps(root: &Path, report: &Report) -> Result<()> {
    step("format", || cargo(root, &["fmt", "--all", "--check"]))?;
    step("tidy", || tidy::run(root))?;
    step("clippy", || {
        cargo(root, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
    })?;
    step("build", || cargo(root, &["build", "--workspace"]))?;
    step("checkers", || tools::run(root, &[]))?;
    step("workflows", || workflows::run(root).and_then(|()| workflows::alerts(root)))?;
    step("container files", || deploy::run(root))?;
    step("terraform", || terraform::run(root, &["--quick".to_string()]))?;
    step("generated files", || generated(root))?;
    step("tests", || cargo_with(root, &["test", "--workspace", "--no-fail-fast"], &[report.variable()]))?;
    step("chaos", || chaos::run(root, &["engine".to_string(), CHAOS_SECONDS.to_string()]))?;
    step("smoke", || smoke(root))
}

/// The whole pipeline over 24 hours of events; it ends with status 0 only when every figure agrees.
pub fn smoke(root: &Path) -> Result<()> {
    cargo(root, &["build", "--package", "app"])?;
    let folder = std::env::temp_dir().join(format!("streamify-smoke-{}", std::process::id()));
    let run = |program: &Path| {
        Command::new(program)
            .current_dir(root)
            .args(["up", "--once", "--port", "0", "--data"])
            .arg(&folder)
            .status()
            .context("cannot start the smoke run")
    };
    let status = run(&binary(root)?)?;
    if !status.success() {
        bail!("the smoke run failed ({status}); its data and logs are in {}", folder.display());
    }
    let _ = std::fs::remove_dir_all(&folder);
    Ok(())
}

/// What is generated and committed must be what the code generates.
fn generated(root: &Path) -> Result<()> {
    for (arguments, path) in GENERATED {
        let output = Command::new(binary(root)?).current_dir(root).args(arguments).output()?;
        let committed = std::fs::read(root.join(path)).with_context(|| path.to_string())?;
        if !output.status.success() || output.stdout != committed {
            bail!("{path} is stale; run `streamify {} > {path}`", arguments.join(" "));
        }
    }
    Ok(())
}

pub fn binary(root: &Path) -> Result<PathBuf> {
    built(root, "debug")
}

/// The binary of a profile (`debug`, `release`).
pub fn built(root: &Path, profile: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let binary = root.join(target).join(profile).join("streamify");
    if !binary.is_file() {
        bail!("{} is missing; run `cargo build`", binary.display());
    }
    Ok(binary)
}

pub fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    cargo_with(root, arguments, &[])
}

/// With variables for what cargo starts.
pub fn cargo_with(root: &Path, arguments: &[&str], variables: &[(&str, String)]) -> Result<()> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_string());
    let mut command = Command::new(program);
    // What `cargo run` told this program about itself would make build scripts run again.
    let told = std::env::vars().map(|(name, _)| name);
    for name in told.filter(|name| name.starts_with("CARGO_") && !KEPT.contains(&name.as_str())) {
        command.env_remove(name);
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let status = command.current_dir(root).args(arguments).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("`cargo {}` failed", arguments.join(" "));
    }
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("ci: {name} ...");
    let start = Instant::now();
    work().with_context(|| format!("ci: {name} failed"))?;
    eprintln!("ci: {name} ok, {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
