//! `streamify node` as a process, on a fresh database and without Kafka.

use crate::support::{streamify, text};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use testkit::Database;

/// Nothing listens there; no task of these tests asks Kafka.
const NO_KAFKA: &str = "127.0.0.1:1";
const PATIENCE: Duration = Duration::from_secs(60);

/// What it has written to standard error so far, rung with each line.
type Said = Arc<(Mutex<Vec<String>>, Condvar)>;

pub struct Node {
    child: Child,
    said: Said,
    url: String,
    pub database: Database,
    pub folder: tempfile::TempDir,
}

/// How to start one.
pub struct Start {
    pub database: Database,
    pub folder: tempfile::TempDir,
    /// Name and text of each file of the dags folder.
    pub dags: Vec<(&'static str, String)>,
    pub env: Vec<(&'static str, String)>,
    /// A program in front of it, with its arguments.
    pub before: Vec<&'static str>,
    /// Its data folder, where it is not to be inside `folder`.
    data: Option<PathBuf>,
}

impl Start {
    pub async fn with(name: &'static str, dag: &str) -> Start {
        Start {
            database: Database::fresh().await,
            folder: tempfile::tempdir().unwrap(),
            dags: vec![(name, dag.to_string())],
            env: Vec::new(),
            before: Vec::new(),
            data: None,
        }
    }

    pub fn data(mut self, folder: &Path) -> Start {
        self.data = Some(folder.join("data"));
        self
    }

    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Start {
        self.env.push((name, value.into()));
        self
    }

    pub fn start(self) -> Node {
        let dags = self.folder.path().join("dags");
        std::fs::create_dir_all(&dags).unwrap();
        for (name, text) in &self.dags {
            std::fs::write(dags.join(name), text).unwrap();
        }
        let ours = streamify();
        let mut command = match self.before.split_first() {
            None => ours,
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(ours.get_program()).current_dir(ours.get_current_dir().unwrap());
                for (name, value) in ours.get_envs() {
                    assert!(value.is_none(), "only removed ones");
                    command.env_remove(name);
                }
                command
            }
        };
        command
            .args(["node", "--port", "0", "--data"])
            .arg(self.data.unwrap_or_else(|| self.folder.path().join("data")))
            .arg("--dags")
            .arg(&dags)
            .env("DATABASE_URL", self.database.url())
            .env("KAFKA_BOOTSTRAP_SERVERS", NO_KAFKA)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Said::default();
        let (lines, told) = (BufReader::new(child.stderr.take().unwrap()).lines(), said.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told.0.lock().unwrap().push(line);
                told.1.notify_all();
            }
        });
        let mut node = Node { child, said, url: String::new(), database: self.database, folder: self.folder };
        let line = node.wait_for("pages and API on ");
        let url = line.split("pages and API on ").nth(1).unwrap();
        node.url = url.split([' ', '"']).next().unwrap().to_string();
        node
    }
}

impl Node {
    /// A line that it has written, or writes.
    pub fn wait_for(&self, text: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        let (lines, rung) = &*self.said;
        let mut lines = lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = give_up.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it never said {text:?}, but:\n{}", lines.join("\n"));
            lines = rung.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// All that it has written.
    pub fn said(&self) -> Vec<String> {
        self.said.0.lock().unwrap().clone()
    }

    /// A command of the command line, for this platform.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.command_with(&[], arguments)
    }

    /// The same, with settings of its own.
    pub fn command_with(&self, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = streamify();
        command.args(arguments).env("DATABASE_URL", self.database.url()).envs(settings.iter().copied());
        command.arg("--data").arg(self.folder.path().join("data"));
        command.output().unwrap()
    }

    /// Starts a run and waits for its end.
    pub fn run(&self, dag: &str, run_id: &str) -> Output {
        self.triggered(&["run", "trigger", dag, "--run-id", run_id, "--wait"])
    }

    /// Starts a run.
    pub fn trigger(&self, dag: &str, run_id: &str) {
        let output = self.triggered(&["run", "trigger", dag, "--run-id", run_id]);
        assert!(output.status.success(), "{}", text(&output));
    }

    fn triggered(&self, command: &[&str]) -> Output {
        // The dag may not have been read yet.
        let give_up = Instant::now() + PATIENCE;
        loop {
            let output = self.command(command);
            if !text(&output).contains("there is no dag") {
                return output;
            }
            assert!(Instant::now() < give_up, "{}", text(&output));
        }
    }

    /// The log of an attempt, once it contains a text.
    pub fn log_with(&self, dag: &str, run_id: &str, task: &str, wanted: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let log = text(&self.command(&["run", "logs", dag, run_id, task]));
            if log.contains(wanted) {
                return log;
            }
            assert!(Instant::now() < give_up, "{wanted:?} is not in: {log}\n{}", self.said().join("\n"));
        }
    }

    /// The answer to a GET: head and body.
    pub fn get(&self, path: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer, once it contains a text.
    pub fn get_with(&self, path: &str, wanted: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if answer.contains(wanted) {
                return answer;
            }
            assert!(Instant::now() < give_up, "{wanted:?} is not in: {answer}\n{}", self.said().join("\n"));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < give_up, "it does not end:\n{}", self.said().join("\n"));
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process is there and not merely waiting to be reaped.
pub fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}
