//! What must hold of the configuration, and needs neither Terraform nor a provider to be seen.

use super::{GROUPS, folders};
use std::path::{Path, PathBuf};

/// What parts are told that not every version of the program reads; README.md lists the same.
const NOT_ALWAYS: [&str; 4] =
    ["STREAMIFY_DRAIN_SECONDS", "STREAMIFY_LOG_ARCHIVE", "STREAMIFY_MONITOR_PORT", "STREAMIFY_STOP_SECONDS"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// (path, text) of each file below a folder that ends so.
fn files(folder: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(".terraform") {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn words<'a>(text: &'a str, is_part: impl Fn(char) -> bool + 'a) -> impl Iterator<Item = &'a str> {
    text.split(move |c| !is_part(c)).filter(|word| !word.is_empty())
}

/// Names of environment variables: upper-case words with an underscore, before an equals sign.
fn told(text: &str) -> Vec<&str> {
    let names = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| {
        let parts: Vec<&str> = line.split(" = ").collect();
        let before = parts.split_last().map_or(Vec::new(), |(_, before)| before.to_vec());
        before.into_iter().filter_map(|part| part.trim_end().rsplit([' ', '{', '(', ',']).next())
    });
    names
        .filter(|name| name.contains('_') && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect()
}

#[test]
fn parts_are_told_settings_that_the_program_has() {
    let settings = read("app/src/settings.rs");
    let environment = read("terraform/modules/platform/environment.tf");
    let names = told(&environment);
    assert!(names.len() > 12 && names.contains(&"STREAMIFY_ANONYMOUS"), "{names:?}");
    for name in names {
        let is_setting = settings.contains(&format!("\"{}\"", name.trim_end_matches("_FILE")));
        assert!(is_setting || NOT_ALWAYS.contains(&name), "{name} is no setting of app/src/settings.rs");
    }
}

#[test]
fn what_not_every_version_reads_is_in_the_readme() {
    let (readme, settings) = (read("terraform/README.md"), read("app/src/settings.rs"));
    for name in NOT_ALWAYS.iter().filter(|name| !settings.contains(&format!("\"{name}\""))) {
        assert!(readme.contains(&format!("`{name}`")), "terraform/README.md does not name {name}");
    }
}

#[test]
fn charts_and_alerts_are_about_metrics_that_nodes_tell() {
    let metrics: String =
        files(&root().join("web/src/metrics"), ".rs").into_iter().map(|(_, text)| text).collect();
    let mut seen = 0;
    for (path, text) in files(&root().join("terraform/modules/watch"), ".tf") {
        let names = words(&text, |c| c.is_ascii_lowercase() || c == '_')
            .filter(|word| word.starts_with("streamify_"));
        for name in names.filter(|name| *name != "streamify_x") {
            seen += 1;
            assert!(metrics.contains(&format!("\"{name}\"")), "{}: no node tells {name}", path.display());
        }
    }
    assert!(seen >= 9, "{seen} metrics are charted");
}

#[test]
fn there_are_no_keys_no_basic_roles_and_no_default_accounts() {
    for (path, text) in files(&root().join("terraform"), ".tf") {
        for never in [
            "google_service_account_key",
            "\"roles/owner\"",
            "\"roles/editor\"",
            "\"roles/viewer\"",
            "compute@developer",
        ] {
            assert!(!text.contains(never), "{} has {never}", path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_takes_and_gives_and_is_tested() {
    let folders = folders(&root(), &GROUPS).unwrap();
    assert!(folders.len() >= 13, "{folders:?}");
    for folder in folders {
        let folder = root().join(folder);
        for file in ["variables.tf", "outputs.tf"] {
            assert!(folder.join(file).is_file(), "{} lacks {file}", folder.display());
        }
        let tests = files(&folder.join("tests"), ".tftest.hcl");
        assert!(!tests.is_empty(), "{} has no tests", folder.display());
        for (path, text) in tests {
            assert!(text.contains("mock_provider \"google\""), "{} would ask the cloud", path.display());
        }
    }
}

#[test]
fn every_run_of_a_test_asserts_something() {
    for (path, text) in files(&root().join("terraform"), ".tftest.hcl") {
        for run in text.split("\nrun ").skip(1) {
            let name = run.lines().next().unwrap_or_default();
            assert!(
                run.contains("assert {") || run.contains("expect_failures"),
                "{}: {name}",
                path.display()
            );
        }
    }
}

#[test]
fn every_input_and_output_is_described() {
    for (path, text) in files(&root().join("terraform"), ".tf") {
        let blocks = text.split("\n\n").map(str::trim_start);
        for block in blocks.filter(|block| block.starts_with("variable ") || block.starts_with("output ")) {
            assert!(
                block.contains("description"),
                "{}: {}",
                path.display(),
                block.lines().next().unwrap_or_default()
            );
        }
    }
}
