//! Texts in `with:` that a template may have given as a number or a truth value: `[echo, "{{ params.n }}"]`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Text(pub String);

impl TryFrom<Value> for Text {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Text(text)),
            Value::Number(_) | Value::Bool(_) => Ok(Text(value.to_string())),
            other => Err(format!("{other} is no text")),
        }
    }
}

impl AsRef<std::ffi::OsStr> for Text {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.0.as_ref()
    }
}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_truth_values_are_texts_and_nothing_else_is() {
        let text = |value| Text::try_from(value).map(|text| text.0);
        assert_eq!(text(json!("a")), Ok("a".to_string()));
        assert_eq!(text(json!(3)), Ok("3".to_string()));
        assert_eq!(text(json!(true)), Ok("true".to_string()));
        for wrong in [json!(null), json!([1]), json!({})] {
            assert!(text(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
