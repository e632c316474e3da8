//! `streamify dag`: every problem with its file, line and a hint.

use crate::support::{root, streamify, text};

/// A file and what must be said about it.
const BROKEN: [(&str, &str, &str); 10] = [
    (
        "cycle",
        "dag: a\ntasks:\n  x: { needs: [y], uses: process, with: { command: [\"true\"] } }\n  y: { needs: [x], uses: process, with: { command: [\"true\"] } }\n",
        "cycle",
    ),
    (
        "unknown_key",
        "dag: a\nshedule: '@once'\ntasks:\n  x: { uses: process, with: { command: [\"true\"] } }\n",
        "schedule",
    ),
    ("unknown_kind", "dag: a\ntasks:\n  x: { uses: proces, with: { command: [\"true\"] } }\n", "process"),
    (
        "bad_cron",
        "dag: a\nschedule: { cron: '61 * * * *' }\ntasks:\n  x: { uses: process, with: { command: [\"true\"] } }\n",
        "61",
    ),
    (
        "duplicate_id",
        "dag: a\ntasks:\n  x: { uses: process, with: { command: [\"true\"] } }\n  x: { uses: process, with: { command: [\"true\"] } }\n",
        "x",
    ),
    (
        "missing_need",
        "dag: a\ntasks:\n  x: { needs: [nobody], uses: process, with: { command: [\"true\"] } }\n",
        "nobody",
    ),
    (
        "wrong_type",
        "dag: a\nmax_active_runs: many\ntasks:\n  x: { uses: process, with: { command: [\"true\"] } }\n",
        "max_active_runs",
    ),
    (
        "bad_template",
        "dag: a\ntasks:\n  x: { uses: process, with: { command: [echo, '{{ windw.start }}'] } }\n",
        "windw",
    ),
    ("empty", "", "empty"),
    ("not_utf8", "", "UTF-8"),
];

#[test]
fn ten_kinds_of_broken_files_are_each_told_with_their_place() {
    for (name, content, wanted) in BROKEN {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("{name}.yaml"));
        let bytes =
            if name == "not_utf8" { b"dag: \xff\xfe\n".to_vec() } else { content.as_bytes().to_vec() };
        std::fs::write(&file, bytes).unwrap();
        let output = streamify().args(["dag", "validate", "--dags"]).arg(folder.path()).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(&format!("{name}.yaml")), "{name} names no file: {said}");
        assert!(said.contains(wanted), "{name} does not speak of {wanted}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
    }
}

#[test]
fn a_wrong_value_for_a_kind_is_found_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let dag = "dag: a\ntasks:\n  x:\n    uses: http\n    with:\n      ur: http://x\n      method: FETCH\n";
    std::fs::write(folder.path().join("a.yaml"), dag).unwrap();
    let output = streamify().args(["dag", "validate", "--dags"]).arg(folder.path()).output().unwrap();
    let said = text(&output);
    for wanted in ["a.yaml:6", "unknown key `ur`", "`url` is missing", "a.yaml:7", "FETCH"] {
        assert!(said.contains(wanted), "{wanted} is missing: {said}");
    }
}

#[test]
fn what_is_shipped_is_valid_and_its_schema_fresh() {
    let output = streamify().args(["dag", "validate"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let schema = streamify().args(["dag", "schema"]).output().unwrap();
    let committed = std::fs::read(root().join("dags/dag.schema.json")).unwrap();
    assert!(schema.stdout == committed, "run `streamify dag schema > dags/dag.schema.json`");
}

#[test]
fn next_tells_ticks_and_their_windows() {
    let output = streamify().args(["dag", "next", "hourly", "--count", "3"]).output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let ticks = said.lines().filter(|line| line.contains(":05:00 UTC") && line.contains(":00 .. ")).count();
    assert_eq!(ticks, 3, "{said}");
}
