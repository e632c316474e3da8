//! `streamify dag test` and `streamify dag next`: what a dag would do, without a platform.

use crate::support::{root, streamify, text};
use serde_json::Value;

const DAG: &str = "
dag: nightly
schedule: { cron: '30 2 * * *', timezone: Europe/Zurich }
window: day
tasks:
  load: { for_each: [a, b], uses: process, with: { command: [echo, '{{ item }}', '{{ window.end }}'] }, retries: { limit: 1, delay: 5s } }
  tell: { needs: load, uses: process, with: { command: [echo, done] } }
";

fn folder(test: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("nightly.yaml"), DAG).unwrap();
    std::fs::write(folder.path().join("nightly.test.yaml"), test).unwrap();
    folder
}

#[test]
fn the_tests_of_the_shipped_dags_pass() {
    let output = streamify().args(["dag", "test"]).output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("dags/streamify/hourly.test.yaml: a quiet hour"), "{said}");
    assert!(said.contains(" 0 failed, 0 problems"), "{said}");
    let validated = streamify().args(["dag", "validate"]).output().unwrap();
    assert!(validated.status.success(), "a test is no dag: {}", text(&validated));
}

#[test]
fn what_is_not_as_expected_fails_with_its_line_and_what_happened() {
    let test = "
cases:
  - name: fine
    expect: { run: success, rendered: { 'load[1]': { with: { command: [echo, b, '2025-12-31T23:00:00Z'] } } } }
  - name: wrong
    tasks: { 'load[0]': { fails: 2 } }
    expect: { run: success, tasks: { tell: success } }
";
    let folder = folder(test);
    let run = |arguments: &[&str]| {
        let mut command = streamify();
        command.args(["dag", "test", "--dags"]).arg(folder.path()).args(arguments).output().unwrap()
    };
    let output = run(&[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "nightly.test.yaml: fine",
        "nightly.test.yaml:7:20: the run: expected success, was failed (load[0] failed: failed, 1 retries used)",
        "nightly.test.yaml:7:38: tell: expected success, was upstream_failed",
        "load[0]  up_for_retry: failed, retry 1 of 1, again in 5s",
        "1 passed, 1 failed",
    ] {
        assert!(said.contains(part), "'{part}' is missing:\n{said}");
    }
    let json: Value = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
    assert_eq!((&json["passed"], json["cases"].as_array().map(Vec::len)), (&Value::Bool(false), Some(2)));
    assert_eq!(json["cases"][1]["misses"][0]["line"], 7);
}

#[test]
fn a_branch_decides_by_itself_from_what_the_test_gives() {
    let folder = tempfile::tempdir().unwrap();
    let dag = "
dag: choice
params: { rows: 0 }
tasks:
  how: { uses: branch, with: { cases: [{ if: '{{ params.rows > 10 }}', then: full }], else: quick } }
  full: { needs: how, uses: process, with: { command: [echo, full] } }
  quick: { needs: how, uses: process, with: { command: [echo, quick] } }
";
    let test = "
cases:
  - { params: { rows: 11 }, expect: { tasks: { full: success, quick: skipped } } }
  - { expect: { tasks: { full: skipped, quick: success } } }
  - { tasks: { how: { chooses: [full] } }, expect: { tasks: { full: success, quick: skipped } } }
";
    std::fs::write(folder.path().join("choice.yaml"), dag).unwrap();
    std::fs::write(folder.path().join("choice.test.yaml"), test).unwrap();
    let output = streamify().args(["dag", "test"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_test_that_cannot_be_read_is_told_with_its_place() {
    let broken = folder("{ tasks: { lod: failed }, expect: { run: fine } }");
    let output = streamify().args(["dag", "test"]).arg(broken.path()).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nightly.test.yaml:1:12: dag 'nightly' has no task 'lod'"), "{said}");
    assert!(said.contains("did you mean 'load'?"), "{said}");
    let lost = folder("{ dag: weekly, expect: { run: success } }");
    let output = streamify().args(["dag", "test"]).arg(lost.path()).output().unwrap();
    assert!(text(&output).contains("there is no dag 'weekly'"), "{}", text(&output));
}

#[test]
fn ticks_to_come_are_told_in_utc_and_in_the_zone_of_the_dag() {
    let folder = folder("expect: { run: success }");
    let next = |arguments: &[&str]| {
        let mut command = streamify();
        command.args(["dag", "next", "--dags"]).arg(folder.path()).args(arguments).output().unwrap()
    };
    let output = next(&["nightly", "--count", "2", "--after", "2024-03-30T12:00:00Z"]);
    let said = text(&output);
    // 02:30 does not exist on 31 March 2024: the clocks go from 02:00 to 03:00.
    assert!(said.contains("2024-03-31 01:00:00 UTC") && said.contains("Sun 2024-03-31 03:00 CEST"), "{said}");
    assert!(said.contains("2024-03-29 23:00 .. 2024-03-30 23:00"), "{said}");
    let output = next(&["nightly", "--count", "1", "--after", "2024-03-30T12:00:00Z", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ticks"][0]["tick"], "2024-03-31T01:00:00Z");
    for (schedule, note) in [
        ("manual", "runs by hand only: streamify run trigger other"),
        ("'@once'", "runs once, when it is first seen"),
        ("{ at: 2020-01-01 }", "has no further ticks"),
    ] {
        let dag = format!(
            "dag: other\nschedule: {schedule}\ntasks:\n  x: {{ uses: process, with: {{ command: [\"true\"] }} }}\n"
        );
        std::fs::write(folder.path().join("other.yaml"), dag).unwrap();
        let said = text(&next(&["other"]));
        assert!(said.contains(note), "{said}");
    }
}

#[test]
fn the_example_of_the_manual_is_a_test_that_passes() {
    let manual = std::fs::read_to_string(root().join("docs/testing-dags.md")).unwrap();
    let example = manual.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manual.test.yaml");
    std::fs::write(&file, example).unwrap();
    let output = streamify().args(["dag", "test"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
