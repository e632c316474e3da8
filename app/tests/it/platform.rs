//! `streamify up` on small dags: what a person does in the first five minutes, and a crash.

use crate::support::{Up, open_folder, root, streamify, text};
use std::net::TcpListener;

fn dags(folder: &std::path::Path) -> std::path::PathBuf {
    let dags = folder.join("dags");
    std::fs::create_dir_all(dags.join("examples")).unwrap();
    std::fs::copy(root().join("dags/examples/hello.yaml"), dags.join("examples/hello.yaml")).unwrap();
    dags
}

#[test]
fn a_run_is_triggered_followed_and_read_and_the_platform_survives_a_kill() {
    let folder = open_folder();
    let (data, dags) = (folder.path().join("data"), dags(folder.path()));
    let mut up = Up::start(&data, &dags);

    let output =
        up.command(&["run", "trigger", "hello", "--param", "name=Ada", "--run-id", "first", "--wait"]);
    assert!(output.status.success(), "{}", text(&output));
    let output = up.command(&["run", "logs", "hello", "first", "greet"]);
    assert!(text(&output).contains("hello, Ada"), "{}", text(&output));
    let output = up.command(&["run", "trigger", "hello", "--run-id", "first"]);
    assert!(!output.status.success() && text(&output).contains("exists already"), "{}", text(&output));
    let output = up.command(&["run", "trigger", "hello", "--param", "nam=Ada"]);
    assert!(!output.status.success() && text(&output).contains("nam"), "{}", text(&output));

    let health = up.get("/api/v2/monitor/health");
    assert!(
        health.starts_with("HTTP/1.1 200") && health.contains("\"scheduler\":{\"status\":\"healthy\""),
        "{health}"
    );
    assert!(up.get("/dags/hello").contains("The smallest useful dag"), "the page of the dag");

    // A user with a password gets a token, and with it may do what its role allows.
    let password = "correct horse battery";
    let output = up.command_with_input(&["user", "ci", "--role", "operator"], password);
    assert!(output.status.success(), "{}", text(&output));
    let short = up.command_with_input(&["user", "ci"], "short");
    assert!(!short.status.success() && text(&short).contains("too short"), "{}", text(&short));
    let trigger = r#"{"logical_date": null, "dag_run_id": "by-api", "conf": {"name": "Bob"}}"#;
    let refused = up.request("POST", "/api/v2/dags/hello/dagRuns", "", trigger);
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let login = format!(r#"{{"username": "ci", "password": "{password}"}}"#);
    let answer = up.request("POST", "/auth/token", "", &login);
    let token = answer.split("\"access_token\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let bearer =
        format!("Authorization: Bearer {}\r\n", token.unwrap_or_else(|| panic!("no token: {answer}")));
    let triggered = up.request("POST", "/api/v2/dags/hello/dagRuns", &bearer, trigger);
    assert!(triggered.starts_with("HTTP/1.1 200") && triggered.contains("by-api"), "{triggered}");
    let again = up.request("POST", "/api/v2/dags/hello/dagRuns", &bearer, trigger);
    assert!(again.starts_with("HTTP/1.1 409"), "{again}");

    // Another on the same folder, or on its port, is refused.
    let output = streamify().args(["up", "--data"]).arg(&data).output().unwrap();
    assert!(text(&output).contains("in use by another streamify"), "{}", text(&output));

    up.kill();
    let up = Up::start(&data, &dags);
    let output = up.command(&["run", "list", "hello", "--json"]);
    assert!(text(&output).contains("\"first\""), "{}", text(&output));
    let output = up.command(&["run", "trigger", "hello", "--wait"]);
    assert!(output.status.success(), "{}", text(&output));
    let output = up.command(&["doctor"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("scheduler") && said.contains("planned by"), "{said}");
    assert!(said.lines().all(|line| line.len() < 300 && !line.contains('{')), "a table for people: {said}");
    let output = up.command(&["doctor", "--json"]);
    assert!(text(&output).contains("\"oldest_snapshot_seconds\""), "all of it, for programs");
    assert!(up.stop(), "a stop by signal ends well");
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let folder = open_folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output =
        streamify().args(["up", "--port", &port, "--data"]).arg(folder.path().join("data")).output().unwrap();
    let said = text(&output);
    assert!(!output.status.success() && said.contains(&port) && said.contains("in use"), "{said}");
}
