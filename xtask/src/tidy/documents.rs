//! ARCHITECTURE.md names every room, documents link only to what exists, and each test that docs/faults.md names is there.

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
    let documents = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    problems.extend(documents.flat_map(|file| broken_links(root, file)));
    problems.extend(missing_tests(root, files));
    problems
}

/// Links to files that do not exist, or to headings that their file does not have.
fn broken_links(root: &Path, file: &Path) -> Vec<String> {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let text = read(&root.join(file));
    let folder = file.parent().unwrap_or(Path::new(""));
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local = targets.filter(|target| !target.contains("://") && !target.contains(char::is_whitespace));
    let mut problems = Vec::new();
    for target in local {
        let (path, heading) = target.split_once('#').unwrap_or((target, ""));
        let place = if path.is_empty() { root.join(file) } else { root.join(folder).join(path) };
        if !place.exists() {
            problems.push(format!("{} links to {target}, which does not exist", file.display()));
        } else if !heading.is_empty()
            && !read(&place).lines().any(|line| slug(line).as_deref() == Some(heading))
        {
            problems.push(format!("{} links to {target}, and there is no such heading", file.display()));
        }
    }
    problems
}

/// The anchor of a heading, as GitHub makes it.
fn slug(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_those_of_github() {
        assert_eq!(slug("## Several nodes").as_deref(), Some("several-nodes"));
        assert_eq!(slug("# `for_each:` over outputs, twice").as_deref(), Some("for_each-over-outputs-twice"));
        assert_eq!(slug("#no heading"), None);
    }
}
