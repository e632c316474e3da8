//! The running server: started, watched, stopped.

use crate::account::Account;
use crate::binaries::Binaries;
use crate::cluster::{Cluster, DATABASE, USER};
use crate::error::Error;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const READY_SECONDS: u64 = 60;
const STOP_SECONDS: u64 = 20;

pub struct Options {
    /// The cluster lies here, unless the `postgres` user cannot enter it (`Postgres::home` tells).
    pub home: PathBuf,
    /// Off only for throw-away clusters of tests.
    pub fsync: bool,
    pub max_connections: u32,
}

pub struct Postgres {
    home: PathBuf,
    port: u16,
    password: String,
    child: Child,
    /// Ends the thread that is the server's parent.
    _parent: mpsc::Sender<()>,
}

impl Postgres {
    /// Starts the server and waits until it answers. A server left over in the same folder is stopped first: whoever calls this holds the
    /// data folder's lock.
    pub fn start(options: &Options) -> Result<Postgres, Error> {
        let binaries = Binaries::find()?;
        let account = Account::current()?;
        let home = account.reachable(&options.home);
        fs::create_dir_all(&home).map_err(Error::io(&home, "create"))?;
        let cluster = Cluster::open(&home, &binaries, &account)?;
        stop_left_over(&cluster.folder);
        let port = choose_port(&home.join("port"))?;
        let log = home.join("postgres.log");
        let (child, parent) = spawn(&binaries, &account, &cluster, options, port, &log)?;
        let mut server = Postgres { home, port, password: cluster.password, child, _parent: parent };
        server.wait_ready(&binaries, &account, &log)?;
        server.create_database(&binaries)?;
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{DATABASE}", self.password, self.port)
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the server has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// A fast shutdown: open transactions are rolled back, everything committed is on disk.
    pub fn stop(mut self) {
        self.stop_child();
    }

    fn stop_child(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let pid = Pid::from_raw(self.child.id() as i32);
        let _ = kill(pid, Signal::SIGINT);
        if !wait_until(Duration::from_secs(STOP_SECONDS), || self.ended().is_some()) {
            let _ = kill(pid, Signal::SIGQUIT);
            let _ = self.child.wait();
        }
    }

    /// Our database, made at the first start of the cluster.
    fn create_database(&self, binaries: &Binaries) -> Result<(), Error> {
        let made = self.home.join("database");
        if made.is_file() {
            return Ok(());
        }
        let program = binaries.path("createdb");
        let output = Command::new(&program)
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", USER, DATABASE])
            .env("PGPASSWORD", &self.password)
            .output()
            .map_err(Error::io(&program, "start"))?;
        let answer = String::from_utf8_lossy(&output.stderr).trim().to_string();
        if !output.status.success() && !answer.contains("already exists") {
            return Err(Error::Program {
                program: "createdb",
                status: output.status.to_string(),
                output: answer,
            });
        }
        fs::write(&made, DATABASE).map_err(Error::io(&made, "write"))
    }

    fn wait_ready(&mut self, binaries: &Binaries, account: &Account, log: &Path) -> Result<(), Error> {
        let program = binaries.path("pg_isready");
        let port = self.port.to_string();
        let mut ended = None;
        let ready = wait_until(Duration::from_secs(READY_SECONDS), || {
            ended = self.ended();
            let asked = account.command(&program, None).args(["-q", "-h", "127.0.0.1", "-p", &port]).status();
            ended.is_some() || asked.is_ok_and(|status| status.success())
        });
        if ready && ended.is_none() {
            return Ok(());
        }
        let text = fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(12).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        Err(Error::NotReady { seconds: READY_SECONDS, log: log.to_path_buf(), tail })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop_child();
    }
}

/// The kernel signals the server when the *thread* that started it ends, so that thread waits until the `Postgres` is dropped.
fn spawn(
    binaries: &Binaries,
    account: &Account,
    cluster: &Cluster,
    options: &Options,
    port: u16,
    log: &Path,
) -> Result<(Child, mpsc::Sender<()>), Error> {
    let output = File::options().create(true).append(true).open(log).map_err(Error::io(log, "open"))?;
    let errors = output.try_clone().map_err(Error::io(log, "open"))?;
    let program = binaries.path("postgres");
    let mut command = account.command(&program, Some("INT"));
    command.arg("-D").arg(&cluster.folder).stdin(std::process::Stdio::null()).stdout(output).stderr(errors);
    let durable = if options.fsync { "on" } else { "off" };
    let settings = [
        "listen_addresses=127.0.0.1".to_string(),
        format!("port={port}"),
        "unix_socket_directories=".to_string(),
        format!("max_connections={}", options.max_connections),
        format!("fsync={durable}"),
        format!("full_page_writes={durable}"),
        "timezone=UTC".to_string(),
        "log_timezone=UTC".to_string(),
    ];
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    // A Ctrl-C in the terminal is for the platform, which stops the server last.
    command.process_group(0);
    let (keep, kept) = mpsc::channel::<()>();
    let (tell, told) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("postgres-parent".to_string())
        .spawn(move || {
            let _ = tell.send(command.spawn());
            let _ = kept.recv();
        })
        .map_err(Error::io(&program, "start a thread for"))?;
    let child = told.recv().unwrap_or_else(|_| Err(std::io::Error::other("the starting thread ended")));
    Ok((child.map_err(Error::io(&program, "start"))?, keep))
}

/// After a `kill -9` of its parent the old server may still be shutting down, or (from an older kernel's point of view) live on.
fn stop_left_over(folder: &Path) {
    let Ok(text) = fs::read_to_string(folder.join("postmaster.pid")) else { return };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else { return };
    let is_ours = || {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&*folder.to_string_lossy())
    };
    if !is_ours() {
        return;
    }
    tracing::info!(pid, "stopping a PostgreSQL server left over in {}", folder.display());
    let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
    if !wait_until(Duration::from_secs(STOP_SECONDS), || !is_ours()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        wait_until(Duration::from_secs(STOP_SECONDS), || !is_ours());
    }
}

/// The port of last time if it is free, so that a second node's DATABASE_URL stays good; else a free one.
fn choose_port(file: &Path) -> Result<u16, Error> {
    let last = fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u16>().ok());
    let listener = last
        .and_then(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .map_or_else(|| TcpListener::bind(("127.0.0.1", 0)), Ok)
        .map_err(Error::io(file, "find a free port for"))?;
    let port = listener.local_addr().map_err(Error::io(file, "find a free port for"))?.port();
    fs::write(file, port.to_string()).map_err(Error::io(file, "write"))?;
    Ok(port)
}

fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    done()
}
