//! The same shapes on Apache Airflow and on Streamify, by turns, on one Postgres: `benches/airflow` measures Airflow.

use super::node::{Bench, Node};
use super::{dags, median};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROCESS: &str = "uses: process, with: { command: [\"true\"] }";
/// Airflow as it comes, and with its scheduler's pause cut to a twentieth.
const IDLE_SLEEPS: [&str; 2] = ["1", "0.05"];
const CHAINS: usize = 5;

/// What is measured: its name in the JSON of `measure.py`, for people, and its unit.
const SHAPES: [(&str, &str, f64, &str); 7] = [
    ("chain_python", "40 sequential tasks in process", 1.0, "s"),
    ("chain_process", "40 sequential child processes", 1.0, "s"),
    ("chain_process_gap", "gap between two of them", 1e3, "ms"),
    ("parallel", "100 parallel child processes", 1.0, "s"),
    ("trigger", "REST trigger to the first start", 1e3, "ms"),
    ("memory", "idle memory", 1.0, "MB"),
    ("start", "start to healthy", 1.0, "s"),
];

pub fn run(root: &Path, program: &Path) -> Result<()> {
    let venv = venv(root)?;
    let bench = Bench::begin(program)?;
    bench.psql.ask("create database airflow")?;
    let ours = ours(&bench)?;
    let mut theirs = Vec::new();
    for (turn, idle_sleep) in IDLE_SLEEPS.iter().enumerate() {
        eprintln!("bench: Apache Airflow, scheduler_idle_sleep_time {idle_sleep}");
        let database = bench.psql.url.rsplit_once('/').context("a database")?.0.to_string() + "/airflow";
        let output = Command::new("python3")
            .arg(root.join("benches/airflow/measure.py"))
            .arg(&venv)
            .arg(bench.folder.join(format!("airflow-{turn}")))
            .args([&database, *idle_sleep])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!("Airflow could not be measured; its logs are in {}", bench.folder.display());
        }
        theirs.push(serde_json::from_slice::<Value>(&output.stdout)?);
    }
    let again = self::ours(&bench)?;
    println!(
        "| shape | Streamify (before, after) | Airflow 3.3.2 | tuned | ratio | tuned |\n|---|---|---|---|---|---|"
    );
    for (key, name, scale, unit) in SHAPES {
        let figure = |value: &Value| value[key].as_f64().unwrap_or(f64::NAN) * scale;
        let (before, after) = (figure(&ours), figure(&again));
        let (plain, tuned) = (figure(&theirs[0]), figure(&theirs[1]));
        let mean = (before + after) / 2.0;
        println!(
            "| {name} | {before:.3}, {after:.3} {unit} | {plain:.3} {unit} | {tuned:.3} {unit} | {:.0} | {:.0} |",
            plain / mean,
            tuned / mean
        );
    }
    bench.end()
}

/// Made once, outside the clone.
fn venv(root: &Path) -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("HOME is not set")?;
    let venv = cache.join("streamify/airflow");
    if venv.join("bin/airflow").is_file() {
        return Ok(venv);
    }
    eprintln!("bench: installing Apache Airflow in {}", venv.display());
    let done = |command: &mut Command| -> Result<()> {
        if !command.status()?.success() {
            bail!("Airflow cannot be installed: {command:?}");
        }
        Ok(())
    };
    done(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let requirements = root.join("benches/airflow/requirements.txt");
    done(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(requirements))?;
    Ok(venv)
}

fn ours(bench: &Bench) -> Result<Value> {
    let node = bench.node()?;
    bench.add("chain_python", &dags::chain("chain_python", 40, "uses: empty"))?;
    bench.add("chain_process", &dags::chain("chain_process", 40, PROCESS))?;
    bench.add("one", &dags::chain("one", 1, PROCESS))?;
    bench.add("parallel", &dags::wide("parallel", 100).replace("uses: empty", PROCESS))?;
    let memory = node.memory()?;
    // The first run of all warms what is cold on both sides.
    timed(bench, &node, "one", 1)?;
    let trigger = bench_trigger(bench, &node)?;
    let python = median(timed(bench, &node, "chain_python", CHAINS)?);
    let process = median(timed(bench, &node, "chain_process", CHAINS)?);
    let parallel = median(timed(bench, &node, "parallel", CHAINS)?);
    // Everything between two tasks is in it, and the process itself.
    let gap = process / 40.0;
    let figures = serde_json::json!({
        "chain_python": python, "chain_process": process, "chain_process_gap": gap,
        "parallel": parallel, "trigger": trigger, "memory": memory, "start": node.start,
    });
    node.stop()?;
    Ok(figures)
}

/// From the request to the end of the last task, of each run.
fn timed(bench: &Bench, node: &Node, dag: &str, count: usize) -> Result<Vec<f64>> {
    let there = bench.psql.figure(&format!("select count(*) from runs where dag_id = '{dag}'"))? as usize;
    for number in there + 1..=there + count {
        node.trigger(dag, &format!("r{number}"))?;
        bench.until_done(dag, number)?;
    }
    let rows = bench.psql.ask(&format!(
        "select extract(epoch from ended_at - queued_at) from runs where dag_id = '{dag}' order by id desc limit {count}"
    ))?;
    rows.iter().map(|row| row.parse::<f64>().context("a duration")).collect()
}

fn bench_trigger(bench: &Bench, node: &Node) -> Result<f64> {
    timed(bench, node, "one", 20)?;
    bench.psql.figure(
        "select percentile_cont(0.5) within group (order by extract(epoch from a.started_at - r.queued_at))
         from runs r join attempt_history a on a.run = r.id where r.dag_id = 'one'",
    )
}
