//! Lengths of time in `with:`: `90` (seconds), `10s`, `5m`, `1h30m`, `1d`.

use model::duration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Span(pub Duration);

impl TryFrom<Value> for Span {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let seconds = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let parsed = match (seconds, &value) {
            // The same limits hold for both ways of writing.
            (Some(seconds), _) => duration::parse(&format!("{seconds}s")),
            (None, Value::String(text)) => duration::parse(text),
            (None, other) => Err(format!("{other} is no duration")),
        };
        parsed.map(Span).map_err(|error| format!("{error}; write 30s, 5m, 2h or 1d"))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn seconds_may_stand_without_a_unit() {
        let seconds = |value| Span::try_from(value).map(|span| span.0.as_secs());
        assert_eq!(seconds(json!("1h30m")), Ok(5400));
        assert_eq!(seconds(json!(7)), Ok(7));
        assert_eq!(seconds(json!("120")), Ok(120));
        for wrong in [json!("5 parsecs"), json!(-1), json!(1.5), json!([]), json!(u64::MAX)] {
            assert!(seconds(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
