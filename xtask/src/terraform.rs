//! `cargo xtask terraform`: format, then validation and tests of every module and environment against the schema of the real provider.
//! `--quick`, as CI does it: of the environments alone, which are made of all modules.
//!
//! The provider lies in a mirror outside the repository, laid out as `terraform providers mirror` does it; `--fetch-provider` fills it from
//! the registry. What is missing is skipped loudly; `STREAMIFY_REQUIRE_TOOLS=1` makes that a failure. Terraform works on a copy, so that
//! neither its folders nor its lock files appear here.

use crate::skips::skip;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

const FETCH: &str = "--fetch-provider";
const QUICK: &str = "--quick";
/// Modules first: what others are made of fails first.
const GROUPS: [&str; 2] = ["terraform/modules", "terraform/envs"];
/// What the configuration reads, itself among it.
const READS: [&str; 3] = ["terraform", "dags/streamify/schemas", "deploy/prometheus"];

pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.iter().find(|argument| ![FETCH, QUICK].contains(&argument.as_str())) {
        bail!("unknown argument `{unknown}`; there are {FETCH} and {QUICK}");
    }
    let is_given = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if Command::new("terraform").arg("version").output().is_err() {
        return skip(
            "terraform",
            "no terraform",
            "it is at https://developer.hashicorp.com/terraform/install",
        );
    }
    let format = Command::new("terraform")
        .args(["fmt", "-check", "-recursive", "-diff", "terraform"])
        .current_dir(root)
        .env_remove("TF_CLI_CONFIG_FILE")
        .status()?;
    if !format.success() {
        bail!("terraform files are not formatted: terraform fmt -recursive terraform");
    }
    let mirror = mirror()?;
    let work = Work::new(root, &mirror)?;
    if is_given(FETCH) {
        work.fetch(&mirror)?;
    }
    if !mirror.join("registry.terraform.io/hashicorp/google").is_dir() {
        return skip(
            "terraform validate and test",
            &format!("no google provider in {}", mirror.display()),
            &format!("`cargo xtask terraform {FETCH}` puts it there"),
        );
    }
    let groups = if is_given(QUICK) { &GROUPS[1..] } else { &GROUPS };
    work.check_all(groups)
}

fn mirror() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("streamify/terraform/providers"))
}

fn folders(root: &Path, groups: &[&str]) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for group in groups {
        let folder = root.join(group);
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut names: Vec<PathBuf> =
            entries.map(|entry| Ok(Path::new(group).join(entry?.file_name()))).collect::<Result<_>>()?;
        names.sort();
        folders.append(&mut names);
    }
    Ok(folders)
}

/// A copy to work on, removed at the end.
struct Work {
    root: PathBuf,
    settings: PathBuf,
}

impl Work {
    fn new(root: &Path, mirror: &Path) -> Result<Work> {
        let folder = std::env::temp_dir().join(format!("streamify-terraform-{}", std::process::id()));
        for from in READS {
            copy(&root.join(from), &folder.join(from))?;
        }
        let settings = folder.join("settings.tfrc");
        let path = mirror.display();
        std::fs::write(
            &settings,
            format!("provider_installation {{\n  filesystem_mirror {{ path = \"{path}\" }}\n}}\n"),
        )?;
        Ok(Work { root: folder, settings })
    }

    fn fetch(&self, mirror: &Path) -> Result<()> {
        std::fs::create_dir_all(mirror)?;
        let status = Command::new("terraform")
            .args(["providers", "mirror"])
            .arg(mirror)
            .current_dir(self.root.join("terraform/envs/prod"))
            .env("CHECKPOINT_DISABLE", "1")
            .status()?;
        if !status.success() {
            bail!("the provider could not be fetched: is registry.terraform.io within reach?");
        }
        Ok(())
    }

    fn check_all(&self, groups: &[&str]) -> Result<()> {
        let folders = folders(&self.root, groups)?;
        // Two at a time: each loads a provider of hundreds of megabytes.
        let halves: Vec<Vec<&PathBuf>> =
            (0..2).map(|half| folders.iter().skip(half).step_by(2).collect()).collect();
        let failures: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = halves
                .iter()
                .map(|half| {
                    scope.spawn(|| half.iter().filter_map(|folder| self.check(folder).err()).collect())
                })
                .collect();
            let ends = threads.into_iter().map(|thread| thread.join().expect("checking does not panic"));
            ends.flat_map(|errors: Vec<anyhow::Error>| errors).map(|error| format!("{error:#}")).collect()
        });
        if !failures.is_empty() {
            bail!("{}", failures.join("\n\n"));
        }
        Ok(())
    }

    fn check(&self, folder: &Path) -> Result<()> {
        let begun = Instant::now();
        self.terraform(folder, &["init", "-backend=false", "-input=false"])?;
        self.terraform(folder, &["validate"])?;
        let output = self.terraform(folder, &["test"])?;
        let outcome = String::from_utf8_lossy(&output.stdout);
        let outcome = outcome.lines().rev().find(|line| line.contains("passed")).unwrap_or_default();
        eprintln!("{}: {outcome} {:.1} s", folder.display(), begun.elapsed().as_secs_f64());
        if !outcome.starts_with("Success!") || outcome.contains(" 0 passed") {
            bail!("{}: there are no tests", folder.display());
        }
        Ok(())
    }

    fn terraform(&self, folder: &Path, arguments: &[&str]) -> Result<Output> {
        let output = Command::new("terraform")
            .args(arguments)
            .arg("-no-color")
            .current_dir(self.root.join(folder))
            .env("TF_CLI_CONFIG_FILE", &self.settings)
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .output()?;
        if !output.status.success() {
            let said = [&output.stdout[..], &output.stderr[..]].concat();
            let command = arguments.join(" ");
            bail!("{}: terraform {command} failed\n{}", folder.display(), String::from_utf8_lossy(&said));
        }
        Ok(output)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Without what Terraform itself left in somebody's folders.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (name, to) = (entry.file_name(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            if name != ".terraform" {
                copy(&entry.path(), &to)?;
            }
        } else if name != ".terraform.lock.hcl" && name != "terraform.tfvars" {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
