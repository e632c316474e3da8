//! ARCHITECTURE.md names every room, and the documents link only to what exists.

use std::path::Path;

pub fn check(root: &Path) -> Vec<String> {
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
    problems
}
