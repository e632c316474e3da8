//! A test that cannot prove its rule on this machine says so where it is seen: past what the harness holds back, and in the file that
//! `cargo xtask ci` reads and prints as a table at its end.

use std::io::Write;
use std::path::PathBuf;

/// The file that skips are added to, a line each; `cargo xtask ci` sets it.
const FILE: &str = "STREAMIFY_SKIPS";
/// What is missing is a failure where this is set.
const REQUIRED: &str = "STREAMIFY_REQUIRE_TOOLS";

/// Says that the running test proves nothing here: what is missing, and what brings it. The test then returns.
///
/// # Panics
/// Where `STREAMIFY_REQUIRE_TOOLS` is set, or where the file of `STREAMIFY_SKIPS` cannot be written.
pub fn skip(missing: &str, remedy: &str) {
    let thread = std::thread::current();
    let test = format!("{} {}", program(), thread.name().unwrap_or("(a thread without a name)"));
    assert!(std::env::var_os(REQUIRED).is_none(), "{missing}: {remedy} ({REQUIRED} is set)");
    let message = format!("\n*** SKIPPED {test}: {missing}: {remedy}\n");
    // Not `eprintln!`, which the harness keeps from whoever does not fail.
    let _ = std::io::stderr().write_all(message.as_bytes());
    let Some(file) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    // In one write, because test processes run at the same time.
    let line = [test.as_str(), missing, remedy].map(|part| part.replace(['\t', '\n'], " ")).join("\t") + "\n";
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(&file);
    opened
        .and_then(|mut opened| opened.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("{FILE}={}: {error}", file.display()));
}

/// The package whose tests run, as cargo tells it.
fn program() -> String {
    std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "test".to_string())
}

#[cfg(test)]
mod tests {
    use super::{FILE, REQUIRED, skip};
    use std::process::{Command, Output};

    #[test]
    #[ignore = "the other tests here start it"]
    fn something_that_skips() {
        skip("no\ttool", "install\nit");
    }

    fn run(variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "skip::tests::something_that_skips"]);
        command.env_remove(FILE).env_remove(REQUIRED).env("CARGO_PKG_NAME", "kit");
        command.envs(variables.iter().copied()).output().unwrap()
    }

    #[test]
    fn a_skip_passes_and_is_seen_though_the_harness_captures_and_each_has_its_line_in_the_file() {
        let file = std::env::temp_dir().join(format!("streamify-skips-{}", std::process::id()));
        for _ in 0..2 {
            let output = run(&[(FILE, file.to_str().unwrap())]);
            assert!(output.status.success(), "{output:?}");
            let seen = String::from_utf8(output.stderr).unwrap();
            assert!(seen.contains("SKIPPED kit skip::tests::something_that_skips: no\ttool"), "{seen}");
        }
        let lines = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(lines, "kit skip::tests::something_that_skips\tno tool\tinstall it\n".repeat(2));
    }

    #[test]
    fn a_skip_without_a_file_is_only_said_and_where_tools_are_required_it_fails() {
        assert!(run(&[]).status.success());
        assert!(!run(&[(REQUIRED, "1")]).status.success());
        assert!(
            !run(&[(FILE, "/nowhere/at/all")]).status.success(),
            "a skip that is not recorded is no skip"
        );
    }
}
