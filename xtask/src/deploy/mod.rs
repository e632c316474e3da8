//! `cargo xtask deploy-lint`: the container files, held to their rules and to the checkers that are there.
//!
//! The rules (`rules`, `image`) are ours and always run, as unit tests too. The checkers are foreign programs: deploy/tools.sh lays them into
//! the cache; one that is missing is skipped, loudly. `STREAMIFY_REQUIRE_TOOLS=1` makes that a failure.

mod compose;
mod env_example;
mod image;
mod rules;
mod settings;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A foreign checker: its program, what it is given, and what a missing one leaves unproven.
const CHECKERS: [(&str, &[&str], &str); 4] = [
    (
        "check-jsonschema",
        &["--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        "the schema of the compose specification",
    ),
    (
        "docker-compose",
        &["--env-file", ".env.example", "--profile", "*", "config", "--quiet"],
        "what Docker Compose makes of the file",
    ),
    ("hadolint", &["Dockerfile"], "the practices of Dockerfiles"),
    (
        "shellcheck",
        &[
            "xtask/duckdb.sh",
            "xtask/setup.sh",
            "deploy/image/assemble.sh",
            "deploy/image/skeleton.sh",
            "deploy/compose/init.sh",
            "deploy/tools.sh",
        ],
        "the shell scripts",
    ),
];

pub fn run(root: &Path) -> Result<()> {
    let problems = problems(root)?;
    for problem in &problems {
        eprintln!("deploy-lint: {problem}");
    }
    let mut failed = problems.len();
    for (program, arguments, about) in CHECKERS {
        match find(program) {
            None => {
                eprintln!("deploy-lint: SKIPPED {about}: {program} is not here; deploy/tools.sh fetches it")
            }
            Some(path) => {
                let status = Command::new(&path).current_dir(root).args(arguments).status();
                let status = status.with_context(|| format!("{}: cannot start", path.display()))?;
                eprintln!("deploy-lint: {program} {}", if status.success() { "ok" } else { "FAILED" });
                failed += usize::from(!status.success());
            }
        }
    }
    if failed > 0 {
        bail!("{failed} problems");
    }
    Ok(())
}

/// Whether a check that cannot be made is a failure, as in CI.
pub fn requires_tools() -> bool {
    std::env::var_os("STREAMIFY_REQUIRE_TOOLS").is_some()
}

/// What our own rules say.
fn problems(root: &Path) -> Result<Vec<String>> {
    let read = |name: &str| std::fs::read_to_string(root.join(name)).with_context(|| name.to_string());
    let settings = settings::Settings::read(&read("app/src/settings.rs")?);
    let text = read("docker-compose.yml")?;
    let file = compose::File::parse(&text).context("docker-compose.yml")?;
    let mut problems = rules::problems(&file, &settings);
    problems.extend(env_example::problems(&text, &read(".env.example")?));
    problems.extend(image::problems(&read("Dockerfile")?, &read(".dockerignore")?, &settings));
    Ok(problems)
}

/// In the cache of deploy/tools.sh, or on the path.
fn find(program: &str) -> Option<PathBuf> {
    let own = cache().map(|cache| cache.join("tools/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = own.into_iter().chain(std::env::split_paths(&path));
    folders.find_map(|folder| Some(folder.join(program)).filter(|file| file.is_file()))
}

/// Where setup and the tools keep what they fetch, as the Makefile and xtask/setup.sh have it.
pub fn cache() -> Option<PathBuf> {
    let own = std::env::var_os("STREAMIFY_CACHE").map(PathBuf::from);
    let base = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    own.or_else(|| base().or_else(home).map(|base| base.join("streamify")))
}

/// What the image's last stage sets with ENV.
pub fn image_environment(dockerfile: &str) -> Vec<(String, String)> {
    image::environment(dockerfile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_files_keep_our_rules() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let problems = problems(&root).expect("the files can be read");
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
