//! How cost grows: more dags, larger runs, more runs at once, more history. Time, memory, and the rows that Postgres touched.

use super::node::{Bench, Node};
use super::{dags, http, median};
use anyhow::{Result, bail};
use std::path::Path;
use std::time::Instant;

/// Rows read by any plan or written, over all tables.
const ROWS: &str = "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0) + n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_user_tables";

type Table = fn(&Path) -> Result<()>;

/// All tables, or the one that is named.
pub fn run(program: &Path, only: Option<&str>) -> Result<()> {
    let tables: [(&str, Table); 4] =
        [("dags", many_dags), ("tasks", large_runs), ("runs", many_runs), ("history", history)];
    let names = tables.map(|(name, _)| name);
    if let Some(unknown) = only.filter(|only| !names.contains(only)) {
        bail!("growth of what? of {}, not of '{unknown}'", names.join(", "));
    }
    for (_, table) in tables.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        table(program)?;
    }
    Ok(())
}

fn rows_touched(bench: &Bench) -> Result<f64> {
    // Sessions tell their figures when they have been idle for a moment.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    bench.psql.figure(ROWS)
}

fn timed(bench: &Bench, node: &Node, dag: &str, runs: usize) -> Result<(f64, f64)> {
    let before = rows_touched(bench)?;
    for number in 1..=runs {
        node.trigger(dag, &format!("r{number}"))?;
    }
    bench.until_done(dag, runs)?;
    let seconds = bench.psql.figure(&format!(
        "select extract(epoch from max(ended_at) - min(queued_at)) from runs where dag_id = '{dag}' and requested_by <> 'history'"
    ))?;
    Ok((seconds, rows_touched(bench)? - before))
}

/// The latency of one chain of ten while so many dags, each firing hourly, are there.
fn many_dags(program: &Path) -> Result<()> {
    println!(
        "\n| dags | seconds until all are known | memory | chain of 10 | rows touched by it |\n|---|---|---|---|---|"
    );
    for count in [1, 10, 100, 1000] {
        let bench = Bench::begin(program)?;
        for number in 0..count {
            let id = format!("d{number}");
            let text = dags::chain(&id, 5, "uses: empty").replacen('\n', "\nschedule: '@hourly'\n", 1);
            dags::write(&bench.dags, &id, &text)?;
        }
        let began = Instant::now();
        let node = bench.node()?;
        bench.until(
            "select count(*) from dags where dag_id like 'd%' and version_id is not null",
            |known| known >= f64::from(count),
        )?;
        let known = began.elapsed().as_secs_f64();
        // Each fires once for the hour before.
        bench.until("select count(*) from runs where state in ('queued', 'running')", |left| left == 0.0)?;
        bench.add("probe", &dags::chain("probe", 10, "uses: empty"))?;
        let (seconds, rows) = timed(&bench, &node, "probe", 1)?;
        println!("| {count} | {known:.2} | {:.0} MB | {:.1} ms | {rows:.0} |", node.memory()?, seconds * 1e3);
        node.stop()?;
        bench.end()?;
    }
    Ok(())
}

fn large_runs(program: &Path) -> Result<()> {
    println!(
        "\n| tasks in one run (layers of at most 1,000) | seconds | tasks/s | memory | rows touched a task | run page | graph page |\n|---|---|---|---|---|---|---|"
    );
    for tasks in [10_usize, 100, 1_000, 10_000, 100_000] {
        let bench = Bench::begin(program)?;
        let node = bench.node()?;
        // Of each layer one is the joint before it, the first has none.
        let layers = tasks.div_ceil(1000);
        let width = (tasks / layers) - usize::from(layers > 1);
        bench.add("large", &dags::layers("large", layers, width))?;
        let (seconds, rows) = timed(&bench, &node, "large", 1)?;
        let page = |path: &str| -> Result<f64> {
            let times: Result<Vec<f64>> =
                (0..5).map(|_| Ok(http::get(&node.address, path)?.seconds)).collect();
            Ok(median(times?) * 1e3)
        };
        let (run, graph) = (page("/dags/large/runs/r1")?, page("/dags/large/graph")?);
        println!(
            "| {tasks} | {seconds:.2} | {:.0} | {:.0} MB | {:.0} | {run:.0} ms | {graph:.0} ms |",
            tasks as f64 / seconds,
            node.memory()?,
            rows / tasks as f64
        );
        node.stop()?;
        bench.end()?;
    }
    Ok(())
}

fn many_runs(program: &Path) -> Result<()> {
    println!(
        "\n| runs of 3 tasks at once | seconds | runs/s | memory | rows touched a run |\n|---|---|---|---|---|"
    );
    for runs in [10_usize, 100, 1_000, 10_000] {
        let bench = Bench::begin(program)?;
        let node = bench.node()?;
        bench.add("small", &dags::chain("small", 3, "uses: empty"))?;
        bench.add("warm", &dags::chain("warm", 3, "uses: empty"))?;
        timed(&bench, &node, "warm", 50)?;
        // As Postgres does by itself within a minute; until then it plans with tables that are empty.
        bench.psql.ask("analyze")?;
        let (seconds, rows) = timed(&bench, &node, "small", runs)?;
        println!(
            "| {runs} | {seconds:.2} | {:.0} | {:.0} MB | {:.0} |",
            runs as f64 / seconds,
            node.memory()?,
            rows / runs as f64
        );
        node.stop()?;
        bench.end()?;
    }
    Ok(())
}

fn history(program: &Path) -> Result<()> {
    println!(
        "\n| runs of history | chain of 40 | rows touched by it | grid page | runs page | health page |\n|---|---|---|---|---|---|"
    );
    let bench = Bench::begin(program)?;
    let node = bench.node()?;
    bench.add("old", &dags::chain("old", 2, "uses: empty"))?;
    let mut there = 0;
    for (step, total) in [0_usize, 1_000, 10_000, 100_000, 1_000_000].into_iter().enumerate() {
        add_history(&bench, there, total)?;
        there = total;
        let id = format!("probe{step}");
        bench.add(&id, &dags::chain(&id, 40, "uses: empty"))?;
        let (seconds, rows) = timed(&bench, &node, &id, 1)?;
        let page = |path: &str| -> Result<f64> {
            let times: Result<Vec<f64>> =
                (0..9).map(|_| Ok(http::get(&node.address, path)?.seconds)).collect();
            Ok(median(times?) * 1e3)
        };
        println!(
            "| {total} | {:.1} ms | {rows:.0} | {:.0} ms | {:.0} ms | {:.0} ms |",
            seconds * 1e3,
            page("/dags/old")?,
            page("/dags/old/runs")?,
            page("/health")?
        );
    }
    node.stop()?;
    bench.end()
}

/// Finished runs of two tasks, as an hourly dag leaves them, made by Postgres itself.
fn add_history(bench: &Bench, from: usize, to: usize) -> Result<()> {
    if to == from {
        return Ok(());
    }
    bench.psql.ask(&format!(
        "with made as (
            insert into runs (dag_id, run_id, version_id, run_type, state, logical_date, run_after, params, requested_by, queued_at, started_at, ended_at)
            select 'old', 'h' || n, version_id, 'manual', 'success', at, at, '{{}}', 'history', at, at, at + interval '1 second'
            from dags, generate_series({from} + 1, {to}) n, lateral (select now() - n * interval '1 minute' as at) t where dag_id = 'old'
            returning id, started_at, ended_at
         ), instances as (
            insert into task_instances (run, task, map_index, task_id, state, try_number, started_at, ended_at)
            select id, task, -1, 't' || task, 'success', 1, started_at, ended_at from made, generate_series(0, 1) task
            returning run, task, started_at, ended_at
         )
         insert into attempt_history (id, run, task, map_index, try_number, is_service, queued_at, started_at, ended_at, ending, next_state)
         select 1000000000 + run * 2 + task, run, task, -1, 1, false, started_at, started_at, ended_at, 'done', 'success' from instances"
    ))?;
    bench.psql.ask("analyze")?;
    Ok(())
}
