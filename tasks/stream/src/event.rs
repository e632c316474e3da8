//! One record's JSON, read straight into the values of its declared fields. Pure.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

use crate::schema::{FieldType, TopicSchema};

/// The integers that a double holds without loss.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Double(f64),
    Boolean(bool),
    Text(Cow<'a, str>),
}

/// Values in the order of the schema's fields, and what the schema does not know.
#[derive(Debug, PartialEq)]
pub(crate) struct Event<'a> {
    pub values: Vec<Value<'a>>,
    pub unknown: serde_json::Map<String, serde_json::Value>,
    /// Epoch milliseconds.
    pub time: i64,
}

/// Reads a payload, or says why it is a dead letter.
pub(crate) fn parse<'a>(schema: &TopicSchema, payload: &'a [u8]) -> Result<Event<'a>, String> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let event = json.deserialize_map(EventVisitor { schema }).and_then(|event| json.end().map(|()| event));
    let event = event.map_err(|error| match error.classify() {
        Category::Data => format!("does not fit the schema: {error}"),
        _ => format!("not JSON: {error}"),
    })?;
    for (field, value) in schema.fields().iter().zip(&event.values) {
        if field.required && *value == Value::Null {
            return Err(format!("required field `{}` is missing or null", field.name));
        }
    }
    Ok(event)
}

struct EventVisitor<'s> {
    schema: &'s TopicSchema,
}

impl<'de> Visitor<'de> for EventVisitor<'_> {
    type Value = Event<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event<'de>, A::Error> {
        let schema = self.schema;
        let mut event =
            Event { values: vec![Value::Null; schema.fields().len()], unknown: Default::default(), time: 0 };
        let mut expected = 0;
        while let Some(key) = map.next_key_seed(KeySeed { schema, expected })? {
            match key {
                Key::Known(n) => {
                    let field = &schema.fields()[n];
                    event.values[n] =
                        map.next_value_seed(ValueSeed { kind: field.kind, name: &field.name })?;
                    expected = n + 1;
                }
                Key::Unknown(name) => {
                    event.unknown.insert(name, map.next_value()?);
                }
            }
        }
        if let Value::Int(time) = event.values[schema.time()] {
            event.time = time;
        }
        Ok(event)
    }
}

enum Key {
    Known(usize),
    Unknown(String),
}

struct KeySeed<'s> {
    schema: &'s TopicSchema,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Key, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(match self.schema.position(name, self.expected) {
            Some(n) => Key::Known(n),
            None => Key::Unknown(name.to_owned()),
        })
    }
}

struct ValueSeed<'s> {
    kind: FieldType,
    name: &'s str,
}

impl ValueSeed<'_> {
    fn mismatch<T, E: serde::de::Error>(&self, found: serde::de::Unexpected<'_>) -> Result<T, E> {
        Err(E::invalid_type(found, self))
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value<'de>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for field `{}`", self.kind.name(), self.name)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value<'de>, E> {
        match self.kind {
            FieldType::Boolean => Ok(Value::Boolean(value)),
            _ => self.mismatch(serde::de::Unexpected::Bool(value)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value<'de>, E> {
        match self.kind {
            FieldType::Int => Ok(Value::Int(value)),
            FieldType::Double => Ok(Value::Double(value as f64)),
            _ => self.mismatch(serde::de::Unexpected::Signed(value)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value<'de>, E> {
        match (self.kind, i64::try_from(value)) {
            (FieldType::Int, Ok(value)) => Ok(Value::Int(value)),
            (FieldType::Double, _) => Ok(Value::Double(value as f64)),
            _ => self.mismatch(serde::de::Unexpected::Unsigned(value)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value<'de>, E> {
        match self.kind {
            FieldType::Double => Ok(Value::Double(value)),
            FieldType::Int if value.fract() == 0.0 && value.abs() < EXACT => Ok(Value::Int(value as i64)),
            _ => self.mismatch(serde::de::Unexpected::Float(value)),
        }
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Value<'de>, E> {
        match self.kind {
            FieldType::String => Ok(Value::Text(Cow::Borrowed(value))),
            _ => self.mismatch(serde::de::Unexpected::Str(value)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value<'de>, E> {
        match self.kind {
            FieldType::String => Ok(Value::Text(Cow::Owned(value.to_owned()))),
            _ => self.mismatch(serde::de::Unexpected::Str(value)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        // Read to its end, so that broken JSON inside is called that.
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self))
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
