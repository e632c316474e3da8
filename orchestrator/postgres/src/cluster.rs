//! The files of the cluster: made once by `initdb`, with a password of its own.

use crate::account::Account;
use crate::binaries::Binaries;
use crate::error::Error;
use rand::distr::{Alphanumeric, SampleString};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub const USER: &str = "streamify";
pub const DATABASE: &str = "streamify";

pub struct Cluster {
    pub folder: PathBuf,
    pub password: String,
}

impl Cluster {
    /// Opens the cluster under `home`, or makes it. A half-made one (killed during `initdb`) is made anew.
    pub fn open(home: &Path, binaries: &Binaries, account: &Account) -> Result<Cluster, Error> {
        let folder = home.join("data");
        let password_file = home.join("password");
        let complete = home.join("complete");
        if complete.is_file() {
            check_version(&folder, binaries)?;
            let password =
                fs::read_to_string(&password_file).map_err(Error::io(&password_file, "read the password"))?;
            return Ok(Cluster { folder, password });
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::io(&folder, "remove a half-made cluster"))?;
        }
        fs::create_dir_all(home).map_err(Error::io(home, "create"))?;
        account.own(home)?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        write_private(&password_file, &password)?;
        account.own(&password_file)?;
        initdb(&folder, &password_file, binaries, account)?;
        write_private(&complete, "initdb succeeded\n")?;
        Ok(Cluster { folder, password })
    }
}

fn initdb(folder: &Path, password_file: &Path, binaries: &Binaries, account: &Account) -> Result<(), Error> {
    let program = binaries.path("initdb");
    let output = account
        .command(&program, None)
        .arg("--pgdata")
        .arg(folder)
        .arg(format!("--pwfile={}", password_file.display()))
        .args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"])
        .args(["--no-instructions", "--data-checksums"])
        .output()
        .map_err(Error::io(&program, "start"))?;
    if output.status.success() {
        return Ok(());
    }
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(Error::Program {
        program: "initdb",
        status: output.status.to_string(),
        output: text.trim().to_string(),
    })
}

fn check_version(folder: &Path, binaries: &Binaries) -> Result<(), Error> {
    let file = folder.join("PG_VERSION");
    let found = fs::read_to_string(&file).map_err(Error::io(&file, "read"))?.trim().to_string();
    if found == binaries.major.to_string() {
        return Ok(());
    }
    Err(Error::Version { path: folder.to_path_buf(), found, installed: binaries.major.to_string() })
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let open = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Error::io(path, "write"))
}
