//! The folder that holds all state of a node: one `up` at a time, started over on request.

use anyhow::{Context, Result, bail};
use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The file that says where the cluster really lies.
pub const POSTGRES_HOME: &str = "postgres-home";

pub struct DataFolder {
    path: PathBuf,
    /// Held as long as this lives; the kernel lets go of it when the process dies.
    _lock: File,
}

impl DataFolder {
    pub fn open(path: &Path) -> Result<DataFolder> {
        fs::create_dir_all(path)
            .with_context(|| format!("{}: cannot make the data folder", path.display()))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&file)
            .with_context(|| format!("{}: cannot open", file.display()))?;
        if lock.try_lock().is_err() {
            let holder = fs::read_to_string(&file).unwrap_or_default();
            bail!(
                "{}: in use by another streamify (process {}); stop it, or name another folder with --data",
                path.display(),
                holder.trim()
            );
        }
        lock.set_len(0)
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .with_context(|| file.display().to_string())?;
        Ok(DataFolder { path: path.to_path_buf(), _lock: lock })
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Removes all state, after asking (unless `yes`). What lies elsewhere because Postgres could not enter here is removed too.
    pub fn start_over(&self, yes: bool) -> Result<()> {
        let entries: Vec<PathBuf> = fs::read_dir(&self.path)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        if !yes
            && !asked(&format!(
                "Remove all state in {}: runs, events, lake, warehouse?",
                self.path.display()
            ))?
        {
            bail!("nothing was removed");
        }
        let elsewhere = fs::read_to_string(self.join(POSTGRES_HOME)).ok();
        for path in entries.into_iter().chain(elsewhere.map(PathBuf::from)) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("{}: cannot remove", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn asked(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("{question} There is nobody to ask; add --yes");
    }
    print!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_cannot_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::open(folder.path()).unwrap();
        let error = DataFolder::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("in use") && error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        DataFolder::open(folder.path()).unwrap();
    }

    #[test]
    fn starting_over_removes_everything_but_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        fs::create_dir(data.join("lake")).unwrap();
        fs::write(data.join("lake/x"), "1").unwrap();
        data.start_over(true).unwrap();
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["lock"]);
    }
}
