//! What must be true while it storms and afterwards, asked of the rows with `psql` and of the traces of the tasks.

use super::dags::{DAGS, POOL, SINGLE};
use super::engine::Stops;
use super::nodes::{LEASE_SECONDS, Node};
use crate::psql::Psql;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::time::{Duration, Instant};

const RECOVERY: Duration = Duration::from_secs(180);
/// What a node holds at most, as it is configured by default.
const SLOTS: u32 = 16;

/// Straight to Postgres, past the wires.
pub struct Database(pub Psql);

impl Database {
    pub fn wait_for_schema(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.0.ask("select count(*) from pools").is_err() {
            if Instant::now() > deadline {
                bail!("the first node does not make the schema");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    pub fn make_pool(&self) -> Result<()> {
        let (name, slots) = POOL;
        self.0
            .ask(&format!("insert into pools (name, slots, changed_at) values ('{name}', {slots}, now())"))?;
        Ok(())
    }

    /// Limits that hold at every instant.
    pub fn violations(&self) -> Result<Vec<String>> {
        let (pool, slots) = POOL;
        let queries = [
            format!("select 'node ' || node || ' holds ' || count(*) from attempts where state = 'running' group by node having count(*) > {SLOTS}"),
            format!("select 'pool {pool} holds ' || sum(pool_slots) from attempts where state = 'running' and pool = '{pool}' having sum(pool_slots) > {slots}"),
            "select 'dag ' || r.dag_id || ' has ' || count(*) || ' running runs' from runs r join dags d using (dag_id)
                where r.state = 'running' and r.backfill is null group by r.dag_id, d.max_active_runs having count(*) > d.max_active_runs".to_string(),
            "select 'instance ' || i.run || '/' || i.task_id || ' is ' || i.state || ' without an attempt' from task_instances i
                where i.state in ('queued', 'running') and not exists (select 1 from attempts a
                    where a.run = i.run and a.task = i.task and a.map_index = i.map_index)".to_string(),
        ];
        let mut found = Vec::new();
        for query in queries {
            found.extend(self.0.ask(&query)?);
        }
        Ok(found)
    }
}

pub fn none(when: &str, found: &[String]) -> Result<()> {
    if !found.is_empty() {
        bail!("{} violations {when}:\n{}", found.len(), found.join("\n"));
    }
    Ok(())
}

/// Nothing new fires, all runs end, and then everything agrees.
pub fn judge(nodes: &mut [Node], database: &Database, traces: &Path, stops: &Stops) -> Result<()> {
    let deadline = Instant::now() + RECOVERY;
    let mut paused = false;
    loop {
        for node in nodes.iter_mut() {
            node.keep_up()?;
        }
        paused = paused || database.0.ask("update dags set paused = true returning dag_id").is_ok();
        let open = database.0.ask("select dag_id, run_id, state from runs where state in ('queued', 'running') and not (state = 'queued' and run_type = 'scheduled')");
        match &open {
            Ok(open) if open.is_empty() && paused => break,
            _ if Instant::now() > deadline => {
                bail!("after {} s not at rest: {open:?}", RECOVERY.as_secs())
            }
            _ => std::thread::sleep(Duration::from_millis(500)),
        }
    }
    none("of limits", &database.violations()?)?;
    none(
        "in the end of runs",
        &database.0.ask("select dag_id, run_id, state from runs where state in ('failed', 'cancelled')")?,
    )?;
    none("left alive", &database.0.ask("select id, run, task, state from attempts")?)?;
    ledger(database)?;
    none("of max_active_runs: 1", &runs_at_once(traces)?)?;
    let twice = "select run, task, map_index, count(*) from attempt_history where next_state = 'success' group by 1, 2, 3 having count(*) > 1";
    none("of success once", &database.0.ask(twice)?)?;
    none("of one execution an attempt", &lines(&traces.join("violations"))?)?;
    traces_agree(database, traces)?;
    overlaps(traces, stops)?;
    let figures = database.0.ask(
        "select (select count(*) from runs where state = 'success'), (select count(*) from attempt_history),
        (select count(*) from attempt_history where ending = 'lost'), (select count(*) from ticks)",
    )?;
    let figures: Vec<&str> = figures.first().context("figures")?.split('\t').collect();
    eprintln!(
        "chaos: {} runs succeeded, {} attempts ({} lost and done again), {} ticks: no violation",
        figures[0], figures[1], figures[2], figures[3]
    );
    Ok(())
}

/// Every tick once, and a run for each that ran.
fn ledger(database: &Database) -> Result<()> {
    for (dag, every) in DAGS {
        let gaps = format!(
            "select first, before from (
                 select coalesce(first_at, tick_at) as first, lag(tick_at) over (order by tick_at) as before from ticks where dag_id = '{dag}') t
             where first - before <> interval '{every} seconds'"
        );
        none(&format!("in the ledger of {dag}"), &database.0.ask(&gaps)?)?;
    }
    let orphans = "select dag_id, tick_at from ticks where decision = 'ran' and run is null
        union all select r.dag_id, r.run_after from runs r where r.run_type = 'scheduled' and not exists (select 1 from ticks t where t.run = r.id)";
    none("between ledger and runs", &database.0.ask(orphans)?)
}

/// What the rows call a success was done.
fn traces_agree(database: &Database, traces: &Path) -> Result<()> {
    let instances = database.0.ask(
        "select r.dag_id || '.' || r.run_id || '.' || i.task_id || '.' || i.map_index from task_instances i join runs r on r.id = i.run
         where i.state = 'success'",
    )?;
    let undone: Vec<String> =
        instances.into_iter().filter(|instance| !traces.join("done").join(instance).exists()).collect();
    none("of success without its effect", &undone)
}

/// Runs of the dag that never runs twice at once whose tasks did so all the same, by what the tasks themselves say: the instants in the
/// rows are those at which a node asked, and it may have waited long for its turn.
fn runs_at_once(traces: &Path) -> Result<Vec<String>> {
    let mut executions = Vec::new();
    for entry in std::fs::read_dir(traces.join("done"))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(run) = name.strip_prefix(&format!("{SINGLE}.")).and_then(|rest| rest.split('.').next())
        else {
            continue;
        };
        let text = std::fs::read_to_string(entry.path())?;
        let (from, to) = text.split_once(' ').with_context(|| format!("{name} says {text:?}"))?;
        executions.push((from.parse::<u64>()?, to.parse::<u64>()?, run.to_string()));
    }
    executions.sort();
    let overlap = |pair: &[(u64, u64, String)]| pair[0].2 != pair[1].2 && pair[1].0 < pair[0].1;
    Ok(executions
        .windows(2)
        .filter(|pair| overlap(pair))
        .map(|pair| format!("{} and {}", pair[0].2, pair[1].2))
        .collect())
}

/// Two executions of one instance at once: only where a node that stood still could not stop its own.
fn overlaps(traces: &Path, stops: &Stops) -> Result<()> {
    let (mut excused, mut bad) = (0, Vec::new());
    for line in lines(&traces.join("overlaps"))? {
        let mut fields = line.split('\t');
        let at: u64 = fields.next().unwrap_or_default().parse().unwrap_or(0);
        let holder = fields.next().unwrap_or_default();
        let stood_still = stops.0.iter().any(|(node, from, to)| {
            node == holder && to - from + 1 >= LEASE_SECONDS - 1 && at >= *from && at <= to + 2
        });
        if stood_still { excused += 1 } else { bad.push(line.clone()) }
    }
    eprintln!("chaos: {excused} executions overlapped one on a node that stood still beyond its lease");
    none("of one execution at a time", &bad)
}

fn lines(file: &Path) -> Result<Vec<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().map(str::to_string).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
