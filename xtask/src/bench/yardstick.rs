//! What the machine's own Postgres needs for one durable commit, measured by its own tool.

use crate::psql::Psql;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

pub struct Yardstick {
    /// A one-row update by one client, mean, in seconds.
    pub commit: f64,
    /// The same by eight clients: commits a second.
    pub commits_a_second: f64,
}

pub fn measure(psql: &Psql, folder: &Path) -> Result<Yardstick> {
    psql.ask(
        "create schema if not exists bench; create table if not exists bench.yardstick (id int primary key, n int not null);
         insert into bench.yardstick select i, 0 from generate_series(1, 8) i on conflict do nothing",
    )?;
    let script = folder.join("yardstick.sql");
    std::fs::write(&script, "update bench.yardstick set n = n + 1 where id = :client_id + 1;\n")?;
    let one = transactions_a_second(psql, &script, 1)?;
    let eight = transactions_a_second(psql, &script, 8)?;
    Ok(Yardstick { commit: 1.0 / one, commits_a_second: eight })
}

fn transactions_a_second(psql: &Psql, script: &Path, clients: u32) -> Result<f64> {
    let clients = clients.to_string();
    let output = Command::new(pgbench()?)
        .args(["--no-vacuum", "--time", "4", "--client", &clients, "--jobs", "1", "--file"])
        .arg(script)
        .arg(&psql.url)
        .output()
        .context("cannot start pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let figure = line
        .and_then(|line| line.split(' ').next())
        .with_context(|| format!("pgbench says: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(figure.parse()?)
}

/// Debian keeps it with the server's programs.
fn pgbench() -> Result<std::path::PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|entry| entry.path().join("bin/pgbench")).filter(|path| path.is_file()).collect();
    found.sort();
    Ok(found.pop().unwrap_or_else(|| "pgbench".into()))
}
