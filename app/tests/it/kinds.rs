//! `streamify kind`, and custom kinds in the dags folder.

use crate::support::{streamify, text};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

const NOTE: &str = "
kind: note
summary: Writes a line
inputs: { line: { type: string, description: What to write } }
uses: process
with: { command: [echo, '{{ inputs.line }}'] }
";

fn folder(kind: &str, dag: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("kinds")).unwrap();
    std::fs::write(folder.path().join("kinds/note.yaml"), kind).unwrap();
    std::fs::write(folder.path().join("d.yaml"), dag).unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    streamify().args(arguments).arg("--dags").arg(folder).output().unwrap()
}

#[test]
fn kinds_of_the_program_and_of_the_folder_are_listed_and_shown() {
    let folder = folder(NOTE, "dag: d\ntasks: { a: { uses: note, with: { line: hello } } }\n");
    let listed = text(&run(folder.path(), &["kind", "list"]));
    for name in ["process", "branch", "stream", "note"] {
        assert!(
            listed.lines().any(|line| line.trim_start().starts_with(name)),
            "{name} is missing: {listed}"
        );
    }
    assert!(listed.contains("Writes a line") && listed.contains("process, by kinds/note.yaml"), "{listed}");
    let shown = text(&run(folder.path(), &["kind", "show", "note"]));
    assert!(
        shown.contains("line") && shown.contains("required") && shown.contains("What to write"),
        "{shown}"
    );
    let process = text(&run(folder.path(), &["kind", "show", "process"]));
    assert!(process.contains("command") && process.contains("required"), "{process}");
    let json: Value =
        serde_json::from_slice(&run(folder.path(), &["kind", "show", "note", "--json"]).stdout).unwrap();
    assert_eq!(
        (&json["uses"], &json["with"]["required"][0]),
        (&Value::from("process"), &Value::from("line"))
    );
    let unknown = run(folder.path(), &["kind", "show", "nota"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown).contains("did you mean 'note'?"), "{}", text(&unknown));
}

#[test]
fn validate_tells_what_is_wrong_with_kinds_and_with_what_dags_give_them() {
    let fine = folder(NOTE, "dag: d\ntasks: { a: { uses: note, with: { line: hello } } }\n");
    let said = run(fine.path(), &["dag", "validate"]);
    assert!(said.status.success() && text(&said).contains("1 fine, 0 with problems"), "{}", text(&said));
    let wrong = folder(NOTE, "dag: d\ntasks: { a: { uses: note, with: { lin: hello } } }\n");
    let said = text(&run(wrong.path(), &["dag", "validate"]));
    assert!(said.contains("d.yaml:2:35: kind 'note' (kinds/note.yaml) has no input 'lin'"), "{said}");
    let broken = folder("kind: note\nuses: proces\n", "dag: d\ntasks: { a: { uses: note } }\n");
    let said = run(broken.path(), &["dag", "validate"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said).contains("kinds/note.yaml:2:7: unknown kind 'proces'"), "{}", text(&said));
    assert!(text(&said).contains("0 fine, 2 with problems"), "{}", text(&said));
}
