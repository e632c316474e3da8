//! Settings of a topic: which names are known, which values are sound, what they mean here.

use crate::log::RetentionLimits;
use std::collections::BTreeMap;

/// Kafka's own default.
const MAX_MESSAGE_BYTES: usize = 1_048_588;
/// A message must fit in a frame.
const LARGEST_MESSAGE_BYTES: i64 = 64 * 1024 * 1024;

/// Accepted and stored, without effect: each is about replication, caching or compaction, which a one-node
/// broker for laptops does not have.
const STORED_ONLY: [&str; 12] = [
    "compression.type",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "max.compaction.lag.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "segment.bytes",
    "segment.ms",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    pub max_message_bytes: usize,
    pub retention: RetentionLimits,
}

/// The settings of a topic, or what is wrong with them and how to write it.
pub(crate) fn parse(
    config: &BTreeMap<String, String>,
    default_retention: RetentionLimits,
) -> Result<TopicSettings, String> {
    let mut settings = TopicSettings { max_message_bytes: MAX_MESSAGE_BYTES, retention: default_retention };
    let mut compacted = false;
    for (name, value) in config {
        match name.as_str() {
            "retention.ms" => settings.retention.max_age_ms = limit(name, value)?,
            "retention.bytes" => settings.retention.max_bytes = limit(name, value)?.map(i64::unsigned_abs),
            "max.message.bytes" => settings.max_message_bytes = message_bytes(value)?,
            "cleanup.policy" => compacted = is_compacted(value)?,
            stored if STORED_ONLY.contains(&stored) => {}
            unknown => return Err(format!("topic setting {unknown} is unknown: {}", known_names())),
        }
    }
    if compacted {
        settings.retention = RetentionLimits::default();
    }
    Ok(settings)
}

/// What a topic has where its configuration says nothing.
pub(crate) fn defaults(retention: RetentionLimits) -> BTreeMap<String, String> {
    let or_unlimited = |limit: Option<i64>| limit.unwrap_or(-1).to_string();
    let max_bytes = retention.max_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    BTreeMap::from([
        ("cleanup.policy".to_owned(), "delete".to_owned()),
        ("max.message.bytes".to_owned(), MAX_MESSAGE_BYTES.to_string()),
        ("retention.bytes".to_owned(), or_unlimited(max_bytes)),
        ("retention.ms".to_owned(), or_unlimited(retention.max_age_ms)),
    ])
}

fn known_names() -> String {
    format!(
        "use cleanup.policy, max.message.bytes, retention.bytes, retention.ms or, without effect here, {}",
        STORED_ONLY.join(", ")
    )
}

/// -1 means no limit.
fn limit(name: &str, value: &str) -> Result<Option<i64>, String> {
    match value.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(limit) if limit >= 0 => Ok(Some(limit)),
        _ => Err(format!("{name} is {value:?}: use a whole number from 0, or -1 for no limit")),
    }
}

fn message_bytes(value: &str) -> Result<usize, String> {
    let parsed = value.parse::<i64>().ok().filter(|bytes| (1..=LARGEST_MESSAGE_BYTES).contains(bytes));
    let wrong =
        || format!("max.message.bytes is {value:?}: use a whole number from 1 to {LARGEST_MESSAGE_BYTES}");
    parsed.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(wrong)
}

/// A compacted topic keeps all its records: they are neither compacted nor, without "delete", deleted.
fn is_compacted(value: &str) -> Result<bool, String> {
    let mut delete = false;
    for policy in value.split(',').map(str::trim) {
        match policy {
            "delete" => delete = true,
            "compact" => {}
            _ => return Err(format!("cleanup.policy is {value:?}: use delete, compact or compact,delete")),
        }
    }
    Ok(!delete)
}

/// Whether a topic may be called so, as by Kafka's rule.
pub(crate) fn is_valid_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<TopicSettings, String> {
        let default = RetentionLimits { max_age_ms: Some(9), max_bytes: None };
        parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]), default)
    }

    #[test]
    fn retention_of_the_topic_goes_before_the_default() {
        let limits = |max_age_ms, max_bytes| RetentionLimits { max_age_ms, max_bytes };
        assert_eq!(check("retention.ms", "5").unwrap().retention, limits(Some(5), None));
        assert_eq!(check("retention.ms", "-1").unwrap().retention, limits(None, None));
        assert_eq!(check("retention.bytes", "7").unwrap().retention, limits(Some(9), Some(7)));
        assert_eq!(check("cleanup.policy", "compact").unwrap().retention, limits(None, None));
        assert_eq!(check("cleanup.policy", "compact,delete").unwrap().retention, limits(Some(9), None));
    }

    #[test]
    fn wrong_settings_are_named_with_what_to_write() {
        assert!(check("retention.ms", "-2").unwrap_err().contains("-1 for no limit"));
        assert!(check("max.message.bytes", "0").unwrap_err().contains("from 1"));
        assert!(check("retention.mss", "5").unwrap_err().contains("retention.mss is unknown"));
        assert!(check("min.insync.replicas", "2").is_ok());
    }

    #[test]
    fn names_stay_inside_their_folder() {
        for bad in ["", ".", "..", "a/b", "a b", "a\tb", "ä", &"x".repeat(250)] {
            assert!(!is_valid_name(bad), "{bad:?}");
        }
        assert!(is_valid_name("listen_events-v1.raw"));
    }
}
