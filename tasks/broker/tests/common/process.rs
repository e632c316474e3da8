//! A broker in a process of its own, to be killed.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct BrokerProcess {
    child: Child,
    pub address: SocketAddr,
}

impl BrokerProcess {
    pub fn start(listen: SocketAddr, data_dir: &Path) -> Self {
        let mut command = Command::new(program());
        command.arg(listen.to_string()).arg(data_dir).arg("2000000");
        Self::run(command)
    }

    /// With files that cannot grow beyond `bytes`: a write ends in the middle and fails, as on a full disk.
    pub fn start_with_small_files(listen: SocketAddr, data_dir: &Path, bytes: u64) -> Self {
        let mut command = Command::new("prlimit");
        command.arg(format!("--fsize={bytes}")).args(["env", "--ignore-signal=XFSZ"]);
        command.arg(program()).arg(listen.to_string()).arg(data_dir);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening ").unwrap_or_else(|| panic!("no broker: {line:?}"));
        Self { address: address.parse().unwrap(), child }
    }

    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds examples beside the folder of the test binaries.
fn program() -> OsString {
    let test = std::env::current_exe().unwrap();
    let built: PathBuf = test.parent().and_then(Path::parent).unwrap().join("examples").join("serve");
    assert!(built.exists(), "{} is built by `cargo test -p broker`", built.display());
    built.into_os_string()
}
