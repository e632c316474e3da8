//! What a task promised to give (`outputs:`), checked against what it gave.

use serde_json::Value;
use std::collections::BTreeMap;

/// All that is missing or of another type, for people.
pub(crate) fn check(declared: &BTreeMap<String, String>, given: Option<&Value>) -> Result<(), String> {
    let given = given.unwrap_or(&Value::Null);
    let wrong = |(name, expected): (&String, &String)| match given.get(name) {
        None => Some(format!("output '{name}' ({expected}) is missing")),
        Some(value) if fits(expected, value) => None,
        Some(value) => Some(format!("output '{name}' must be of type {expected}, not {}", type_of(value))),
    };
    let problems: Vec<String> = declared.iter().filter_map(wrong).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn fits(expected: &str, value: &Value) -> bool {
    match expected {
        "number" => value.is_number(),
        expected => type_of(value) == expected,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn declared(outputs: &[(&str, &str)]) -> BTreeMap<String, String> {
        outputs.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
    }

    #[test]
    fn each_output_that_is_missing_or_of_another_type_is_named() {
        let promised = declared(&[("rows", "integer"), ("files", "array"), ("share", "number")]);
        assert_eq!(
            check(&promised, Some(&json!({ "rows": 3, "files": [], "share": 1, "more": true }))),
            Ok(())
        );
        assert_eq!(
            check(&promised, Some(&json!({ "rows": "3", "share": 0.5 }))).unwrap_err(),
            "output 'files' (array) is missing; output 'rows' must be of type integer, not string"
        );
        assert!(check(&promised, None).is_err());
        assert_eq!(check(&BTreeMap::new(), None), Ok(()));
    }
}
