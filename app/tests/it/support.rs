//! The binary, in a folder of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

pub fn streamify() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamify"));
    command.current_dir(root());
    for (name, _) in std::env::vars() {
        if name.starts_with("STREAMIFY_") || name == "DATABASE_URL" || name == "KAFKA_BOOTSTRAP_SERVERS" {
            command.env_remove(name);
        }
    }
    command
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A temp folder that the postgres user may enter.
pub fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// `streamify up` until it says that it is up.
pub struct Up {
    child: Child,
    pub data: PathBuf,
    url: String,
}

impl Up {
    pub fn start(data: &Path, dags: &Path) -> Up {
        let mut command = streamify();
        command.args(["up", "--port", "0", "--data"]).arg(data).arg("--dags").arg(dags);
        let log = std::fs::File::create(data.with_extension("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut url = None;
        for line in lines.map_while(Result::ok) {
            if let Some(found) = line.trim().strip_prefix("dags ") {
                url = Some(found.trim().trim_end_matches('/').to_string());
            }
            if line.contains("Ctrl-C") {
                break;
            }
        }
        let log = || std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
        Up { child, data: data.to_path_buf(), url: url.unwrap_or_else(|| panic!("not up:\n{}", log())) }
    }

    /// A command of the command line, for this platform.
    pub fn command(&self, arguments: &[&str]) -> Output {
        streamify().args(arguments).arg("--data").arg(&self.data).output().unwrap()
    }

    /// The answer to a GET, head and body.
    pub fn get(&self, path: &str) -> String {
        self.request("GET", path, "", "")
    }

    /// The answer to a request; `headers` are whole lines.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let length = body.len();
        let json = "Content-Type: application/json";
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{json}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The same, with a line on its standard input.
    pub fn command_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = streamify();
        command.args(arguments).arg("--data").arg(&self.data).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{input}").unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As Ctrl-C does; true when it ended well.
    pub fn stop(mut self) -> bool {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.child.id() as i32),
            nix::sys::signal::Signal::SIGINT,
        )
        .unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
