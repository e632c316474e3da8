//! Keeps the values of secrets out of what is stored and shown.

use std::collections::BTreeMap;

/// What a secret is replaced with.
const SHOWN: &str = "***";

#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// Longest first, so that a secret inside a longer one leaves no rest.
    values: Vec<String>,
}

impl Mask {
    pub fn of(secrets: &BTreeMap<String, String>) -> Self {
        // A secret of several lines appears line by line in logs.
        let mut values: Vec<String> = secrets
            .values()
            .flat_map(|secret| secret.lines().map(str::trim).chain([secret.as_str()]))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        values.dedup();
        Mask { values }
    }

    pub fn apply(&self, text: String) -> String {
        self.values.iter().fold(text, |text, value| {
            if text.contains(value.as_str()) { text.replace(value.as_str(), SHOWN) } else { text }
        })
    }
}

/// Postgres stores no NUL in text; it is shown as the replacement character.
pub(crate) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Cuts at a character boundary and says so.
pub(crate) fn cut(text: String, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text;
    }
    let end = (0..=max_bytes).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let rest = text.len() - end;
    let mut text = text;
    text.truncate(end);
    text.push_str(&format!(" ... [{rest} bytes cut]"));
    text
}

/// The same for every string inside a JSON value.
pub(crate) fn json_without_nul(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(json_without_nul).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter().map(|(key, value)| (without_nul(key), json_without_nul(value))).collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[(&str, &str)]) -> Mask {
        Mask::of(&secrets.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn secrets_are_replaced_wherever_they_stand() {
        let mask = mask(&[("a", "s3cret"), ("b", "s3cret-longer"), ("empty", "")]);
        assert_eq!(mask.apply("x=s3cret-longer y=s3cret.".into()), "x=*** y=***.");
        assert_eq!(mask.apply("nothing".into()), "nothing");
    }

    #[test]
    fn each_line_of_a_long_secret_is_hidden() {
        let mask = mask(&[("key", "-----BEGIN\nabcdef\n")]);
        assert_eq!(mask.apply("read abcdef".into()), "read ***");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(cut("äöü".into(), 3), "ä ... [4 bytes cut]");
        assert_eq!(cut("abc".into(), 3), "abc");
    }

    #[test]
    fn nul_never_reaches_the_store() {
        let value = serde_json::json!({"a\0": ["b\0", 1]});
        assert_eq!(json_without_nul(value), serde_json::json!({"a\u{fffd}": ["b\u{fffd}", 1]}));
    }
}
