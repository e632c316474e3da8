//! The platform is killed in parts at random moments while it works, started again where it does not start by itself, and must
//! recover: every run succeeds, no tick lacks a ledger row, and every layer has every event.

use super::dice::Dice;
use super::processes;
use crate::ci::{binary, cargo};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const KILLS: u64 = 10;
const RECOVERY: Duration = Duration::from_secs(180);

pub fn run(root: &Path, kills: u64) -> Result<()> {
    cargo(root, &["build", "--package", "app"])?;
    let folder = std::env::temp_dir().join(format!("streamify-chaos-pipeline-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let mut dice = Dice::new();
    let mut platform =
        Platform { program: binary(root)?, root: root.to_path_buf(), data: folder.join("data"), child: None };
    platform.start()?;
    for number in 1..=kills {
        std::thread::sleep(Duration::from_millis(500 + dice.below(5000)));
        let victim = ["node", "postgres", "broker"][usize::try_from(dice.below(3))?];
        eprintln!("chaos: kill -9 number {number}: {victim}");
        platform.kill(victim)?;
    }
    let verdict = platform.verdict();
    platform.stop()?;
    verdict.with_context(|| format!("seed {}; data and logs are in {}", dice.seed, folder.display()))?;
    std::fs::remove_dir_all(&folder)?;
    eprintln!("chaos: {kills} kills, everything agrees (seed {})", dice.seed);
    Ok(())
}

struct Platform {
    program: PathBuf,
    root: PathBuf,
    data: PathBuf,
    child: Option<Child>,
}

impl Platform {
    fn start(&mut self) -> Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.data.with_extension("log"))?;
        let mut command = Command::new(&self.program);
        command.current_dir(&self.root).args(["up", "--port", "0", "--data"]).arg(&self.data);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
        let is_up = lines.map_while(Result::ok).any(|line| line.contains("Ctrl-C"));
        self.child = Some(child);
        if !is_up {
            bail!("it does not start; see {}", self.data.with_extension("log").display());
        }
        Ok(())
    }

    fn kill(&mut self, victim: &str) -> Result<()> {
        match victim {
            "node" => {
                let mut child = self.child.take().context("running")?;
                child.kill()?;
                child.wait()?;
                self.start()
            }
            "postgres" => {
                let file = self.data.join("postgres/data/postmaster.pid");
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                text.lines().next().map_or(Ok(()), |pid| processes::signal(pid, "KILL"))
            }
            _ => {
                let folder = self.data.join("kafka").display().to_string();
                processes::find(&["broker", &folder])
                    .first()
                    .map_or(Ok(()), |pid| processes::signal(pid, "KILL"))
            }
        }
    }

    /// Waits for the recovery, then looks at runs, ledger and layers.
    fn verdict(&self) -> Result<()> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let open = self.open_runs();
            match &open {
                Ok(open) if open.is_empty() => break,
                _ if Instant::now() > deadline => {
                    bail!("after {} s not yet done: {open:?}", RECOVERY.as_secs())
                }
                _ => std::thread::sleep(Duration::from_secs(2)),
            }
        }
        let ticks = self.ask(&["dag", "ticks", "hourly", "--count", "1000", "--json"])?;
        let hours: Vec<i64> =
            ticks.as_array().context("ticks")?.iter().filter_map(|tick| hour_of(&tick["tick"])).collect();
        if hours.len() < 24 || hours.windows(2).any(|pair| pair[0] - pair[1] != 1) {
            bail!("the ledger has gaps: {hours:?}");
        }
        eprintln!("chaos: {} ticks without a gap, each with its run; comparing the layers", hours.len());
        let status = self.command(&["reconcile"]).stdout(Stdio::inherit()).status()?;
        if !status.success() {
            bail!("the layers differ");
        }
        Ok(())
    }

    /// Hourly runs that have not succeeded, and the want of those that should be there.
    fn open_runs(&self) -> Result<Vec<String>> {
        let runs = self.ask(&["run", "list", "--limit", "1000", "--json"])?;
        let runs = runs.as_array().context("runs")?;
        let hourly: Vec<&Value> = runs.iter().filter(|run| run["dag_id"] == "hourly").collect();
        let mut open: Vec<String> = hourly
            .iter()
            .filter(|run| run["state"] != "success")
            .map(|run| format!("{} is {}", run["run_id"], run["state"]))
            .collect();
        if let Some(failed) = runs.iter().find(|run| run["state"] == "failed") {
            open.push(format!("{} failed", failed["run_id"]));
        }
        if hourly.len() < 24 {
            open.push(format!("only {} hourly runs", hourly.len()));
        }
        Ok(open)
    }

    fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command(arguments).output()?;
        if !output.status.success() {
            bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.root).args(arguments).arg("--data").arg(&self.data);
        command
    }

    fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
        child.wait()?;
        Ok(())
    }
}

/// Hours since the epoch of `2026-11-22T17:05:00Z`, as days of the civil calendar times 24 plus the hour.
fn hour_of(instant: &Value) -> Option<i64> {
    let text = instant.as_str()?;
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day, hour) = (part(0, 4)?, part(5, 7)?, part(8, 10)?, part(11, 13)?);
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    Some(days * 24 + hour)
}
