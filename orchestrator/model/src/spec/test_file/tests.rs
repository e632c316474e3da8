//! Test files: what they may say, and what is wrong with those that cannot be read.

use super::*;
use crate::dag::{Group, Param, TaskDef, WindowRule};
use crate::for_each::ForEach;
use crate::testing::{dag, task, utc};
use serde_json::json;

fn tested() -> Dag {
    let load = TaskDef { for_each: Some(ForEach::list(vec![json!(1), json!(2)])), ..task("load", &[]) };
    let inner = TaskDef { group: Some("models".to_owned()), ..task("models.songs", &[0]) };
    let users =
        Param { r#type: "integer".to_owned(), default: None, description: String::new(), allowed: vec![] };
    let groups = vec![Group { id: "models".to_owned(), retries: Default::default() }];
    let params = [("users".to_owned(), users)].into();
    Dag { window: WindowRule::Day, groups, params, ..dag(vec![load, inner]) }
}

fn problems(text: &str) -> Vec<String> {
    let problems = read_test("x.test.yaml", text.as_bytes(), &tested()).unwrap_err();
    problems
        .iter()
        .map(|problem| format!("{}:{}: {}", problem.line, problem.column, problem.message))
        .collect()
}

#[test]
fn cases_say_what_they_do_not_share() {
    let text = "
dag: hourly
at: 2026-01-01T10:05:00Z
params: { users: 3 }
vars: { a: 1, b: 1 }
tasks: { load: { takes: 5s } }
expect: { run: success, tasks: { load: success, models: success } }
cases:
  - name: as it is
  - name: later, with more
    at: 2026-02-01
    window: { start: 2026-01-01, end: 2026-01-02 }
    vars: { b: 2 }
    params: { users: 4 }
    expect: { run: failed, tasks: { 'models': [failed, tries: 2] } }
";
    assert_eq!(tested_dag("x.test.yaml", text.as_bytes()), Ok(Some("hourly".to_owned())));
    let cases = read_test("x.test.yaml", text.as_bytes(), &tested()).unwrap();
    let [plain, more] = &cases[..] else { panic!("{cases:?}") };
    assert_eq!((plain.name.as_str(), plain.place.line), ("as it is", 9));
    let day = Window { start: utc("2025-12-31T00:00:00Z"), end: utc("2026-01-01T00:00:00Z") };
    assert_eq!(plain.window, Some(day), "by the dag's own rule");
    assert_eq!(more.at, utc("2026-02-01T00:00:00Z"));
    assert_eq!(more.window.map(|window| window.end), Some(utc("2026-01-02T00:00:00Z")));
    assert_eq!((&more.params, json!(more.vars)), (&json!({ "users": 4 }), json!({ "a": 1, "b": 2 })));
    assert_eq!(more.expect.tasks.len(), 2, "the own word about 'models' replaces the shared one");
    assert_eq!(more.expect.run.map(|(place, _)| place.line), Some(15));
}

#[test]
fn the_dag_may_be_left_out_and_a_file_may_be_one_case() {
    let text = "{ params: { users: 1 }, expect: { run: success } }";
    assert_eq!(tested_dag("x.test.yaml", text.as_bytes()), Ok(None));
    let cases = read_test("x.test.yaml", text.as_bytes(), &tested()).unwrap();
    assert_eq!((cases.len(), cases[0].at), (1, utc("2026-01-01T00:00:00Z")));
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_place() {
    let got = problems(
        "dag: hourly
att: 2026-01-01
cases:
  - tasks:
      lod: success
      load[2]: success
      load[x]: success
      models: vanished
      models.songs[0]: { fails: -1, takes: long }
    expect:
      run: done
      order: [load, models.song]
      tasks: { load: [sucess] }
  - params: { user: 1 }
",
    );
    let expected = [
        "2:1: unknown key 'att' in the test",
        "4:5: the param 'users' (integer) is required",
        "5:7: dag 'test' has no task 'lod'",
        "6:7: the last instance of 'load' is load[1]",
        "7:7: 'x' is no map index",
        "8:15: 'a task' cannot be 'vanished'",
        "9:7: 'models.songs' is not mapped: write 'models.songs' alone",
        "11:12: 'run' cannot be 'done'",
        "12:21: dag 'test' has no task 'models.song'",
        "13:23: 'a task's state' cannot be 'sucess'",
        "14:5: the case expects nothing",
        "14:5: the param 'users' (integer) is required",
        "14:5: there is no param 'user'; did you mean 'users'?",
    ];
    assert_eq!(got, expected);
    assert_eq!(problems(" \n"), ["0:0: the file is empty"]);
    assert_eq!(problems("[1]"), ["1:1: the test must be a mapping, not a list"]);
}
