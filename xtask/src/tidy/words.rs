//! Words that do not belong in a place: music in the engine, our tables' SQL outside the store, sleeps in tests.

use std::path::{Path, PathBuf};

struct Rule {
    word: &'static str,
    /// Path prefixes where the word may not stand.
    not_in: &'static [&'static str],
    /// Only in files whose path holds this.
    only_paths: &'static str,
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        word: "listen_events",
        not_in: &["orchestrator/", "web/src/api", "web/src/pages"],
        only_paths: "/src/",
        why: "the engine knows nothing of music",
    },
    Rule {
        word: "artist",
        not_in: &[
            "orchestrator/",
            "tasks/kinds/",
            "tasks/lake/",
            "tasks/warehouse/",
            "web/src/api",
            "web/src/pages",
        ],
        only_paths: "/src/",
        why: "the engine knows nothing of music",
    },
    Rule { word: "todo!(", not_in: &[""], only_paths: ".rs", why: "a promise is not an implementation" },
    Rule {
        word: "unimplemented!(",
        not_in: &[""],
        only_paths: ".rs",
        why: "a promise is not an implementation",
    },
    Rule { word: "#[ignore", not_in: &[""], only_paths: ".rs", why: "a test that never runs proves nothing" },
    Rule {
        word: "thread::sleep(",
        not_in: &[""],
        only_paths: "/tests/",
        why: "tests wait for signals, not for time",
    },
    Rule {
        word: "time::sleep(",
        not_in: &[""],
        only_paths: "/tests/",
        why: "tests wait for signals, not for time",
    },
];

pub fn check(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let sources = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    sources.filter(|file| !file.starts_with("xtask")).flat_map(|file| check_file(root, file)).collect()
}

fn check_file(root: &Path, file: &Path) -> Vec<String> {
    let path = format!("/{}", file.display());
    let rules: Vec<&Rule> = RULES
        .iter()
        .filter(|rule| {
            path.contains(rule.only_paths) && rule.not_in.iter().any(|prefix| path[1..].starts_with(prefix))
        })
        .collect();
    let Ok(text) = std::fs::read_to_string(root.join(file)) else { return Vec::new() };
    let lines = text
        .lines()
        .enumerate()
        .take_while(|(_, line)| !line.contains("#[cfg(test)]") || path.contains("/tests/"));
    lines
        .flat_map(|(at, line)| {
            rules.iter().filter(|rule| line.contains(rule.word)).map(move |rule| (at + 1, *rule))
        })
        .map(|(line, rule)| format!("{}:{line}: `{}`: {}", file.display(), rule.word, rule.why))
        .collect()
}
