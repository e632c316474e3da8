//! The nodes: started, killed, stopped for a while, each behind its own wire.

use super::processes;
use super::proxy::Wire;
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Short, so that a fault that outlives it comes often.
pub const LEASE_SECONDS: u64 = 6;

pub struct Node {
    pub name: String,
    pub wire: Wire,
    command: Launch,
    child: Child,
}

/// What a node is started with.
struct Launch {
    program: PathBuf,
    data: PathBuf,
    dags: PathBuf,
    url: String,
}

impl Node {
    pub fn start(program: &Path, folder: &Path, number: usize, database: &str, port: u16) -> Result<Node> {
        let wire = Wire::to(port)?;
        let url = database.replace(&format!(":{port}/"), &format!(":{}/", wire.port));
        let name = format!("node-{number}");
        let data = folder.join(&name);
        std::fs::create_dir(&data)?;
        let command = Launch { program: program.to_path_buf(), data, dags: folder.join("dags"), url };
        let child = command.start(&name)?;
        Ok(Node { name, wire, command, child })
    }

    pub fn signal(&self, signal: &str) -> Result<()> {
        processes::signal(&self.child.id().to_string(), signal)
    }

    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again if it has ended: killed, or because it found no database at its start.
    pub fn keep_up(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            self.child = self.command.start(&self.name)?;
        }
        Ok(())
    }

    /// Stops it softly, and starts it with another program.
    pub fn replace(&mut self, program: &Path) -> Result<()> {
        self.signal("INT")?;
        self.wait()?;
        self.command.program = program.to_path_buf();
        self.child = self.command.start(&self.name)?;
        Ok(())
    }

    /// Softly; a node that does not leave in time is killed.
    pub fn stop(mut self) -> Result<()> {
        self.signal("INT")?;
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        for _ in 0..300 {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        self.kill()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

impl Launch {
    fn start(&self, name: &str) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.data.with_extension("log"))?;
        Command::new(&self.program)
            .args(["node", "--no-web", "--data"])
            .arg(&self.data)
            .arg("--dags")
            .arg(&self.dags)
            .env("DATABASE_URL", &self.url)
            // No task of the load needs a broker.
            .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
            .env("STREAMIFY_NODE_NAME", name)
            .env("STREAMIFY_LEASE_SECONDS", LEASE_SECONDS.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }
}
