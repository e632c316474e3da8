//! Where the system keeps its newest PostgreSQL server.

use crate::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const OLDEST_MAJOR: u32 = 15;

pub struct Binaries {
    pub folder: PathBuf,
    pub major: u32,
}

impl Binaries {
    /// The newest of Debian's versioned folders, else what `pg_config` in PATH points at.
    pub fn find() -> Result<Binaries, Error> {
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = debian
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|major| has_server(&debian_folder(*major)))
            .max();
        if let Some(major) = newest.filter(|major| *major >= OLDEST_MAJOR) {
            return Ok(Binaries { folder: debian_folder(major), major });
        }
        Self::from_pg_config().ok_or(Error::NotInstalled)
    }

    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    fn from_pg_config() -> Option<Binaries> {
        let output = Command::new("pg_config").args(["--bindir", "--version"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut lines = text.lines();
        let folder = PathBuf::from(lines.next()?);
        let digits: String = lines
            .next()?
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        let major = digits.parse().ok().filter(|major| *major >= OLDEST_MAJOR)?;
        has_server(&folder).then_some(Binaries { folder, major })
    }
}

fn debian_folder(major: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))
}

fn has_server(folder: &Path) -> bool {
    folder.join("postgres").is_file() && folder.join("initdb").is_file()
}
