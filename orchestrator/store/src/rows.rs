//! Between columns and values: states, JSON, text.

use crate::{Error, Result};
use serde_json::Value;
use std::borrow::Cow;
use std::str::FromStr;

/// Reads a column whose text is one of a type's names.
pub(crate) fn parse<T: FromStr<Err = String>>(
    table: &'static str,
    column: &'static str,
    id: impl ToString,
    text: &str,
) -> Result<T> {
    text.parse().map_err(|message| Error::Inconsistent { table, id: id.to_string(), column, message })
}

pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    id: impl ToString,
    text: &str,
) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Inconsistent {
        table,
        id: id.to_string(),
        column,
        message: error.to_string(),
    })
}

/// Text as Postgres takes it: it has no character 0.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// `null`, `{}` and nothing are the same: no outputs.
pub(crate) fn no_outputs(outputs: &Value) -> bool {
    outputs.is_null() || outputs.as_object().is_some_and(serde_json::Map::is_empty)
}
