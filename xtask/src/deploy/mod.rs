//! `cargo xtask deploy-lint`: the container files, held to their rules and to the checkers that are there.
//!
//! The rules (`rules`, `image`) are ours and always run, as unit tests too. The checkers are foreign programs, which `cargo xtask tools` lays
//! into the cache; one that is missing is skipped, loudly.

mod compose;
mod env_example;
mod image;
mod rules;
mod settings;

use crate::{skips, tools};
use anyhow::{Context, Result, bail};
use std::path::Path;

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
            "testkit/apache-kafka.sh",
            "testkit/bigquery-emulator.sh",
        ],
        "the shell scripts",
    ),
];

const SLOW: &str = "`cargo xtask tools --all` builds it (minutes)";

pub fn run(root: &Path) -> Result<()> {
    let problems = problems(root)?;
    for problem in &problems {
        eprintln!("deploy-lint: {problem}");
    }
    let mut failed = problems.len();
    for (program, arguments, about) in CHECKERS {
        match tools::find(program) {
            None => {
                let remedy = if program == "docker-compose" { SLOW } else { tools::REMEDY };
                skips::skip(&format!("deploy-lint, {about}"), &format!("no {program}"), remedy)?;
            }
            Some(path) => {
                let status = tools::command(&path).current_dir(root).args(arguments).status();
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
