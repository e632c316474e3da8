//! The parameters of a run, checked against what the dag declares.

use crate::dag::Param;
use crate::suggest;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The JSON types that a parameter may have.
pub const TYPES: [&str; 6] = ["string", "integer", "number", "boolean", "array", "object"];

/// All parameters of a run: the given ones, and the defaults of the others. Else everything that is wrong, for people.
pub fn check(declared: &BTreeMap<String, Param>, given: &Value) -> Result<Value, Vec<String>> {
    let none = Map::new();
    let given = match given {
        Value::Null => &none,
        Value::Object(given) => given,
        other => return Err(vec![format!("params must be an object, not {}", type_name(other))]),
    };
    let mut problems: Vec<String> = given
        .keys()
        .filter(|name| !declared.contains_key(*name))
        .map(|name| match suggest::nearest(name, declared.keys().map(String::as_str)) {
            Some(near) => format!("there is no param '{name}'; did you mean '{near}'?"),
            None => format!("there is no param '{name}'"),
        })
        .collect();
    let mut complete = Map::new();
    for (name, param) in declared {
        let Some(value) = given.get(name).or(param.default.as_ref()) else {
            problems.push(format!("the param '{name}' ({}) is required", param.r#type));
            continue;
        };
        problems.extend(mismatch(param, value).map(|wrong| format!("the param '{name}' {wrong}")));
        complete.insert(name.clone(), value.clone());
    }
    if problems.is_empty() { Ok(Value::Object(complete)) } else { Err(problems) }
}

/// Why this value may not stand for this parameter.
pub(crate) fn mismatch(param: &Param, value: &Value) -> Option<String> {
    let fits = match param.r#type.as_str() {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        expected => type_name(value) == expected,
    };
    if !fits {
        return Some(format!("must be of type {}, not {}", param.r#type, type_name(value)));
    }
    let allowed = param.allowed.is_empty() || param.allowed.contains(value);
    let listed = || param.allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
    (!allowed).then(|| format!("must be one of {}, not {value}", listed()))
}

pub(crate) fn type_name(value: &Value) -> &'static str {
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

    fn param(r#type: &str, default: Option<Value>, allowed: Vec<Value>) -> Param {
        Param { r#type: r#type.to_owned(), default, description: String::new(), allowed }
    }

    fn declared() -> BTreeMap<String, Param> {
        BTreeMap::from([
            ("full_refresh".to_owned(), param("boolean", Some(json!(false)), vec![])),
            ("mode".to_owned(), param("string", Some(json!("fast")), vec![json!("fast"), json!("safe")])),
            ("users".to_owned(), param("integer", None, vec![])),
        ])
    }

    #[test]
    fn defaults_fill_what_is_not_given() {
        let params = check(&declared(), &json!({ "users": 3, "mode": "safe" }));
        assert_eq!(params, Ok(json!({ "full_refresh": false, "mode": "safe", "users": 3 })));
        assert_eq!(check(&BTreeMap::new(), &Value::Null), Ok(json!({})));
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let given = json!({ "full_refesh": true, "mode": "slow", "full_refresh": "yes" });
        assert_eq!(
            check(&declared(), &given).unwrap_err(),
            [
                "there is no param 'full_refesh'; did you mean 'full_refresh'?",
                "the param 'full_refresh' must be of type boolean, not string",
                "the param 'mode' must be one of \"fast\", \"safe\", not \"slow\"",
                "the param 'users' (integer) is required",
            ]
        );
        assert!(check(&declared(), &json!([1])).is_err());
        assert!(check(&declared(), &json!({ "users": 1.5 })).is_err());
    }
}
