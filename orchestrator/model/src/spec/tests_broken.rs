//! What people get for each way to break a file. The snapshots are the product: read them as its user.

use super::tests::{read_text, registry};
use super::*;

pub(super) fn problems(bytes: &[u8]) -> String {
    let problems =
        read("dags/test.yaml", bytes, Path::new("dags"), &registry()).expect_err("the file is broken");
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// The file's problems as its user sees them, as a snapshot.
macro_rules! broken {
    ($name:ident, $text:expr) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), problems($text.as_ref()));
        }
    };
}

pub(super) use broken;

broken!(
    cycle,
    "
dag: d
tasks:
  a: { uses: process, needs: [c] }
  b: { uses: process, needs: [a] }
  c: { uses: process, needs: [b] }
  d: { uses: process, needs: [c, d] }
"
);

broken!(
    unknown_key,
    "
dag: d
shedule: '@daily'
tasks:
  a: { uses: process, need: [b], retries: { limits: 3 } }
"
);

broken!(
    unknown_kind,
    "
dag: d
tasks:
  a: { uses: proces }
  b: { with: {} }
"
);

broken!(
    bad_cron,
    "
dag: d
schedule: { cron: \"5 * 32 * *\", timezone: Europe/Zurch }
tasks:
  a: { uses: process }
"
);

broken!(
    duplicate_id,
    "
dag: d
tasks:
  a: { uses: process }
  b: { uses: process }
  a: { uses: process, needs: [b] }
"
);

broken!(
    missing_need,
    "
dag: d
tasks:
  load: { uses: process }
  report: { uses: process, needs: [laod, other] }
"
);

broken!(
    wrong_type,
    "
dag: [d]
max_active_runs: many
paused: maybe
start: tomorrow
params: { users: { type: integer, default: x }, mode: { type: text } }
tasks:
  a: { uses: process, timeout: 5, needs: 3, priority: high, for_each: x, with: [], retries: { delay: 1 } }
"
);

broken!(bad_template, "
dag: d
params: { users: 1 }
tasks:
  a: { uses: process, with: { command: [\"{{ params.usres }}\", '{{ item }}', \"{{ run.id\", '{{ tasks.b.outputs }}'] } }
  b:
    uses: process
    with:
      text: |
        first line
        second {{ widow.start }}
");

broken!(empty_file, "# only a comment\n");

broken!(not_utf8, b"dag: d\ntasks: { caf\xe9: { uses: process } }\n");

broken!(
    tabs,
    "
dag: d
tasks:
\ta: { uses: process }
"
);

broken!(
    several_documents,
    "
dag: d
tasks: { a: { uses: process } }
---
dag: e
"
);

broken!(
    not_closed,
    "
dag: d
tasks: { a: { uses: process }
"
);

broken!(missing_parts, "description: nothing else\n");

broken!(not_a_mapping, "- dag: d\n");

broken!(
    times_that_make_no_sense,
    "
dag: d
schedule: { every: 5 minutes, timezone: UTC }
window: { lag: 5m }
catchup: false
overlap: wait
tasks:
  a: { uses: process, with: { text: '{{ window.start }}' } }
"
);

broken!(
    services_and_groups,
    "
dag: d
schedule: '@hourly'
params: { name: { type: string } }
tasks:
  a: { uses: serve, retries: 3, timeout: 5m, service: { restart: { policy: sometimes, budget: 5 } } }
  b: { uses: models, for_each: [1], with: { project: x, color: red } }
  c: { uses: models, for_each: [1], with: { project: x } }
"
);

#[test]
fn an_alias_bomb_is_bounded() {
    let mut text = "dag: d\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*x{}", level - 1); 10].join(", ");
        text.push_str(&format!("x{level}: &x{level} [{items}]\n"));
    }
    assert!(problems(text.as_bytes()).contains("aliases stand for more than 100000 values"));
}

#[test]
fn huge_nesting_is_bounded() {
    for open in ["[", "{a: ", "- "] {
        let text = format!("dag: d\ntasks: {}", open.repeat(100_000));
        assert!(read_text(&text).is_err(), "{open}");
    }
    let text = format!("dag: {}", "[".repeat(100));
    assert!(problems(text.as_bytes()).contains("nested more than 64 deep"));
}

#[test]
fn a_huge_file_is_refused_unread() {
    let text = format!("dag: d\n#{}\n", "x".repeat(BYTES_MAX));
    assert!(problems(text.as_bytes()).contains("at most 16 MiB"));
}

#[test]
fn all_problems_come_at_once_and_in_order() {
    let problems =
        read_text("dag: d\nx: 1\ntasks:\n  a: { uses: nope, y: 2 }\n  b: { uses: process, needs: [z] }\n");
    let lines: Vec<usize> = problems.unwrap_err().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 4, 4, 5]);
}
