//! A BigQuery emulator (goccy/bigquery-emulator, a Go program) on free ports of this machine, where its binary is.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(60);
const HOW: &str = "`cargo xtask tools --all` builds it from Go's module proxy (minutes)";

pub struct BigQueryEmulator {
    /// `http://127.0.0.1:port`
    pub url: String,
    command: Command,
    port: u16,
    process: Child,
}

/// Where the binary is looked for: `BIGQUERY_EMULATOR`, else the cache.
fn binary() -> Option<PathBuf> {
    if let Ok(named) = std::env::var("BIGQUERY_EMULATOR") {
        return Some(PathBuf::from(named));
    }
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let cache = set("STREAMIFY_CACHE").or_else(|| cache().map(|cache| cache.join("streamify")))?;
    Some(cache.join("bigquery-emulator/bigquery-emulator")).filter(|file| file.is_file())
}

impl BigQueryEmulator {
    /// An emulator that reads `gs://` from the given Cloud Storage and forgets all at its end; `None`, loudly, where there is no binary.
    ///
    /// # Panics
    /// When the binary is there, but does not come up.
    pub async fn start(storage: &str) -> Option<BigQueryEmulator> {
        Self::start_on(storage, None).await
    }

    /// With its tables in a file, it can be started again.
    pub async fn start_on(storage: &str, file: Option<&Path>) -> Option<BigQueryEmulator> {
        let Some(binary) = binary() else {
            crate::skip("no BigQuery emulator", HOW);
            return None;
        };
        let (port, grpc) = (free_port().await, free_port().await);
        let mut command = Command::new(&binary);
        command
            .args(["--host=127.0.0.1", "--project=demo", "--log-level=error"])
            .args([format!("--port={port}"), format!("--grpc-port={grpc}")])
            .args(file.map(|file| format!("--database={}", file.display())))
            .env("STORAGE_EMULATOR_HOST", storage)
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = spawn(&mut command);
        let mut emulator =
            BigQueryEmulator { url: format!("http://127.0.0.1:{port}"), command, port, process };
        emulator.up().await;
        Some(emulator)
    }

    /// Its analyser keeps memory for every statement and breaks at two gigabytes, which is after some hundreds: a long test starts it
    /// again in between, on its file.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart(&mut self) {
        self.stop();
        self.process = spawn(&mut self.command);
        self.up().await;
    }

    async fn up(&mut self) {
        let port = self.port;
        let answers = tokio::time::timeout(PATIENCE, async {
            while !answers(port).await {
                if let Ok(Some(status)) = self.process.try_wait() {
                    panic!("the BigQuery emulator ended with {status}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if answers.await.is_err() {
            self.stop();
            panic!("the BigQuery emulator does not answer");
        }
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

impl Drop for BigQueryEmulator {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

async fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let request =
        "GET /bigquery/v2/projects/demo/datasets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
