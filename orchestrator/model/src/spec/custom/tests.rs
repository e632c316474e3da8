use super::super::tests::registry;
use super::*;
use crate::dag::Dag;
use proptest::prelude::*;

const NOTE: &str = "
kind: note
summary: Writes a line
inputs:
  line: { type: string, description: What to write }
  times: { type: integer, default: 1 }
  words: { type: array, default: [a, b] }
  where: { type: string, required: false }
  how: { type: string, default: fast, allowed: [fast, safe] }
uses: process
with:
  command: [echo, '{{ inputs.line }}', 'n={{ inputs.times }}', \"{{ inputs.words | join(',') }}\", '{{ inputs.how }}']
  count: '{{ inputs.times }}'
  cwd: '{{ inputs.where }}'
  text: '{{ inputs.times + 1 }} {{ run.id }}'
env: { HOW: '{{ inputs.how }}' }
retries: 2
timeout: 1m
queue: notes
pool: { name: notes, slots: 2 }
";

fn kind(text: &str) -> Result<CustomKind, String> {
    let text_of =
        |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n");
    read_kind("kinds/note.yaml", text.as_bytes(), &registry()).map_err(text_of)
}

fn with_note() -> Registry {
    registry().with_custom([kind(NOTE).unwrap()])
}

fn read(text: &str) -> Result<Dag, String> {
    crate::spec::read("dags/d.yaml", text.as_bytes(), Path::new("dags"), &with_note())
        .map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn inputs_take_their_places_whole_in_texts_and_in_expressions() {
    let dag = read("dag: d\ndefaults: { retries: 5, timeout: 9m }\nenv: { A: x, HOW: no }\ntasks:\n  a: { uses: note, with: { line: 'hello {{ ds }}', times: 3, how: safe } }\n").unwrap();
    let task = &dag.tasks[0];
    assert_eq!(task.uses, "process", "it is a task of the kind behind it");
    assert_eq!(
        task.with,
        json!({
            "command": ["echo", "hello {{ ds }}", "n=3", "{{ [\"a\", \"b\", ] | join(',') }}", "safe"],
            "count": 3, "text": "{{ 3 + 1 }} {{ run.id }}",
        }),
        "an optional input that is not given leaves its key out"
    );
    assert_eq!((task.env["HOW"].as_str(), task.env["A"].as_str()), ("safe", "x"));
    assert_eq!(
        (task.retries.limit, task.timeout, task.queue.as_str()),
        (2, Some(Duration::from_secs(60)), "notes")
    );
    assert_eq!((task.pool.as_deref(), task.pool_slots), (Some("notes"), 2));
    let own = read("dag: d\ntasks:\n  a: { uses: note, with: { line: x, times: '{{ run.id | length }}' }, retries: 0, pool: p, env: { HOW: mine } }\n").unwrap();
    let task = &own.tasks[0];
    assert_eq!((task.retries.limit, task.pool.as_deref(), task.env["HOW"].as_str()), (0, Some("p"), "mine"));
    assert_eq!(
        (&task.with["count"], &task.with["text"]),
        (&json!("{{ run.id | length }}"), &json!("{{ (run.id | length) + 1 }} {{ run.id }}"))
    );
}

#[test]
fn substituted_expressions_render() {
    use crate::template::{TemplateContext, render};
    let dag = read(
        "dag: d\ntasks:\n  a: { uses: note, with: { line: x, words: [{ a: { b: 1 } }, 'it''s \"}'] } }\n",
    )
    .unwrap();
    let rendered = render(&dag.tasks[0].with, &TemplateContext::default()).unwrap();
    assert_eq!(rendered["command"][3], "{\"a\": {\"b\": 1}},it's \"}");
}

#[test]
fn what_a_task_gives_wrongly_is_told_at_its_own_line() {
    let told = read(
        "dag: d\ntasks:\n  a:\n    uses: note\n    with:\n      lin: x\n      times: many\n      how: slow\n  b: { uses: note, with: { line: '{{ params.x }}' } }\n  \
         c: { uses: note, with: { line: x, times: 'a {{ run.id }}' } }\n  d: { uses: nte }\n  e: { uses: note }\n",
    );
    insta::assert_snapshot!("custom_kinds_given_wrongly", told.unwrap_err());
}

#[test]
fn what_the_kind_behind_does_not_like_names_the_custom_kind() {
    let kind =
        kind("kind: note\nuses: process\ninputs: { x: { default: 1 } }\nwith: { color: '{{ inputs.x }}' }\n")
            .unwrap();
    let registry = registry().with_custom([kind]);
    let text = "dag: d\ntasks:\n  a: { uses: note }\n  b:\n    uses: note\n    with:\n      x: 2\n";
    let problems = crate::spec::read("d.yaml", text.as_bytes(), Path::new("."), &registry).unwrap_err();
    let shown: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        shown,
        [
            "d.yaml:3:14: task 'a', by kind 'note' (kinds/note.yaml), with.color: is not known",
            "d.yaml:7:10: task 'b', by kind 'note' (kinds/note.yaml), with.color: is not known",
        ]
    );
}

#[test]
fn broken_kinds_are_told_with_everything_wrong() {
    let told = kind(
        "kind: process\nsumary: x\ninputs:\n  a: { type: text }\n  b: { type: integer, default: x }\n  c: { default: 1, required: true }\n  d: 3\nuses: nope\n\
         with: { text: '{{ inputs.e }} {{ inputs }} {{ \"inputs.f\" }} {{ a.inputs.g }}' }\n",
    );
    insta::assert_snapshot!("broken_custom_kind", told.unwrap_err());
    assert!(kind("kind: note\nuses: process\nwith: 3\n").is_err());
    assert!(kind("kind: other\nuses: process\n").unwrap_err().contains("name the file other.yaml"));
}

#[test]
fn a_file_says_which_custom_kinds_it_was_made_from_also_those_that_do_not_exist() {
    let text = b"dag: d\ntasks:\n  a: { uses: note, with: { line: x } }\n  b: { uses: process }\n  c: { uses: later }\n";
    let reading = crate::spec::read_with_kinds("d.yaml", text, Path::new("."), &with_note());
    assert_eq!(reading.custom_kinds.into_iter().collect::<Vec<_>>(), ["later", "note"]);
    assert!(reading.dag.is_err());
}

#[test]
fn editors_know_custom_kinds() {
    let schema = crate::spec::json_schema(&with_note());
    let task = &schema["definitions"]["TaskField"];
    let choices = task["allOf"].as_array().unwrap();
    let note = choices.iter().find(|choice| choice["if"]["properties"]["uses"]["const"] == "note").unwrap();
    let with = &note["then"]["properties"]["with"];
    assert_eq!(with["required"], json!(["line"]));
    assert_eq!(with["additionalProperties"], json!(false));
}

proptest! {
    #[test]
    fn no_text_of_a_kind_makes_substitution_panic(text in "([{]{1,2})?[{}%#'\"a-z.|' +é\\\\-]{0,12}(inputs\\.?[a-z]{0,5})?[ é'\"}%]{0,6}") {
        let values = BTreeMap::from([("line", Node::from_json(Position { line: 1, column: 1 }, &json!("x")))]);
        let node = Node::from_json(Position { line: 2, column: 1 }, &json!(&text));
        let named = substitute::named(&text);
        prop_assert!(named.iter().all(|(at, _)| text.is_char_boundary(*at)));
        let mut problems = Vec::new();
        let filled = substitute::fill(&node, &values, node.at, &mut problems);
        if named.is_empty() {
            prop_assert_eq!(filled.to_json(), json!(text));
        }
    }
}
