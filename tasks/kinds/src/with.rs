//! `with:` of a kind: a struct, its JSON Schema, and what is wrong with a value that may still hold templates.

use model::TaskError;
use model::task::WithProblem;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub fn schema<T: JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
}

/// The rendered `with:` as the kind's struct.
pub fn read<T: DeserializeOwned>(with: &Value) -> Result<T, TaskError> {
    let with = if with.is_null() { Value::Object(Map::new()) } else { with.clone() };
    parse(with).map_err(|(key, message)| {
        let place = if key.is_empty() { "with".to_string() } else { format!("with.{key}") };
        TaskError::Fail(format!("{place}: {message}"))
    })
}

/// The key that is wrong (empty for the whole) and what is wrong with it.
fn parse<T: DeserializeOwned>(with: Value) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(with).map_err(|error| {
        let path = error.path().to_string();
        (if path == "." { String::new() } else { path }, error.into_inner().to_string())
    })
}

/// Unknown and missing keys, and values that are wrong. A string with `{{` stands for a value of any type.
pub fn problems<T: JsonSchema + DeserializeOwned>(with: &Value) -> Vec<WithProblem> {
    let found = shape_problems::<T>(with);
    if !found.is_empty() {
        return found;
    }
    // What is left after the templates; that it lacks them is no problem.
    let plain =
        with.as_object().into_iter().flatten().filter(|(_, value)| !model::template::has_template(value));
    let plain: Map<String, Value> = plain.map(|(key, value)| (key.clone(), value.clone())).collect();
    match parse::<T>(Value::Object(plain)) {
        Err((key, message)) if !key.is_empty() => vec![problem(&key, message, None)],
        _ => Vec::new(),
    }
}

fn shape_problems<T: JsonSchema>(with: &Value) -> Vec<WithProblem> {
    let schema = schema::<T>();
    let empty = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let given = match with {
        Value::Null => &empty,
        Value::Object(given) => given,
        other => return vec![problem("", format!("expected a mapping, found {}", type_name(other)), None)],
    };
    let mut found: Vec<WithProblem> = given
        .iter()
        .filter_map(|(key, value)| match known.get(key) {
            None => Some(unknown(key, known)),
            Some(expected) => wrong_type(key, expected, value),
        })
        .collect();
    let required =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    found.extend(required.filter(|key| !given.contains_key(*key)).map(|key| missing(key, known)));
    found
}

pub fn has_template(value: &Value) -> bool {
    matches!(value, Value::String(text) if text.contains("{{") || text.contains("{%"))
}

fn unknown(key: &str, known: &Map<String, Value>) -> WithProblem {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    problem(key, format!("unknown key `{key}`"), Some(format!("known keys: {}", names.join(", "))))
}

fn missing(key: &str, known: &Map<String, Value>) -> WithProblem {
    let about = known.get(key).and_then(|schema| schema.get("description")).and_then(Value::as_str);
    problem("", format!("`{key}` is missing"), about.map(|text| format!("{key}: {text}")))
}

fn wrong_type(key: &str, expected: &Value, value: &Value) -> Option<WithProblem> {
    if has_template(value) {
        return None;
    }
    let allowed: Vec<&str> = match expected.get("type")? {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let actual = type_name(value);
    let fits = allowed.contains(&actual) || (actual == "integer" && allowed.contains(&"number"));
    (!fits).then(|| problem(key, format!("expected {}, found {actual}", allowed.join(" or ")), None))
}

fn type_name(value: &Value) -> &'static str {
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

pub fn problem(key: &str, message: impl Into<String>, hint: Option<String>) -> WithProblem {
    WithProblem { key: key.to_string(), message: message.into(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape is used")]
    struct Example {
        /// Where to.
        url: String,
        #[serde(default)]
        tries: Option<u32>,
        #[serde(default)]
        patience: Option<crate::span::Span>,
    }

    fn messages(with: Value) -> Vec<String> {
        problems::<Example>(&with).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let found = messages(json!({"ur": "x", "tries": "many"}));
        assert_eq!(found, ["unknown key `ur`", "expected integer or null, found string", "`url` is missing"]);
    }

    #[test]
    fn a_template_stands_for_any_value() {
        assert_eq!(messages(json!({"url": "{{ conn.x }}", "tries": "{{ params.n }}"})), Vec::<String>::new());
    }

    #[test]
    fn a_value_that_is_wrong_is_found_beside_templates_and_named() {
        let found = problems::<Example>(&json!({"url": "{{ conn.x }}", "patience": "5 parsecs"}));
        assert_eq!(found[0].key, "patience");
        assert!(found[0].message.contains("5 parsecs"), "{found:?}");
        let Err(TaskError::Fail(message)) = read::<Example>(&json!({"url": "x", "tries": -1})) else {
            panic!("-1 tries")
        };
        assert!(message.starts_with("with.tries: "), "{message}");
    }
}
