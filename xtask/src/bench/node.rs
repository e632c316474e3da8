//! A Postgres of its own and one node on it, started and asked from outside.

use super::http;
use crate::psql::Psql;
use anyhow::{Context, Result, bail};
use postgres::{Options, Postgres};
use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WAIT_MAX: Duration = Duration::from_secs(1800);
/// Of Linux, for what it tells of processes.
const TICKS_A_SECOND: f64 = 100.0;
const PASSWORD: &str = "only for this benchmark";
/// In-process tasks need no more; a node's default is 16.
pub const SLOTS: &str = "64";

pub struct Bench {
    pub folder: PathBuf,
    pub dags: PathBuf,
    pub psql: Psql,
    program: PathBuf,
    server: Option<Postgres>,
}

pub struct Node {
    pub address: String,
    /// From the start of the process to its first healthy answer, in seconds.
    pub start: f64,
    child: Child,
    token: String,
}

impl Bench {
    pub fn begin(program: &Path) -> Result<Bench> {
        let folder = std::env::temp_dir().join(format!("streamify-bench-{}", std::process::id()));
        let dags = folder.join("dags");
        std::fs::create_dir_all(&dags)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        let options = Options { home: folder.join("postgres"), fsync: true, max_connections: 100 };
        let server = Postgres::start(&options)?;
        let psql = Psql::new(&server.url())?;
        Ok(Bench { folder, dags, psql, program: program.to_path_buf(), server: Some(server) })
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("DATABASE_URL", &self.psql.url)
            .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
            .env("STREAMIFY_TASK_SLOTS", SLOTS)
            .env("STREAMIFY_DATA_DIR", self.folder.join("data"))
            .env("STREAMIFY_DAGS_DIR", &self.dags);
        command
    }

    pub fn node(&self) -> Result<Node> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("node.log"))?;
        let began = Instant::now();
        let child = self
            .command()
            .args(["node", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut node = Node { address, start: 0.0, child, token: String::new() };
        loop {
            if let Ok(answer) = http::request(&node.address, "GET", "/api/v2/monitor/health", "", "")
                && answer.body.contains("\"scheduler\":{\"status\":\"healthy\"")
            {
                break;
            }
            if began.elapsed() > Duration::from_secs(60) {
                bail!("the node does not become healthy; see {}", self.folder.join("node.log").display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        node.start = began.elapsed().as_secs_f64();
        node.token = self.token(&node.address)?;
        Ok(node)
    }

    fn token(&self, address: &str) -> Result<String> {
        let mut user = self
            .command()
            .args(["user", "bench", "--role", "admin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        user.stdin.take().context("stdin")?.write_all(PASSWORD.as_bytes())?;
        if !user.wait()?.success() {
            bail!("no user can be made");
        }
        let login = format!("{{\"username\": \"bench\", \"password\": \"{PASSWORD}\"}}");
        let answer = http::request(address, "POST", "/auth/token", "", &login)?;
        let answer: Value = serde_json::from_str(&answer.body)?;
        Ok(answer["access_token"].as_str().context("a token")?.to_string())
    }

    /// Puts a dag into the folder and waits until the store has it.
    pub fn add(&self, id: &str, text: &str) -> Result<()> {
        super::dags::write(&self.dags, id, text)?;
        self.until(
            &format!(
                "select (select count(*) from dags where dag_id = '{id}' and version_id is not null)
                    + (select count(*) from dag_problems where file = '{id}.yaml')"
            ),
            |count| count >= 1.0,
        )?;
        let problems =
            self.psql.ask(&format!("select line, message from dag_problems where file = '{id}.yaml'"))?;
        if !problems.is_empty() {
            bail!("{id}.yaml: {}", problems.join("; "));
        }
        Ok(())
    }

    pub fn until(&self, query: &str, is_reached: impl Fn(f64) -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_reached(self.psql.figure(query)?) {
            if began.elapsed() > WAIT_MAX {
                bail!("after {} s not reached: {query}", WAIT_MAX.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until all runs of the dag have ended, and all well.
    pub fn until_done(&self, dag: &str, runs: usize) -> Result<()> {
        let done = format!("select count(*) from runs where dag_id = '{dag}' and ended_at is not null");
        self.until(&done, |count| count >= runs as f64)?;
        let bad = self
            .psql
            .figure(&format!("select count(*) from runs where dag_id = '{dag}' and state <> 'success'"))?;
        if bad > 0.0 {
            bail!("{bad} runs of {dag} did not succeed");
        }
        Ok(())
    }

    pub fn end(mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

impl Node {
    /// Returns the seconds that the request took.
    pub fn trigger(&self, dag: &str, run_id: &str) -> Result<f64> {
        let headers = format!("Authorization: Bearer {}\r\n", self.token);
        let body = format!("{{\"logical_date\": null, \"dag_run_id\": \"{run_id}\"}}");
        let answer =
            http::request(&self.address, "POST", &format!("/api/v2/dags/{dag}/dagRuns"), &headers, &body)?;
        if answer.status != 200 {
            bail!("trigger {dag}: {} {}", answer.status, answer.body);
        }
        Ok(answer.seconds)
    }

    /// Resident memory now, in MB.
    pub fn memory(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Seconds of processor time that it has used so far.
    pub fn cpu(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // What stands behind the name in brackets; user and system time are the 14th and 15th field of all.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).context("a field")?.parse::<f64>().context("ticks");
        Ok((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
    }

    pub fn stop(mut self) -> Result<()> {
        Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
