//! Three nodes on one Postgres under everything that can happen to them, and what must still be true.

use super::dice::Dice;
use super::nodes::{LEASE_SECONDS, Node};
use super::verdict::{self, Database};
use super::{dags, processes, task};
use crate::ci::{binary, cargo};
use crate::psql::Psql;
use anyhow::{Context, Result};
use postgres::{Options, Postgres};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const SECONDS: u64 = 600;
const NODES: usize = 3;

/// Times at which a node stood still, for the judge: what ran there meanwhile could not be stopped by it.
#[derive(Default)]
pub struct Stops(pub Vec<(String, u64, u64)>);

pub fn run(root: &Path, seconds: u64) -> Result<()> {
    cargo(root, &["build", "--package", "app"])?;
    let folder = std::env::temp_dir().join(format!("streamify-chaos-{}", std::process::id()));
    for part in ["", "dags", "traces"]
        .into_iter()
        .map(PathBuf::from)
        .chain(task::FOLDERS.iter().map(|name| Path::new("traces").join(name)))
    {
        std::fs::create_dir(folder.join(part))?;
    }
    // Postgres may run as another user, who must be able to enter.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
    let mut dice = Dice::new();
    eprintln!("chaos: {NODES} nodes for {seconds} s, seed {}", dice.seed);
    let verdict = Storm::begin(&binary(root)?, &folder)?.blow(&mut dice, seconds);
    verdict.with_context(|| format!("seed {}; data and logs are in {}", dice.seed, folder.display()))?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

struct Storm {
    folder: PathBuf,
    server: Option<Postgres>,
    database: Database,
    nodes: Vec<Node>,
    stops: Stops,
    faults: usize,
}

impl Storm {
    fn begin(program: &Path, folder: &Path) -> Result<Storm> {
        dags::write(&folder.join("dags"), &folder.join("traces"))?;
        let server = start_postgres(folder)?;
        let database = Database(Psql::new(&server.url())?);
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            nodes.push(Node::start(program, folder, number, &server.url(), database.0.port)?);
            if number == 1 {
                database.wait_for_schema()?;
                database.make_pool()?;
            }
        }
        Ok(Storm {
            folder: folder.to_path_buf(),
            server: Some(server),
            database,
            nodes,
            stops: Stops::default(),
            faults: 0,
        })
    }

    fn blow(mut self, dice: &mut Dice, seconds: u64) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut restart = Instant::now() + Duration::from_secs(dice.between(5, 40));
        while Instant::now() < end {
            if Instant::now() >= restart {
                self.restart_postgres(dice)?;
                restart = Instant::now() + Duration::from_secs(dice.between(5, 40));
            } else {
                self.strike(dice)?;
            }
            std::thread::sleep(Duration::from_millis(dice.between(200, 2500)));
            for node in &mut self.nodes {
                node.keep_up()?;
            }
            // While Postgres is away nothing can be asked.
            if let Ok(found) = self.database.violations() {
                verdict::none("while it stormed", &found)?;
            }
        }
        for node in &mut self.nodes {
            node.wire.pass();
            node.keep_up()?;
        }
        eprintln!("chaos: {} faults; now everything must come to its end", self.faults);
        let judged =
            verdict::judge(&mut self.nodes, &self.database, &self.folder.join("traces"), &self.stops);
        for node in self.nodes.drain(..) {
            node.stop()?;
        }
        if let Some(server) = self.server.take() {
            server.stop();
        }
        judged
    }

    /// One fault of one node or task. Those that last are ended here as well.
    fn strike(&mut self, dice: &mut Dice) -> Result<()> {
        self.faults += 1;
        let at = usize::try_from(dice.below(NODES as u64))?;
        let pause = |milliseconds| std::thread::sleep(Duration::from_millis(milliseconds));
        let kind = dice.below(8);
        let length = dice.between(100, LEASE_SECONDS * 2000);
        let node = &mut self.nodes[at];
        let what = ["kill", "stop", "cut", "delay", "swallow", "kill task", "stop task", "ask to stop"]
            [usize::try_from(kind)?];
        eprintln!(
            "chaos: {} {what} {}",
            node.name,
            if matches!(kind, 1..=4) { format!("{length} ms") } else { String::new() }
        );
        match kind {
            0 => node.kill()?,
            1 => {
                let from = task::seconds();
                node.signal("STOP")?;
                pause(length);
                node.signal("CONT")?;
                self.stops.0.push((node.name.clone(), from, task::seconds()));
            }
            2 => {
                node.wire.cut();
                pause(length);
                node.wire.pass();
            }
            3 => {
                node.wire.delay(dice.between(5, 400));
                pause(length);
                node.wire.pass();
            }
            4 => {
                node.wire.swallow_replies();
                pause(length);
                node.wire.pass();
            }
            5 | 6 => {
                let tasks = processes::find(&["chaos-task"]);
                if tasks.is_empty() {
                    return Ok(());
                }
                let victim = &tasks[usize::try_from(dice.below(tasks.len() as u64))?];
                if kind == 5 {
                    return processes::signal(victim, "KILL");
                }
                processes::signal(victim, "STOP")?;
                pause(length.min(3000));
                processes::signal(victim, "CONT")?;
            }
            _ => node.signal("INT")?,
        }
        Ok(())
    }

    fn restart_postgres(&mut self, dice: &mut Dice) -> Result<()> {
        self.faults += 1;
        let server = self.server.take().context("Postgres runs")?;
        if dice.below(2) == 0 {
            eprintln!("chaos: postgres kill");
            processes::signal(&server.pid().to_string(), "KILL")?;
            std::thread::sleep(Duration::from_millis(dice.between(0, 2000)));
            drop(server);
        } else {
            eprintln!("chaos: postgres restart");
            server.stop();
        }
        self.server = Some(start_postgres(&self.folder)?);
        Ok(())
    }
}

pub fn start_postgres(folder: &Path) -> Result<Postgres> {
    let options = Options { home: folder.join("postgres"), fsync: true, max_connections: 100 };
    // The port of last time, so that the wires still lead to it; killed backends may hold it for a moment.
    let mut tries = 0;
    loop {
        match Postgres::start(&options) {
            Ok(server) => return Ok(server),
            Err(error) if tries == 5 => return Err(error.into()),
            Err(_) => tries += 1,
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
