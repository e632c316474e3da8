//! `window:` in `with:`: that of the run at hand, none, or a given one.

use model::{TaskContext, Window};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum WindowKey {
    /// `same` or `inherit`.
    Same,
    None,
    Given(Window),
}

impl WindowKey {
    pub fn of(self, ctx: &TaskContext) -> Option<Window> {
        match self {
            WindowKey::Same => ctx.window,
            WindowKey::None => None,
            WindowKey::Given(window) => Some(window),
        }
    }
}

impl TryFrom<Value> for WindowKey {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("same" | "inherit") => return Ok(WindowKey::Same),
            Some("none") => return Ok(WindowKey::None),
            _ => {}
        }
        let wrong = |why: String| format!("{why}; write same, none or {{start: instant, end: instant}}");
        let shown = value.to_string();
        if !value.is_object() {
            return Err(wrong(format!("{shown} is no window")));
        }
        let window: Window =
            serde_json::from_value(value).map_err(|error| wrong(format!("{shown} is no window: {error}")))?;
        if window.start >= window.end {
            return Err(wrong(format!("{shown} is empty")));
        }
        Ok(WindowKey::Given(window))
    }
}

impl JsonSchema for WindowKey {
    fn schema_name() -> Cow<'static, str> {
        "Window".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "enum": ["same", "inherit", "none"] },
                {
                    "type": "object",
                    "properties": { "start": { "type": "string" }, "end": { "type": "string" } },
                    "required": ["start", "end"],
                    "additionalProperties": false
                }
            ]
        })
    }
}
