//! `.env.example` says exactly what docker-compose.yml lets a person choose, with the same defaults.

use std::collections::BTreeMap;

/// What Compose itself reads.
const OF_COMPOSE: [&str; 1] = ["COMPOSE_PROFILES"];

pub fn problems(compose: &str, example: &str) -> Vec<String> {
    let (wanted, mut problems) = interpolations(compose);
    let given: BTreeMap<&str, &str> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();
    for (name, default) in &wanted {
        match given.get(name.as_str()) {
            None => problems.push(format!(".env.example: {name} is missing (docker-compose.yml uses it)")),
            Some(value) if value != default => problems.push(format!(
                ".env.example: {name}={value}, but docker-compose.yml has the default `{default}`"
            )),
            Some(_) => {}
        }
    }
    let known = |name: &str| wanted.contains_key(name) || OF_COMPOSE.contains(&name);
    problems.extend(
        given
            .keys()
            .filter(|name| !known(name))
            .map(|name| format!(".env.example: {name} is not used by docker-compose.yml")),
    );
    problems
}

/// Each `${NAME:-default}`. One without a default would make Compose ask everybody for it.
fn interpolations(compose: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut found, mut problems) = (BTreeMap::<String, String>::new(), Vec::new());
    let lines = compose.lines().filter(|line| !line.trim_start().starts_with('#'));
    for part in lines.flat_map(|line| line.split("${").skip(1)) {
        let inside = part.split('}').next().unwrap_or_default();
        let Some((name, default)) = inside.split_once(":-") else {
            problems.push(format!("docker-compose.yml: ${{{inside}}} has no default"));
            continue;
        };
        let earlier = found.insert(name.to_string(), default.to_string());
        if earlier.as_ref().is_some_and(|earlier| earlier != default) {
            problems.push(format!("docker-compose.yml: {name} has two different defaults"));
        }
    }
    (found, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_and_example_must_agree() {
        let compose = "a: ${A:-1}\nb: x${B:-}\n# ${C:-3}\n";
        assert_eq!(problems(compose, "COMPOSE_PROFILES=core\nA=1\nB=\n"), Vec::<String>::new());
        let wrong = problems("a: ${A:-1} ${A:-2}\nb: ${B}\nc: ${C:-3}", "A=2\nC=4\nD=5\n# C=3\n");
        for text in ["A has two different defaults", "${B} has no default", "C=4, but", "D is not used"] {
            assert!(wrong.iter().any(|problem| problem.contains(text)), "{text}: {wrong:?}");
        }
        assert_eq!(wrong.len(), 4, "{wrong:?}");
    }
}
