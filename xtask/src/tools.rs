//! Foreign checkers: where they are found, and the script that fetches them into the cache at pinned versions.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const ALL: &str = "--all";
pub const REMEDY: &str = "`cargo xtask tools` fetches it";

/// `--all`: also what takes minutes to build (Docker Compose, the BigQuery emulator). What cannot be fetched is said, and is no failure
/// here: whoever wants to use it skips, or fails where `STREAMIFY_REQUIRE_TOOLS` is set.
pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.iter().find(|argument| argument.as_str() != ALL) {
        bail!("unknown argument `{unknown}`; there is {ALL}");
    }
    let status = Command::new(root.join("deploy/tools.sh")).args(arguments).current_dir(root).status();
    let status = status.context("deploy/tools.sh cannot start")?;
    if !status.success() {
        bail!("deploy/tools.sh failed ({status})");
    }
    Ok(())
}

/// In the cache of deploy/tools.sh, or on the path.
pub fn find(program: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A program that finds the other ones, too (actionlint starts shellcheck).
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Ok(path) = std::env::join_paths(folders()) {
        command.env("PATH", path);
    }
    command
}

fn folders() -> Vec<PathBuf> {
    let own = cache().map(|cache| cache.join("tools/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.into_iter().chain(std::env::split_paths(&path)).collect()
}

/// Where setup and the tools keep what they fetch, as the Makefile and xtask/setup.sh have it.
pub fn cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let base = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    set("STREAMIFY_CACHE").or_else(|| base().map(|base| base.join("streamify")))
}
