//! ARCHITECTURE.md names every room, the documents link only to what exists, and each test that docs/faults.md names is there.

use std::path::{Path, PathBuf};

const FAULTS: &str = "docs/faults.md";

pub fn check(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let mut problems = Vec::new();
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let rooms = manifest.lines().filter_map(|line| line.strip_prefix("    \"")?.strip_suffix("\","));
    problems.extend(
        rooms
            .filter(|room| !map.contains(&format!("`{room}/`")))
            .map(|room| format!("ARCHITECTURE.md does not name the room `{room}/`")),
    );
    for name in ["README.md", "ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(root.join(name)).unwrap_or_default();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        problems.extend(
            local
                .filter(|target| !root.join(target.split('#').next().unwrap_or_default()).exists())
                .map(|target| format!("{name} links to {target}, which does not exist")),
        );
    }
    problems.extend(missing_tests(root, files));
    problems
}

/// Tests named in the table of faults that no source file has.
fn missing_tests(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let table = std::fs::read_to_string(root.join(FAULTS)).unwrap_or_default();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let named = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|name| name.contains('_'));
    let mut missing: Vec<&str> = named.filter(|name| *name != "max_active_runs").collect();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        missing.retain(|name| !text.contains(&format!("fn {name}()")));
    }
    missing.into_iter().map(|name| format!("{FAULTS} names the test {name}, which does not exist")).collect()
}
