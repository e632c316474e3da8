//! What could not be checked on this machine: said at once, and again as a table at the end of `cargo xtask ci`, where it is read.
//!
//! Our own steps are kept here; tests add theirs to a file (`testkit::skip`). `STREAMIFY_REQUIRE_TOOLS=1` makes a skip a failure.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The variable that tells tests the file, as `testkit` has it.
pub const FILE: &str = "STREAMIFY_SKIPS";

#[derive(Clone, Debug, PartialEq)]
struct Skip {
    what: String,
    missing: String,
    remedy: String,
}

static OURS: Mutex<Vec<Skip>> = Mutex::new(Vec::new());

/// A check that is not made here.
pub fn skip(what: &str, missing: &str, remedy: &str) -> Result<()> {
    if std::env::var_os("STREAMIFY_REQUIRE_TOOLS").is_some() {
        bail!("{what}: {missing}: {remedy}");
    }
    eprintln!("SKIPPED {what}: {missing}: {remedy}");
    let skip = Skip { what: what.to_string(), missing: missing.to_string(), remedy: remedy.to_string() };
    OURS.lock().unwrap_or_else(PoisonError::into_inner).push(skip);
    Ok(())
}

/// Where the tests of one run of ci put theirs.
pub struct Report {
    file: PathBuf,
}

impl Report {
    pub fn new() -> Report {
        Report { file: std::env::temp_dir().join(format!("streamify-skips-{}", std::process::id())) }
    }

    pub fn variable(&self) -> (&'static str, String) {
        (FILE, self.file.display().to_string())
    }

    /// Prints all that was skipped, or that nothing was.
    pub fn print(&self) -> Result<()> {
        let mut all = OURS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(of_tests(&self.file)?);
        eprint!("{}", table(&all));
        Ok(())
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn of_tests(file: &Path) -> Result<Vec<Skip>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut skips = Vec::new();
    for line in text.lines() {
        let mut parts = line.split('\t').map(str::to_string);
        let (Some(what), Some(missing), Some(remedy)) = (parts.next(), parts.next(), parts.next()) else {
            bail!("{}: not a skip: {line}", file.display());
        };
        skips.push(Skip { what, missing, remedy });
    }
    skips.sort_by(|left, right| left.what.cmp(&right.what));
    Ok(skips)
}

fn table(skips: &[Skip]) -> String {
    if skips.is_empty() {
        return "ci: nothing was skipped\n".to_string();
    }
    let width = |of: fn(&Skip) -> &str| skips.iter().map(|skip| of(skip).chars().count()).max().unwrap_or(0);
    let (what, missing) = (width(|skip| &skip.what), width(|skip| &skip.missing));
    let rows = skips
        .iter()
        .map(|skip| format!("  {:what$}  {:missing$}  {}\n", skip.what, skip.missing, skip.remedy));
    format!(
        "ci: SKIPPED {}, not proven on this machine (what, what is missing, what brings it):\n{}",
        skips.len(),
        rows.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_skipped_is_read_from_their_file_and_shown_in_columns() {
        let report = Report { file: std::env::temp_dir().join(format!("skips-test-{}", std::process::id())) };
        assert_eq!(of_tests(&report.file).unwrap(), []);
        std::fs::write(&report.file, "web b\tno client\tinstall it\nstore a\tno pg_dump of any kind\tapt\n")
            .unwrap();
        let shown = table(&of_tests(&report.file).unwrap());
        let lines: Vec<&str> = shown.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["  store a  no pg_dump of any kind  apt", "  web b    no client               install it"]
        );
        assert!(shown.starts_with("ci: SKIPPED 2,"), "{shown}");
        std::fs::write(&report.file, "half a line").unwrap();
        assert!(of_tests(&report.file).is_err());
        assert_eq!(table(&[]), "ci: nothing was skipped\n");
    }
}
