//! A BigQuery emulator (goccy/bigquery-emulator, a Go program) on free ports of this machine, where its binary is.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(60);
const HOW: &str = "testkit/bigquery-emulator.sh builds it from Go's module proxy";

pub struct BigQueryEmulator {
    /// `http://127.0.0.1:port`
    pub url: String,
    process: Child,
}

/// Where the binary is looked for: `BIGQUERY_EMULATOR`, else the cache.
fn binary() -> Option<PathBuf> {
    if let Ok(named) = std::env::var("BIGQUERY_EMULATOR") {
        return Some(PathBuf::from(named));
    }
    let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".cache"))).ok()?;
    Some(cache.join("streamify/bigquery-emulator/bigquery-emulator")).filter(|file| file.is_file())
}

impl BigQueryEmulator {
    /// An emulator that reads `gs://` from the given Cloud Storage; `None`, loudly, where there is no binary.
    ///
    /// # Panics
    /// When the binary is there, but does not come up.
    pub async fn start(storage: &str) -> Option<BigQueryEmulator> {
        let Some(binary) = binary() else {
            eprintln!("SKIPPED: no BigQuery emulator; {HOW}");
            return None;
        };
        let (http, grpc) = (free_port().await, free_port().await);
        let mut process = Command::new(&binary)
            .args(["--host=127.0.0.1", "--project=demo", "--log-level=error"])
            .args([format!("--port={http}"), format!("--grpc-port={grpc}")])
            .env("STORAGE_EMULATOR_HOST", storage)
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let answers = tokio::time::timeout(PATIENCE, async {
            while !answers(http).await {
                if let Ok(Some(status)) = process.try_wait() {
                    panic!("{} ended with {status}", binary.display());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if answers.await.is_err() {
            let _ = process.kill();
            panic!("{} does not answer", binary.display());
        }
        Some(BigQueryEmulator { url: format!("http://127.0.0.1:{http}"), process })
    }
}

impl Drop for BigQueryEmulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
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
