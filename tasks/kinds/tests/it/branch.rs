//! `branch`: which tasks are chosen.

use crate::support::Bench;
use model::{Outcome, TaskError};
use serde_json::{Value, json};

async fn chosen(with: Value) -> Result<Value, TaskError> {
    match Bench::new().run("branch", with).await? {
        Outcome::Done { outputs } => Ok(outputs["chosen"].clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_id_or_several_are_chosen() {
    assert_eq!(chosen(json!({"choose": "full"})).await, Ok(json!(["full"])));
    assert_eq!(chosen(json!({"choose": ["a", "group.b"]})).await, Ok(json!(["a", "group.b"])));
    assert_eq!(chosen(json!({"choose": []})).await, Ok(json!([])));
    for wrong in [json!(null), json!(3), json!("a b"), json!(["a", 1]), json!("")] {
        let outcome = chosen(json!({ "choose": wrong })).await;
        assert!(matches!(outcome, Err(TaskError::Fail(_))), "{wrong}: {outcome:?}");
    }
}

#[tokio::test]
async fn the_first_true_case_decides_and_else_comes_last() {
    let cases = |first: Value, second: Value| json!({"cases": [{"if": first, "then": "a"}, {"if": second, "then": ["b", "c"]}], "else": "d"});
    assert_eq!(chosen(cases(json!(true), json!(true))).await, Ok(json!(["a"])));
    assert_eq!(chosen(cases(json!(0), json!("true"))).await, Ok(json!(["b", "c"])));
    assert_eq!(chosen(cases(json!(null), json!("false"))).await, Ok(json!(["d"])));
    assert_eq!(chosen(json!({"cases": [{"if": false, "then": "a"}]})).await, Ok(json!([])));
}

#[tokio::test]
async fn a_text_is_no_condition() {
    let Err(TaskError::Fail(message)) = chosen(json!({"cases": [{"if": "rows > 3", "then": "a"}]})).await
    else {
        panic!("it would always be true")
    };
    assert!(message.starts_with("with.cases[0].if: \"rows > 3\" is neither true nor false"), "{message}");
}

#[test]
fn wrong_shapes_are_found_when_the_file_is_loaded() {
    let bench = Bench::new();
    let problems = |with: Value| bench.problems("branch", with);
    let fine = json!({"cases": [{"if": "{{ params.n > 3 }}", "then": "{{ params.next }}"}], "else": "b"});
    assert_eq!(problems(fine), Vec::<String>::new());
    assert_eq!(problems(json!({})), [": give either `choose` or `cases`"]);
    let text = problems(json!({"cases": [{"if": "params.n > 3", "then": "a"}]}));
    assert!(text[0].starts_with("cases[0].if: "), "{text:?}");
    let keys = problems(json!({"cases": [{"if": "{{ params.n }}", "than": "a"}]}));
    assert_eq!(keys, ["cases[0]: unknown key `than`"]);
    let ids = problems(json!({"choose": ["a b"]}));
    assert!(ids[0].starts_with("choose: "), "{ids:?}");
}
