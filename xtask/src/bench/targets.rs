//! The targets of the design, row by row.

use super::http;
use super::node::{Bench, Node, SLOTS};
use super::yardstick::{self, Yardstick};
use super::{dags, median, waits};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Instant;

const PROCESS: &str = "uses: process, with: { command: [\"true\"] }";

pub fn run(program: &Path) -> Result<()> {
    let bench = Bench::begin(program)?;
    let node = bench.node()?;
    let start = node.start;
    let first = yardstick::measure(&bench.psql, &bench.folder)?;
    println!(
        "one durable one-row update: {:.2} ms; eight clients: {:.0} commits/s",
        first.commit * 1e3,
        first.commits_a_second
    );
    println!("one node, {SLOTS} task slots, Postgres with fsync on, release build\n");
    println!("| what | figure | in commits of this Postgres | target |\n|---|---|---|---|");
    idle(&bench, &node, start)?;
    chains(&bench, &node, &first)?;
    layers(&bench, &node, &first)?;
    throughput(&bench, &node, &first)?;
    trigger(&bench, &node, &first)?;
    grid(&bench, &node)?;
    waits::run(&bench, &node)?;
    node.stop()?;
    files(&bench)?;
    let last = yardstick::measure(&bench.psql, &bench.folder)?;
    println!(
        "\nthe same update at the end: {:.2} ms; eight clients: {:.0} commits/s",
        last.commit * 1e3,
        last.commits_a_second
    );
    bench.end()
}

pub fn row(what: &str, figure: &str, commits: &str, target: &str) {
    println!("| {what} | {figure} | {commits} | {target} |");
}

/// Seconds from start to end of each run of the dag.
fn durations(bench: &Bench, dag: &str) -> Result<Vec<f64>> {
    let rows = bench.psql.ask(&format!(
        "select extract(epoch from ended_at - started_at) from runs where dag_id = '{dag}' order by id"
    ))?;
    rows.iter().map(|row| row.parse::<f64>().context("a duration")).collect()
}

fn runs(bench: &Bench, node: &Node, dag: &str, count: usize) -> Result<Vec<f64>> {
    for number in 1..=count {
        node.trigger(dag, &format!("r{number}"))?;
        bench.until_done(dag, number)?;
    }
    durations(bench, dag)
}

fn idle(bench: &Bench, node: &Node, start: f64) -> Result<()> {
    // The first look at the folder, the first heartbeats.
    bench.until("select count(*) from nodes where last_seen_at > registered_at", |count| count >= 1.0)?;
    row("idle memory of a node", &format!("{:.0} MB", node.memory()?), "", "60 MB");
    row("start to healthy", &format!("{start:.2} s"), "", "1 s");
    Ok(())
}

fn chains(bench: &Bench, node: &Node, yardstick: &Yardstick) -> Result<()> {
    for (id, uses, name, target) in [
        ("chain", "uses: empty", "in process", "0.1 s"),
        ("chain_process", PROCESS, "child processes", "0.3 s"),
    ] {
        bench.add(id, &dags::chain(id, 40, uses))?;
        let seconds = median(runs(bench, node, id, 15)?);
        let commits = |seconds: f64| format!("{:.1}", seconds / yardstick.commit);
        row(
            &format!("40 sequential tasks, {name}, median of 15"),
            &format!("{seconds:.3} s"),
            &commits(seconds),
            target,
        );
        if id == "chain" {
            let gap = seconds / 40.0;
            row(
                "gap from a task's end to its successor's start",
                &format!("{:.2} ms", gap * 1e3),
                &commits(gap),
                "3 commits",
            );
        }
    }
    Ok(())
}

fn layers(bench: &Bench, node: &Node, yardstick: &Yardstick) -> Result<()> {
    bench.add("layers", &dags::layers("layers", 10, 100))?;
    let seconds = median(runs(bench, node, "layers", 9)?);
    row(
        "1,000 no-op tasks in 10 layers of 100, median of 9",
        &format!("{seconds:.3} s"),
        &format!("{:.0}", seconds / yardstick.commit),
        "0.3 s",
    );
    Ok(())
}

fn throughput(bench: &Bench, node: &Node, yardstick: &Yardstick) -> Result<()> {
    const RUNS: usize = 50;
    const TASKS: usize = 1000;
    bench.add("wide", &dags::wide("wide", TASKS))?;
    for number in 1..=RUNS {
        node.trigger("wide", &format!("r{number}"))?;
    }
    bench.until_done("wide", RUNS)?;
    let seconds = bench.psql.figure(
        "select extract(epoch from max(ended_at) - min(started_at)) from runs where dag_id = 'wide'",
    )?;
    let rate = (RUNS * TASKS) as f64 / seconds;
    row(
        &format!("sustained no-op tasks a second ({RUNS} runs of {TASKS})"),
        &format!("{rate:.0}/s"),
        &format!("{:.2} x the unbatched commit rate", rate / yardstick.commits_a_second),
        "10,000/s, 2 x",
    );
    Ok(())
}

fn trigger(bench: &Bench, node: &Node, yardstick: &Yardstick) -> Result<()> {
    bench.add("one", &dags::chain("one", 1, "uses: process, with: { command: [date] }"))?;
    for number in 1..=50 {
        node.trigger("one", &format!("r{number}"))?;
        bench.until_done("one", number)?;
    }
    let middle = |what: &str, from: &str| -> Result<f64> {
        bench.psql.figure(&format!(
            "select percentile_cont(0.5) within group (order by extract(epoch from {what} - r.queued_at)) from runs r {from} where r.dag_id = 'one'"
        ))
    };
    let start = middle("a.started_at", "join attempt_history a on a.run = r.id")?;
    let line = middle(
        "l.at",
        "join attempt_history a on a.run = r.id join logs l on l.attempt_id = a.id and l.seq = 0",
    )?;
    row(
        "REST trigger to the first task's claim, median of 50",
        &format!("{:.1} ms", start * 1e3),
        &format!("{:.1}", start / yardstick.commit),
        "10 ms",
    );
    row(
        "REST trigger to the first line that the task's process wrote",
        &format!("{:.1} ms", line * 1e3),
        &format!("{:.1}", line / yardstick.commit),
        "",
    );
    Ok(())
}

fn grid(bench: &Bench, node: &Node) -> Result<()> {
    bench.add("old", &dags::chain("old", 5, "uses: empty"))?;
    bench.psql.ask(
        "insert into runs (dag_id, run_id, version_id, run_type, state, logical_date, run_after, params, requested_by, queued_at, started_at, ended_at)
         select 'old', 'h' || n, version_id, 'manual', 'success', at, at, '{}', 'bench', at, at, at + interval '1 second'
         from dags, generate_series(1, 10000) n, lateral (select now() - n * interval '1 hour' as at) t where dag_id = 'old';
         insert into task_instances (run, task, map_index, task_id, state, try_number, started_at, ended_at)
         select id, task, -1, 't' || task, 'success', 1, started_at, ended_at from runs, generate_series(0, 4) task where dag_id = 'old';
         analyze",
    )?;
    let mut seconds = Vec::new();
    for _ in 0..31 {
        seconds.push(http::get(&node.address, "/dags/old")?.seconds);
    }
    row(
        "grid page of a dag with 10,000 runs, median of 31",
        &format!("{:.1} ms", median(seconds) * 1e3),
        "",
        "50 ms",
    );
    Ok(())
}

fn files(bench: &Bench) -> Result<()> {
    const FILES: usize = 10_000;
    for number in 0..FILES {
        let id = format!("f{number}");
        dags::write(&bench.dags, &id, &dags::chain(&id, 5, PROCESS))?;
    }
    let began = Instant::now();
    let status = bench.command().args(["dag", "validate"]).stdout(std::process::Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "the files are not valid");
    row("10,000 dag files: load and check", &format!("{:.2} s", began.elapsed().as_secs_f64()), "", "2 s");
    let began = Instant::now();
    let node = bench.node()?;
    bench.until("select count(*) from dags where dag_id like 'f%' and version_id is not null", |count| {
        count >= FILES as f64
    })?;
    row("the same, until all stand in the store", &format!("{:.2} s", began.elapsed().as_secs_f64()), "", "");
    let mut seconds = Vec::new();
    for number in 0..9 {
        let id = format!("f{}", 1000 + number);
        let text = dags::chain(&id, 6, PROCESS);
        let began = Instant::now();
        dags::write(&bench.dags, &id, &text)?;
        let versions = format!("select count(*) from dag_versions where dag_id = '{id}'");
        while bench.psql.figure(&versions)? < 2.0 {}
        seconds.push(began.elapsed().as_secs_f64());
    }
    row(
        "one changed file of 10,000, until its version stands in the store",
        &format!("{:.0} ms", median(seconds) * 1e3),
        "",
        "50 ms",
    );
    row("memory with 10,000 dags", &format!("{:.0} MB", node.memory()?), "", "");
    node.stop()
}
