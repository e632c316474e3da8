//! What cannot be read is kept with its reason, and does not stop what can.
#![allow(clippy::unwrap_used)]

mod support;

use stream::{Options, parse_schema, read_schemas};
use support::{House, TOPIC, event};

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_become_dead_letters_and_good_ones_rows() {
    let house = House::new(1).await;
    let oversized = format!(r#"{{"ts":1,"song":"{}"}}"#, "x".repeat(5000));
    let bad: [(Option<&[u8]>, &str); 7] = [
        (Some(b"\xff\xfe\x00"), "not JSON"),
        (Some(br#"{"ts": 1767225600000"#), "not JSON"),
        (Some(br#"{"song":"s"}"#), "required field `ts`"),
        (Some(br#"{"ts":"noon"}"#), "expected int for field `ts`"),
        (Some(br#"{"ts":7}"#), "before the earliest"),
        (Some(oversized.as_bytes()), "5018 bytes is more than the limit of 1000"),
        (None, "tombstone"),
    ];
    for (payload, _) in bad {
        house.send(TOPIC, 0, Some(event("2027-01-01T09:00:00Z").as_bytes())).await;
        house.send(TOPIC, 0, payload).await;
    }
    let unknown = event("2027-01-01T09:00:00Z").replace('}', r#","tag":"B"}"#);
    house.send(TOPIC, 0, Some(unknown.as_bytes())).await;
    let mut job = house.start(Options { max_message_bytes: 1000, ..house.options() });
    job.consumed(&[15]).await;
    let report = job.stop().await;
    let topic = &report.topics[TOPIC];
    assert_eq!((topic.rows, topic.dead_letters, topic.unknown_fields), (8, 7, 1));
    let content = house.exact(&[15]).await;
    assert_eq!(content.extra, [r#"{"tag":"B"}"#]);
    for ((payload, reason), letter) in bad.iter().zip(&content.dead) {
        assert!(letter.error.contains(reason), "{}", letter.error);
        let kept = payload.map(|payload| payload[..payload.len().min(1000)].to_vec());
        assert_eq!(letter.value, kept);
    }
}

#[test]
fn the_pipelines_own_schemas_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dags/streamify/schemas");
    let schemas = read_schemas(&folder).unwrap();
    let topics: Vec<&str> = schemas.iter().map(|schema| schema.topic()).collect();
    assert_eq!(topics, ["auth_events", "listen_events", "page_view_events", "status_change_events"]);
    let last = |n: usize| schemas[n].fields().last().unwrap().name.as_str();
    assert_eq!((last(0), last(1), last(2)), ("success", "tag", "duration"));
}

#[test]
fn a_broken_schema_names_file_line_and_remedy() {
    let ts = "fields:\n  - { name: ts, type: int, required: true }\n";
    let cases = [
        ("fields: [", 2, "not YAML"),
        ("- a", 1, "must be a mapping"),
        ("fields: 5", 1, "must be a list"),
        (&format!("{ts}  - {{ name: a, type: float }}\n"), 3, "unknown type"),
        (&format!("{ts}  - {{ name: a, kind: int }}\n"), 3, "unknown key"),
        (&format!("{ts}  - {{ name: a, type: int, required: maybe }}\n"), 3, "true or false"),
        (&format!("{ts}  - {{ type: int }}\n"), 3, "needs `name`"),
        (&format!("{ts}colour: red\n"), 3, "unknown key"),
        (&format!("{ts}  - {{ name: ts, type: int }}\n"), 0, "declared twice"),
        (&format!("{ts}  - {{ name: _extra, type: int }}\n"), 0, "belong to the lake"),
        ("fields:\n  - { name: a, type: int }\n", 0, "`ts` (type int"),
        ("", 0, "empty"),
    ];
    for (text, line, expected) in cases {
        let problems = parse_schema("t", "schemas/t.yaml", text).unwrap_err();
        let problem = &problems[0];
        assert!(problem.message.contains(expected), "{text:?}: {problem}");
        assert_eq!((problem.line, problem.file.as_str()), (line, "schemas/t.yaml"), "{text:?}: {problem}");
        assert!(problem.hint.is_some(), "{text:?}");
    }
}

#[test]
fn all_problems_of_a_folder_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), "fields: 5").unwrap();
    std::fs::write(folder.path().join("b.yaml"), b"\xff\xfe").unwrap();
    std::fs::write(folder.path().join("c d.yaml"), "fields: []").unwrap();
    let text = read_schemas(folder.path()).unwrap_err().to_string();
    for expected in ["a.yaml:1:", "b.yaml: invalid utf-8", "`c d` is not a topic name"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let text = read_schemas(&folder.path().join("none")).unwrap_err().to_string();
    assert!(text.contains("none") && text.contains("hint"), "{text}");
}
