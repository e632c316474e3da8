//! Two versions on one database: the nodes of an older binary are replaced one by one while they work, one of them goes back, and nothing
//! may be lost, doubled, or even fail.

use super::engine::{Stops, start_postgres};
use super::nodes::Node;
use super::verdict::{self, Database};
use super::{dags, task};
use crate::ci::{binary, cargo};
use crate::psql::Psql;
use anyhow::{Context, Result, bail};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const NODES: usize = 3;
const HELP: &str = "cargo xtask upgrade [--from <revision> | --old <binary>] [--seconds <n>]";
/// What a version after this one may bring: every sort of growth. The nodes at work must not notice.
const NEXT: &str = "begin;
    alter table runs add column upgrade_text text;
    alter table attempts add column upgrade_number integer not null default 1;
    alter table nodes add column upgrade_zone text;
    create table upgrade_rows (id bigint primary key, run bigint references runs on delete cascade);
    create index upgrade_rows_run_idx on upgrade_rows (run);
    insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        select max(version) + 1, 'a version after this one', true, '\\x00', 1 from _sqlx_migrations;
    commit;";

struct Asked {
    from: Option<String>,
    old: Option<PathBuf>,
    /// Between two changes.
    seconds: u64,
}

pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let asked = read(arguments)?;
    let old = match asked.old {
        Some(old) => old,
        None => build(root, asked.from.as_deref())?,
    };
    cargo(root, &["build", "--package", "app"])?;
    let new = binary(root)?;
    let folder = std::env::temp_dir().join(format!("streamify-upgrade-{}", std::process::id()));
    for part in ["", "dags", "traces"] {
        std::fs::create_dir(folder.join(part))?;
    }
    for part in task::FOLDERS {
        std::fs::create_dir(folder.join("traces").join(part))?;
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
    roll(&old, &new, &folder, Duration::from_secs(asked.seconds))
        .with_context(|| format!("data and logs are in {}", folder.display()))?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn read(arguments: &[String]) -> Result<Asked> {
    let mut asked = Asked { from: None, old: None, seconds: 10 };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} of what? {HELP}"))?;
        match word.as_str() {
            "--from" => asked.from = Some(value.clone()),
            "--old" => asked.old = Some(std::path::absolute(value)?),
            "--seconds" => asked.seconds = value.parse().context("--seconds")?,
            other => bail!("unknown word `{other}`: {HELP}"),
        }
    }
    Ok(asked)
}

/// The binary of another revision, built in a work tree and a target folder of its own that are kept for the next time.
fn build(root: &Path, from: Option<&str>) -> Result<PathBuf> {
    let git = |words: &[&str]| -> Result<String> {
        let output = Command::new("git").current_dir(root).args(words).output()?;
        if !output.status.success() {
            bail!("git {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_string())
    };
    let from = match from {
        Some(from) => from.to_string(),
        // The newest release, or what was there before the newest migration.
        None => match git(&["describe", "--tags", "--abbrev=0"]) {
            Ok(tag) => tag,
            Err(_) => {
                format!("{}^", git(&["log", "-1", "--diff-filter=A", "--format=%H", "--", "migrations"])?)
            }
        },
    };
    let revision = git(&["rev-parse", "--verify", &format!("{from}^{{commit}}")])?;
    let home = std::env::var_os("HOME").context("HOME")?;
    let cache = Path::new(&home).join(".cache/streamify/upgrade");
    let kept = cache.join(&revision).with_extension("bin");
    if kept.is_file() {
        return Ok(kept);
    }
    eprintln!("upgrade: building {from} ({revision})");
    std::fs::create_dir_all(&cache)?;
    let tree = cache.join("tree");
    git(&["worktree", "prune"])?;
    if !tree.exists() {
        git(&["worktree", "add", "--detach", &tree.display().to_string(), &revision])?;
    }
    let checkout = Command::new("git")
        .current_dir(&tree)
        .args(["checkout", "--detach", "--force", &revision])
        .status()?;
    let libraries = tree.join(".libs");
    if !libraries.exists() {
        std::os::unix::fs::symlink(root.join(".libs"), &libraries)?;
    }
    let target = cache.join("target");
    let built = Command::new("cargo")
        .current_dir(&tree)
        .args(["build", "--package", "app"])
        .env("CARGO_TARGET_DIR", &target)
        .status()?;
    if !checkout.success() || !built.success() {
        bail!("{from} could not be built in {}", tree.display());
    }
    std::fs::copy(target.join("debug/streamify"), &kept)?;
    Ok(kept)
}

fn roll(old: &Path, new: &Path, folder: &Path, pause: Duration) -> Result<()> {
    dags::write(&folder.join("dags"), &folder.join("traces"))?;
    let server = start_postgres(folder)?;
    let database = Database(Psql::new(&server.url())?);
    let mut nodes = Vec::new();
    for number in 1..=NODES {
        nodes.push(Node::start(old, folder, number, &server.url(), database.0.port)?);
        if number == 1 {
            database.wait_for_schema()?;
            database.make_pool()?;
        }
    }
    let settle = |what: &str| -> Result<()> {
        eprintln!("upgrade: {what}");
        std::thread::sleep(pause);
        verdict::none(what, &database.violations()?)
    };
    settle("three nodes of the older version work")?;
    for node in &mut nodes {
        node.replace(new)?;
        settle(&format!("{} is of the newer version", node.name))?;
    }
    nodes[0].replace(old)?;
    settle("one went back to the older version, on the newer schema")?;
    database.0.ask(NEXT)?;
    settle("the schema of a version after both has come, beneath them")?;
    // Nodes of both versions start on it, too.
    nodes[0].replace(old)?;
    nodes[1].replace(new)?;
    settle("both versions were started on it")?;
    nodes[0].replace(new)?;
    verdict::judge(&mut nodes, &database, &folder.join("traces"), &Stops::default())?;
    // Nothing was killed: all that was stopped was stopped in good order.
    let lost = "select run, task, map_index, try_number, ending from attempt_history where ending not in ('done', 'skipped', 'poke')";
    verdict::none("of attempts that ended well", &database.0.ask(lost)?)?;
    for node in nodes.drain(..) {
        node.stop()?;
    }
    server.stop();
    errors(folder)
}

/// What the nodes themselves call an error.
fn errors(folder: &Path) -> Result<()> {
    let mut found = Vec::new();
    for number in 1..=NODES {
        let file = folder.join(format!("node-{number}.log"));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        found.extend(
            text.lines()
                .filter(|line| line.contains("ERROR") || line.contains("panicked"))
                .map(str::to_string),
        );
    }
    verdict::none("in the logs of the nodes", &found)
}
