//! What every service of docker-compose.yml must be: closed, limited, watched, and told only what the program knows.

use super::compose::{File, Service};
use super::settings::Settings;

const PROFILES: [&str; 3] = ["core", "pipeline", "emulators"];
/// Words in the names of variables whose values must not stand in an environment; a file (`.._FILE`) may.
const SECRET_WORDS: [&str; 5] = ["PASSWORD", "SECRET", "TOKEN", "PRIVATE_KEY", "CREDENTIALS"];

pub fn problems(file: &File, settings: &Settings) -> Vec<String> {
    let services = file.services();
    let networks = file.networks();
    let mut problems = Vec::new();
    for service in &services {
        let mut found = closed(service);
        found.extend(limited(service));
        found.extend(watched(service, &services));
        found.extend(told(service, settings));
        found.extend(reached(service, &networks));
        problems.extend(
            found.into_iter().map(|problem| format!("docker-compose.yml: {}: {problem}", service.name)),
        );
    }
    problems
}

fn closed(service: &Service<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            problems.push(what.to_string());
        }
    };
    must(service.is("/read_only"), "read_only is not true");
    must(service.list("/cap_drop") == ["ALL"], "cap_drop is not [ALL]");
    must(service.at("/cap_add").is_none(), "cap_add gives rights back");
    must(service.list("/security_opt").contains(&"no-new-privileges:true"), "no-new-privileges is not set");
    must(!service.is("/privileged"), "it is privileged");
    for field in ["/network_mode", "/pid", "/ipc"] {
        must(service.at(field).is_none(), &format!("{} leaves its own namespace", &field[1..]));
    }
    let user = service.text("/user").split(':').next().unwrap_or_default().to_string();
    must(user.parse::<u32>().is_ok_and(|id| id > 0), "user is no fixed number above 0");
    must(
        !service.list("/volumes").iter().any(|volume| volume.contains("docker.sock")),
        "it has the engine's socket",
    );
    must(is_pinned(service.text("/image")), "image has no version tag");
    problems
}

/// A tag that is a version, or the image that is built here.
fn is_pinned(image: &str) -> bool {
    if let Some(own) = image.strip_prefix("${STREAMIFY_IMAGE:-") {
        return own.contains(':');
    }
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map_or("", |(_, tag)| tag);
    tag.bytes().any(|byte| byte.is_ascii_digit()) && tag != "latest"
}

fn limited(service: &Service<'_>) -> Vec<String> {
    let limits = "/deploy/resources/limits";
    let missing = ["cpus", "memory", "pids"]
        .into_iter()
        .filter(|limit| service.at(&format!("{limits}/{limit}")).is_none());
    let mut problems: Vec<String> = missing.map(|limit| format!("no limit of {limit}")).collect();
    if service.at("/logging/options/max-size").is_none() {
        problems.push("its log has no limit".to_string());
    }
    problems
}

/// A health check of its own, or an end that others wait for; and what is waited for can be waited for.
fn watched(service: &Service<'_>, all: &[Service<'_>]) -> Vec<String> {
    const COMPLETED: &str = "service_completed_successfully";
    let mut problems = Vec::new();
    let ends = all.iter().any(|other| other.waits_for().contains(&(service.name, COMPLETED)));
    let disabled = service.is("/healthcheck/disable");
    if disabled != ends {
        problems
            .push("health check and `service_completed_successfully` go either way, not both".to_string());
    }
    if !disabled && service.list("/healthcheck/test").first() != Some(&"CMD") {
        problems.push("no health check of the form [CMD, ..]".to_string());
    }
    for (name, condition) in service.waits_for() {
        match all.iter().find(|other| other.name == name) {
            None => problems.push(format!("waits for {name}, which is not there")),
            Some(_) if condition == "service_started" => {
                problems.push(format!(
                    "waits until {name} is started, which says nothing; wait until it is healthy"
                ));
            }
            Some(_) => {}
        }
    }
    let profiles = service.list("/profiles");
    if profiles.is_empty() || profiles.iter().any(|profile| !PROFILES.contains(profile)) {
        problems.push(format!("profiles must be of {PROFILES:?}"));
    }
    problems
}

fn told(service: &Service<'_>, settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, _) in service.entries("/environment") {
        if Settings::claims(name) && !settings.knows(name) {
            problems.push(format!("the program knows no {name}"));
        }
        let looks_secret = SECRET_WORDS.iter().any(|word| name.contains(word));
        if (looks_secret || settings.is_secret(name)) && !name.ends_with("_FILE") {
            problems.push(format!("{name} is a secret: give it as a file ({name}_FILE and `secrets`)"));
        }
    }
    problems
}

/// Ports are published on loopback only, and by services that need the way in.
fn reached(service: &Service<'_>, networks: &[(&str, bool)]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut ports = service.list("/ports");
    if service.at("/ports").is_some() && ports.is_empty() {
        ports.push("(not of the short form)");
    }
    problems.extend(
        ports
            .iter()
            .filter(|port| !port.starts_with("127.0.0.1:"))
            .map(|port| format!("port {port} is published beyond 127.0.0.1")),
    );
    let of = service.list("/networks");
    for name in &of {
        if !networks.iter().any(|(known, _)| known == name) {
            problems.push(format!("network {name} is not declared"));
        }
    }
    if !of.iter().any(|name| networks.contains(&(*name, true))) {
        problems.push("it is in no internal network".to_string());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
services:
  a:
    image: example/a:1.2
    profiles: [core]
    read_only: true
    cap_drop: [ALL]
    security_opt: ['no-new-privileges:true']
    user: '10:10'
    environment: { STREAMIFY_PORT: '1', DATABASE_URL_FILE: /run/secrets/x }
    ports: ['127.0.0.1:80:80']
    networks: [inside]
    logging: { options: { max-size: 1m } }
    healthcheck: { test: [CMD, a] }
    deploy: { resources: { limits: { cpus: '1', memory: 1g, pids: 9 } } }
networks: { inside: { internal: true } }
";

    fn found(text: &str) -> Vec<String> {
        let settings = Settings::read(
            "pub const SETTINGS = [setting(\"port\", \"STREAMIFY_PORT\"), Setting { variable: \"DATABASE_URL\", secret: true }]",
        );
        problems(&File::parse(text).unwrap(), &settings)
    }

    #[test]
    fn each_rule_names_what_breaks_it() {
        assert_eq!(found(GOOD), Vec::<String>::new());
        let cases = [
            ("read_only: true", "read_only: false", "read_only is not true"),
            ("cap_drop: [ALL]", "cap_drop: [NET_RAW]", "cap_drop"),
            ("'no-new-privileges:true'", "'x'", "no-new-privileges"),
            ("user: '10:10'", "user: '0:0'", "fixed number above 0"),
            ("user: '10:10'", "user: root", "fixed number above 0"),
            ("user: '10:10'", "user: '10'\n    privileged: true", "privileged"),
            ("a:1.2", "a:latest", "version tag"),
            ("a:1.2", "a", "version tag"),
            ("127.0.0.1:80:80", "80:80", "beyond 127.0.0.1"),
            ("127.0.0.1:80:80", "0.0.0.0:80:80", "beyond 127.0.0.1"),
            ("networks: [inside]", "networks: [outside]", "not declared"),
            ("internal: true", "internal: false", "no internal network"),
            ("memory: 1g, ", "", "no limit of memory"),
            ("max-size: 1m", "max-file: '1'", "log has no limit"),
            ("STREAMIFY_PORT: '1'", "STREAMIFY_PROT: '1'", "knows no STREAMIFY_PROT"),
            ("DATABASE_URL_FILE", "DATABASE_URL", "is a secret"),
            ("STREAMIFY_PORT: '1'", "POSTGRES_PASSWORD: x", "is a secret"),
            ("test: [CMD, a]", "test: a", "no health check"),
            ("test: [CMD, a]", "disable: true", "either way"),
            ("profiles: [core]", "profiles: [other]", "profiles must be"),
            ("networks: [inside]", "networks: [inside]\n    depends_on: [b]", "b, which is not there"),
            ("networks: [inside]", "networks: [inside]\n    depends_on: [a]", "says nothing"),
        ];
        for (from, to, wanted) in cases {
            let broken = GOOD.replacen(from, to, 1);
            assert_ne!(broken, GOOD, "{from}");
            let said = found(&broken);
            assert!(said.iter().any(|problem| problem.contains(wanted)), "{to}: {said:?}");
        }
    }
}
