//! Which user the server runs as, and where that user can write.

use crate::Error;
use nix::unistd::{Gid, Group, Uid, User};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Account {
    /// Set when we are root and must become somebody else.
    become_user: Option<(Uid, Gid)>,
}

impl Account {
    pub fn current() -> Result<Account, Error> {
        if !Uid::effective().is_root() {
            return Ok(Account { become_user: None });
        }
        let user = User::from_name("postgres").ok().flatten().ok_or(Error::NoAccount)?;
        let group = Group::from_name("postgres").ok().flatten().map_or(user.gid, |group| group.gid);
        Ok(Account { become_user: Some((user.uid, group)) })
    }

    /// A command that runs as this account and gets `signal` when the thread that started it ends.
    pub fn command(&self, program: &Path, signal_on_parent_death: Option<&str>) -> Command {
        let mut command = Command::new("setpriv");
        if let Some(signal) = signal_on_parent_death {
            command.args(["--pdeathsig", signal]);
        }
        if let Some((uid, gid)) = self.become_user {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_string()]);
        }
        command.arg("--").arg(program).current_dir("/").env("LC_ALL", "C.UTF-8");
        command
    }

    /// The folder asked for, or one of the account's own when it cannot enter that one (a clone under root's home).
    pub fn reachable(&self, wanted: &Path) -> PathBuf {
        let Some((uid, gid)) = self.become_user else { return wanted.to_path_buf() };
        let blocked =
            wanted.ancestors().skip(1).filter_map(|folder| std::fs::metadata(folder).ok()).any(|meta| {
                let class = if meta.uid() == uid.as_raw() {
                    0o100
                } else if meta.gid() == gid.as_raw() {
                    0o010
                } else {
                    0o001
                };
                meta.mode() & class == 0
            });
        if !blocked {
            return wanted.to_path_buf();
        }
        let name: String = wanted
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        Path::new("/var/lib/streamify").join(name.trim_matches('_'))
    }

    pub fn own(&self, path: &Path) -> Result<(), Error> {
        match self.become_user {
            None => Ok(()),
            Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid.as_raw()), Some(gid.as_raw()))
                .map_err(Error::io(path, "give it to the postgres user")),
        }
    }
}
