//! Where things lie under the lake's root. Pure; the one place that spells paths.

use chrono::{DateTime, Utc};

pub(crate) const LOG: &str = "_log";
pub(crate) const DATA: &str = "events";
pub(crate) const DEAD_LETTERS: &str = "_dead_letters";
pub(crate) const WATERMARKS: &str = "_watermark";

/// Kafka's own rule for topic names, which also keeps them safe as folder names.
pub fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.chars().all(legal)
}

/// Folder and file name without extension of the data of offsets `first..=last` in `hour`.
pub(crate) fn data_stem(topic: &str, partition: i32, hour: DateTime<Utc>, first: i64, last: i64) -> String {
    let hour = hour.format("year=%Y/month=%m/day=%d/hour=%H");
    format!("{DATA}/{topic}/{hour}/{topic}-{partition:05}-{first:020}-{last:020}")
}

pub(crate) fn dead_letters_stem(topic: &str, partition: i32, first: i64) -> String {
    format!("{DEAD_LETTERS}/{topic}/{partition:05}/{first:020}")
}

pub(crate) fn log_folder(topic: &str, partition: i32) -> String {
    format!("{LOG}/{topic}/{partition:05}")
}

pub(crate) fn log_entry(topic: &str, partition: i32, first: i64) -> String {
    format!("{}/{first:020}.json", log_folder(topic, partition))
}

pub(crate) fn watermark(topic: &str, partition: i32) -> String {
    format!("{WATERMARKS}/{topic}/{partition:05}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_sort_as_their_numbers() {
        assert!(log_entry("t", 3, 9) < log_entry("t", 3, 10));
        assert!(log_entry("t", 3, i64::MAX - 1) < log_entry("t", 3, i64::MAX));
    }

    #[test]
    fn data_lies_in_its_utc_hour() {
        let hour = DateTime::parse_from_rfc3339("2026-12-31T23:00:00Z").unwrap().to_utc();
        assert_eq!(
            data_stem("listen_events", 2, hour, 7, 12),
            "events/listen_events/year=2026/month=12/day=31/hour=23/\
             listen_events-00002-00000000000000000007-00000000000000000012"
        );
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "a/b", "a b", "ü"] {
            assert!(!is_topic_name(name), "{name:?}");
        }
        assert!(is_topic_name("page_view-events.v2"));
    }
}
