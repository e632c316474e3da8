//! The servers of a laptop: a private Postgres and the broker, started, watched and restarted.

use crate::data_folder::{self, DataFolder};
use anyhow::{Context, Result, bail};
use postgres::{Options, Postgres};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const MAX_CONNECTIONS: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);
const BROKER_READY: Duration = Duration::from_secs(30);

/// Starts Postgres in the data folder and keeps it up until `cancel`; returns its URL.
pub async fn postgres(data: &DataFolder, tasks: &TaskTracker, cancel: CancellationToken) -> Result<String> {
    let home = data.join("postgres");
    let server = start_postgres(home.clone()).await?;
    let url = server.url();
    if server.home() != home {
        tracing::info!(
            "Postgres cannot enter {}: its data is in {}",
            home.display(),
            server.home().display()
        );
    }
    std::fs::write(data.join(data_folder::POSTGRES_HOME), server.home().display().to_string())?;
    tasks.spawn(keep_postgres(server, home, cancel));
    Ok(url)
}

async fn start_postgres(home: PathBuf) -> Result<Postgres> {
    let options = Options { home, fsync: true, max_connections: MAX_CONNECTIONS };
    Ok(tokio::task::spawn_blocking(move || Postgres::start(&options)).await??)
}

async fn keep_postgres(mut server: Postgres, home: PathBuf, cancel: CancellationToken) {
    let mut pause = LOOK_EVERY;
    loop {
        tokio::select! {
            () = cancel.cancelled() => {
                let _ = tokio::task::spawn_blocking(move || server.stop()).await;
                return;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let Some(status) = server.ended() else { continue };
        tracing::error!(%status, "the embedded Postgres has ended; starting it again");
        loop {
            match start_postgres(home.clone()).await {
                Ok(started) => {
                    server = started;
                    pause = LOOK_EVERY;
                    break;
                }
                Err(error) => {
                    tracing::error!("the embedded Postgres does not start: {error:#}");
                    pause = (pause * 2).min(RESTART_PAUSE_MAX);
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }
}

/// Starts the broker as a process of its own and keeps it up until `cancel`; returns its address.
pub async fn broker(data: &DataFolder, tasks: &TaskTracker, cancel: CancellationToken) -> Result<String> {
    let folder = data.join("kafka");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let address = format!("127.0.0.1:{}", remembered_port(&data.join("kafka-port"))?);
    let starter = BrokerStarter { folder, address: address.clone() };
    let mut child = starter.start()?;
    starter.wait_ready(&mut child).await?;
    tasks.spawn(keep_broker(child, starter, cancel));
    Ok(address)
}

struct BrokerStarter {
    folder: PathBuf,
    address: String,
}

impl BrokerStarter {
    fn start(&self) -> Result<Child> {
        let program = std::env::current_exe()?;
        // The kernel kills it when the thread that starts it ends; `up` starts it from a thread of the runtime, which ends with the process.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(["broker", "--listen", &self.address, "--folder"])
            .arg(&self.folder);
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command.spawn().context("cannot start the broker")
    }

    async fn wait_ready(&self, child: &mut Child) -> Result<()> {
        let deadline = tokio::time::Instant::now() + BROKER_READY;
        while tokio::time::Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                bail!("the embedded broker ended at its start ({status}); its reason stands above");
            }
            if tokio::net::TcpStream::connect(&self.address).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the embedded broker did not answer on {} within {} s", self.address, BROKER_READY.as_secs())
    }
}

async fn keep_broker(mut child: Child, starter: BrokerStarter, cancel: CancellationToken) {
    const STOP_GRACE: Duration = Duration::from_secs(10);
    let mut pause = LOOK_EVERY;
    loop {
        let started = tokio::time::Instant::now();
        tokio::select! {
            () = cancel.cancelled() => {
                if let Some(pid) = child.id() {
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGTERM);
                }
                let _ = tokio::time::timeout(STOP_GRACE, child.wait()).await;
                return;
            }
            status = child.wait() => match status {
                Ok(status) => tracing::error!(%status, "the embedded broker has ended; starting it again"),
                Err(error) => tracing::error!(%error, "the embedded broker is lost; starting it again"),
            },
        }
        pause = if started.elapsed() > RESTART_PAUSE_MAX {
            LOOK_EVERY
        } else {
            (pause * 2).min(RESTART_PAUSE_MAX)
        };
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match starter.start() {
                Ok(started) => {
                    child = started;
                    break;
                }
                Err(error) => tracing::error!("{error:#}"),
            }
        }
    }
}

/// The port of last time if it is free, so that clients find the broker again; else a free one.
fn remembered_port(file: &std::path::Path) -> Result<u16> {
    let last = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u16>().ok());
    let listener = last.and_then(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let listener = listener
        .map_or_else(|| TcpListener::bind(("127.0.0.1", 0)), Ok)
        .context("no free port for the broker")?;
    let port = listener.local_addr()?.port();
    std::fs::write(file, port.to_string()).with_context(|| file.display().to_string())?;
    Ok(port)
}
