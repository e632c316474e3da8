//! Airflow's own Python client against our server. Needs python3 and, the first time, the package registry; says loudly when it cannot.

use crate::seed::Seed;
use crate::world::{now, seeded};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use store::auth::Role;
use tokio::process::Command;

const CLIENT: &str = "apache-airflow-client==3.1.8";

/// A Python with the client, kept for the next time.
async fn python() -> Result<PathBuf, String> {
    let home = std::env::var("HOME").map_err(|_| "there is no HOME to keep it in".to_string())?;
    let venv = Path::new(&home).join(".cache/streamify/airflow-client-3.1");
    let python = venv.join("bin/python");
    let has =
        Command::new(&python).args(["-c", "import airflow_client.client"]).stderr(Stdio::null()).status();
    if has.await.is_ok_and(|status| status.success()) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--timeout", "10", CLIENT])).await?;
    Ok(python)
}

async fn run(command: &mut Command) -> Result<String, String> {
    let done = command.output().await.map_err(|error| format!("{command:?}: {error}"))?;
    let told = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.success() { Ok(told) } else { Err(told) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn airflows_own_client_works_against_us() {
    let python = match python().await {
        Ok(python) => python,
        Err(why) => {
            testkit::skip(&format!("no Airflow client: {why}"), "it needs python3 with venv and PyPI, once");
            return;
        }
    };
    let world = seeded(None).await;
    Seed::begin(world.store.clone(), now()).await.gate(now()).await;
    let token = world.token(Role::Admin).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(axum::serve(listener, world.router.clone()).into_future());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/with_airflows_client.py");
    let told = run(Command::new(python).arg(script).env("URL", url).env("TOKEN", token)).await;
    server.abort();
    assert!(
        told.as_ref().is_ok_and(|told| told.contains("all well")),
        "{}",
        told.unwrap_or_else(|told| told)
    );
}
