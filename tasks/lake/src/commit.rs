//! One entry of the commit log and the arithmetic it must obey. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::hours::floor_hour;
use crate::{Error, layout};

/// Offsets `first..=last` of one partition: every one of them is a row of `files`, a dead letter, or skipped (a control record, or an
/// offset that the broker no longer had).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub topic: String,
    pub partition: i32,
    pub first: i64,
    pub last: i64,
    /// Where the entry before this one ended; none for the first entry of a partition.
    pub prev_last: Option<i64>,
    pub files: Vec<DataFile>,
    pub dead_letters: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_file: Option<String>,
    pub skipped: u64,
    pub schema_hash: String,
    pub writer: String,
    pub at: DateTime<Utc>,
}

/// A Parquet file with the rows of one hour (by event time).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    pub path: String,
    pub hour: DateTime<Utc>,
    pub rows: u64,
    pub bytes: u64,
    /// Epoch milliseconds of the earliest and of the latest event.
    pub min_ts: i64,
    pub max_ts: i64,
}

impl Commit {
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    pub fn path(&self) -> String {
        layout::log_entry(&self.topic, self.partition, self.first)
    }

    /// Every offset is accounted for once, and the entry continues its predecessor.
    pub fn validate(&self) -> Result<(), Error> {
        match self.problem() {
            None => Ok(()),
            Some(problem) => Err(Error::InvalidCommit {
                topic: self.topic.clone(),
                partition: self.partition,
                first: self.first,
                problem,
            }),
        }
    }

    fn problem(&self) -> Option<String> {
        if !layout::is_topic_name(&self.topic) {
            return Some(format!("`{}` is not a topic name", self.topic));
        }
        if self.partition < 0 || self.first < 0 || self.last < self.first {
            return Some(format!("offsets {}..={} of partition {}", self.first, self.last, self.partition));
        }
        if let Some(prev) = self.prev_last
            && prev.checked_add(1) != Some(self.first)
        {
            return Some(format!("the log ends at {prev}, so it must begin at the offset after it"));
        }
        let (rows, offsets) = (self.rows(), self.last.abs_diff(self.first) + 1);
        let covered = u128::from(rows) + u128::from(self.dead_letters) + u128::from(self.skipped);
        if covered != u128::from(offsets) {
            return Some(format!(
                "{rows} rows + {} dead letters + {} skipped do not make {offsets} offsets",
                self.dead_letters, self.skipped
            ));
        }
        if (self.dead_letters > 0) != self.dead_letter_file.is_some() {
            return Some(format!(
                "{} dead letters with the file {:?}",
                self.dead_letters, self.dead_letter_file
            ));
        }
        self.files.iter().find_map(|file| file.problem())
    }
}

impl DataFile {
    fn problem(&self) -> Option<String> {
        if self.rows == 0 || self.bytes == 0 {
            return Some(format!("{} has {} rows in {} bytes", self.path, self.rows, self.bytes));
        }
        let inside = |ms| DateTime::from_timestamp_millis(ms).is_some_and(|at| floor_hour(at) == self.hour);
        if self.min_ts > self.max_ts || !inside(self.min_ts) || !inside(self.max_ts) {
            let (min, max, hour) = (self.min_ts, self.max_ts, self.hour);
            return Some(format!("{}: event times {min}..={max} are not in the hour {hour}", self.path));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Commit {
        let hour = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let ms = hour.timestamp_millis();
        let file = DataFile {
            path: "events/x".into(),
            hour,
            rows: 7,
            bytes: 10,
            min_ts: ms,
            max_ts: ms + 3_599_999,
        };
        Commit {
            topic: "listen_events".into(),
            partition: 1,
            first: 10,
            last: 19,
            prev_last: Some(9),
            files: vec![file],
            dead_letters: 2,
            dead_letter_file: Some("_dead_letters/x".into()),
            skipped: 1,
            schema_hash: "h".into(),
            writer: "w".into(),
            at: hour,
        }
    }

    #[test]
    fn a_commit_that_accounts_for_every_offset_once_is_valid() {
        valid().validate().unwrap();
        Commit { prev_last: None, ..valid() }.validate().unwrap();
    }

    #[test]
    fn an_offset_lost_or_doubled_is_refused() {
        for (rows, dead, skipped) in [(6, 2, 1), (8, 2, 1), (7, 1, 1), (7, 2, 0)] {
            let mut commit = Commit { dead_letters: dead, skipped, ..valid() };
            commit.files[0].rows = rows;
            let text = commit.validate().unwrap_err().to_string();
            assert!(text.contains("do not make 10 offsets"), "{text}");
        }
    }

    #[test]
    fn a_gap_or_an_overlap_in_the_chain_is_refused() {
        for prev in [8, 10, i64::MAX] {
            assert!(Commit { prev_last: Some(prev), ..valid() }.validate().is_err(), "{prev}");
        }
    }

    #[test]
    fn a_file_with_rows_of_another_hour_is_refused() {
        let mut commit = valid();
        commit.files[0].max_ts += 1;
        assert!(commit.validate().unwrap_err().to_string().contains("not in the hour"));
    }

    #[test]
    fn dead_letters_without_a_file_are_refused() {
        assert!(Commit { dead_letter_file: None, ..valid() }.validate().is_err());
    }
}
