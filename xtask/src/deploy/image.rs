//! What the Dockerfile must say, and what may enter its context.

use super::settings::Settings;

const MUST_HAVE: [(&str, &str); 5] = [
    ("USER ", "no user: it would run as root"),
    ("HEALTHCHECK ", "no health check"),
    ("STOPSIGNAL ", "no stop signal"),
    ("ENTRYPOINT [", "no entry point of the form [..]"),
    ("org.opencontainers.image.version", "no label of the version"),
];
const SECRET_WORDS: [&str; 4] = ["PASSWORD", "SECRET", "TOKEN", "KEY"];

pub fn problems(dockerfile: &str, ignored: &str, settings: &Settings) -> Vec<String> {
    let lines: Vec<&str> = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap_or(0);
    let (all, final_stage) = (lines.join("\n"), lines[last..].join("\n"));
    let missing = MUST_HAVE.iter().filter(|(word, _)| !final_stage.contains(word));
    let mut problems: Vec<String> = missing.map(|(_, problem)| (*problem).to_string()).collect();
    let user = final_stage.split("\nUSER ").nth(1).and_then(|rest| rest.split([':', '\n']).next());
    if user.is_some_and(|user| user.parse::<u32>().map_or(true, |id| id == 0)) {
        problems.push("the user is no fixed number above 0".to_string());
    }
    for name in names(&all) {
        if SECRET_WORDS.iter().any(|word| name.contains(word)) || settings.is_secret(name) {
            problems.push(format!("{name}: no secret may get into a layer"));
        }
        if Settings::claims(name) && !settings.knows(name) {
            problems.push(format!("the program knows no {name}"));
        }
    }
    let untagged =
        lines.iter().filter_map(|line| line.strip_prefix("FROM ")).filter(|from| !from.contains(':'));
    problems.extend(untagged.map(|from| format!("FROM {from}: no version")));
    if ignored.lines().find(|line| !line.starts_with('#')) != Some("*") {
        problems.push(
            ".dockerignore does not begin with `*`: whatever lies around gets into the context".to_string(),
        );
    }
    problems.into_iter().map(|problem| format!("Dockerfile: {problem}")).collect()
}

/// The names of build arguments and of the environment.
fn names(text: &str) -> Vec<&str> {
    let arguments = text.lines().filter_map(|line| line.trim().strip_prefix("ARG "));
    let arguments = arguments.map(|argument| argument.split('=').next().unwrap_or_default().trim());
    arguments.chain(assignments(text).map(|(name, _)| name)).collect()
}

/// What ENV sets, over its continued lines.
pub fn environment(text: &str) -> Vec<(String, String)> {
    assignments(text).map(|(name, value)| (name.to_string(), value.trim_matches('"').to_string())).collect()
}

fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut is_env = false;
    let lines = text.lines().filter_map(move |line| {
        let line = line.trim();
        let (begins, rest) = line.strip_prefix("ENV ").map_or((false, line), |rest| (true, rest));
        let is_part = begins || is_env;
        is_env = is_part && line.ends_with('\\');
        is_part.then_some(rest)
    });
    lines.flat_map(|line| line.split_whitespace().filter_map(|word| word.split_once('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "FROM rust:1.95 AS build
FROM debian:bookworm-slim
ENV PATH=/x \\
    STREAMIFY_PORT=1
USER 10:10
HEALTHCHECK CMD [\"a\"]
STOPSIGNAL SIGTERM
ENTRYPOINT [\"a\"]
LABEL org.opencontainers.image.version=1
";

    #[test]
    fn each_rule_names_what_breaks_it() {
        let settings = Settings::read("pub const SETTINGS = [setting(\"port\", \"STREAMIFY_PORT\")]");
        assert_eq!(problems(GOOD, "# x\n*\n!app\n", &settings), Vec::<String>::new());
        let cases = [
            ("USER 10:10", "USER root", "fixed number"),
            ("USER 10:10\n", "", "run as root"),
            ("HEALTHCHECK CMD [\"a\"]\n", "", "health check"),
            ("STREAMIFY_PORT", "STREAMIFY_PROT", "knows no STREAMIFY_PROT"),
            ("STREAMIFY_PORT=1", "API_TOKEN=1", "API_TOKEN: no secret"),
            ("rust:1.95", "rust", "FROM rust AS build: no version"),
        ];
        for (from, to, wanted) in cases {
            let said = problems(&GOOD.replacen(from, to, 1), "*\n", &settings);
            assert!(said.iter().any(|problem| problem.contains(wanted)), "{to}: {said:?}");
        }
        let set = environment(GOOD);
        assert_eq!(
            set,
            [("PATH", "/x"), ("STREAMIFY_PORT", "1")].map(|(name, value)| (name.into(), value.into()))
        );
        assert!(problems(GOOD, "target\n", &settings)[0].contains(".dockerignore"));
    }
}
