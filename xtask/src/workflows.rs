//! `cargo xtask workflows` and `alerts`: the tools that check what only GitHub or Prometheus runs. What is not here is skipped loudly;
//! `STREAMIFY_REQUIRE_TOOLS=1` makes that a failure.

use crate::{skips, tools};
use anyhow::{Context, Result, bail};
use std::path::Path;

const FOLDER: &str = ".github/workflows";

pub fn run(root: &Path) -> Result<()> {
    tool(root, "actionlint", &[])?;
    // Offline: what would be asked of GitHub (are these hashes those of the tags?) is not asked.
    tool(root, "zizmor", &["--offline", "--no-progress", FOLDER])
}

pub fn alerts(root: &Path) -> Result<()> {
    tool(root, "promtool", &["check", "rules", "deploy/prometheus/alerts.yaml"])?;
    tool(root, "promtool", &["test", "rules", "deploy/prometheus/alerts.test.yaml"])
}

fn tool(root: &Path, name: &str, arguments: &[&str]) -> Result<()> {
    let whole = [&[name], arguments].concat().join(" ");
    let Some(program) = tools::find(name) else {
        return skips::skip(&whole, &format!("no {name}"), tools::REMEDY);
    };
    let status = tools::command(&program).args(arguments).current_dir(root).status();
    if !status.with_context(|| program.display().to_string())?.success() {
        bail!("`{whole}` failed");
    }
    eprintln!("{whole}: nothing found");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn workflows() -> Vec<(PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = std::fs::read_dir(root.join(super::FOLDER)).unwrap();
        let files = folder.map(|entry| entry.unwrap().path());
        files.map(|file| (file.clone(), std::fs::read_to_string(file).unwrap())).collect()
    }

    /// What is wrong with one `uses:`.
    fn pin(uses: &str) -> Option<&'static str> {
        let (reference, comment) = uses.split_once('#').unwrap_or((uses, ""));
        let reference = reference.trim().trim_matches('"');
        if reference.starts_with("./") {
            return None;
        }
        let Some((_, pin)) = reference.split_once('@') else { return Some("has no version") };
        let is_hash =
            pin.len() == 40 && pin.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        match (is_hash, comment.trim().starts_with('v')) {
            (false, _) => Some("is not pinned by a commit"),
            (true, false) => Some("does not say its version in a comment"),
            (true, true) => None,
        }
    }

    #[test]
    fn a_tag_a_branch_and_a_missing_comment_are_no_pins() {
        let hash = "3d3c42e5aac5ba805825da76410c181273ba90b1";
        assert_eq!(pin(&format!("actions/checkout@{hash} # v7.0.1")), None);
        assert_eq!(pin("./.github/workflows/rollout.yml"), None);
        for wrong in [
            "actions/checkout",
            "actions/checkout@v7",
            "actions/checkout@main # v7",
            &format!("actions/checkout@{hash}"),
        ] {
            assert!(pin(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn every_action_is_pinned_by_a_commit_and_says_its_version() {
        let mut seen = 0;
        for (file, text) in workflows() {
            for (at, line) in text.lines().enumerate() {
                let line = line.trim().trim_start_matches("- ");
                let Some(uses) = line.strip_prefix("uses:") else { continue };
                seen += 1;
                assert_eq!(pin(uses.trim()), None, "{}:{}: {uses}", file.display(), at + 1);
            }
        }
        assert!(seen > 10);
    }

    #[test]
    fn no_workflow_has_rights_that_a_job_did_not_ask_for_and_every_job_has_a_limit() {
        for (file, text) in workflows() {
            let file = file.display();
            let top: Vec<&str> = text.lines().filter(|line| line.starts_with("permissions:")).collect();
            assert_eq!(top, ["permissions: {}"], "{file}: rights are given to jobs, not to workflows");
            let count = |what: &str| text.lines().filter(|line| line.starts_with(what)).count();
            let jobs = count("    runs-on:");
            assert_eq!(count("    timeout-minutes:"), jobs, "{file}: a job without a limit");
            assert!(count("    permissions:") >= jobs, "{file}: a job that does not say its rights");
            assert!(!text.contains("pull_request_target"), "{file}: runs foreign code with our rights");
        }
    }

    /// What others write (titles, names of branches) must come to a script as a variable, never as its text.
    #[test]
    fn no_script_has_an_expression_in_it() {
        for (file, text) in workflows() {
            let mut run_at = None;
            for (at, line) in text.lines().enumerate() {
                let depth = line.len() - line.trim_start().len();
                let key = line.trim().trim_start_matches("- ");
                if run_at.is_some_and(|run: usize| !line.trim().is_empty() && depth <= run) {
                    run_at = None;
                }
                if key.starts_with("run:") {
                    run_at = Some(depth);
                }
                let is_script = run_at.is_some();
                assert!(!is_script || !line.contains("${{"), "{}:{}: {line}", file.display(), at + 1);
            }
        }
    }
}
