//! What keeps the house in shape: every rule names the file and what to do.

mod arrows;
mod documents;
mod migrations;
mod sizes;
mod words;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn run(root: &Path) -> Result<()> {
    let files = tracked(root)?;
    let mut problems = arrows::check(root)?;
    problems.extend(sizes::check(root, &files));
    problems.extend(words::check(root, &files));
    problems.extend(documents::check(root, &files));
    problems.extend(migrations::check(root, &files));
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        eprintln!("tidy: {problem}");
    }
    bail!("{} problems", problems.len())
}

/// The files git tracks or would track.
fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect())
}
