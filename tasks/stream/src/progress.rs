//! What sources say about their completeness, and up to which instant a partition that was read to some offset is complete. Pure.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// Statements kept of one source. Beyond, every second one between full hours is forgotten: watermarks get coarser, never wrong.
const MAX_STATEMENTS: usize = 16_384;
const HOUR_MS: i64 = 3_600_000;

/// "Every event before `at` lies below these offsets."
#[derive(Debug, Deserialize)]
struct Statement {
    source: String,
    at: DateTime<Utc>,
    offsets: HashMap<String, Vec<i64>>,
}

#[derive(Default)]
pub(crate) struct Progress {
    sources: BTreeMap<String, Vec<Statement>>,
}

impl Progress {
    /// Takes in the value of a record of the watermarks topic.
    pub fn record(&mut self, payload: &[u8]) -> Result<(), String> {
        let statement: Statement = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let known = self.sources.entry(statement.source.clone()).or_default();
        if let Some(newest) = known.last()
            && newest.at > statement.at
        {
            return Err(format!(
                "source `{}` went back from {} to {}",
                statement.source, newest.at, statement.at
            ));
        }
        known.push(statement);
        if known.len() > MAX_STATEMENTS {
            thin(known);
        }
        Ok(())
    }

    /// The instant up to which the partition is complete if everything below `next` was read. None if no source speaks of the topic, or
    /// one that does is not reached yet.
    pub fn reached(&self, topic: &str, partition: i32, next: i64) -> Option<DateTime<Utc>> {
        let mut least: Option<DateTime<Utc>> = None;
        for statements in self.sources.values() {
            if !statements.last().is_some_and(|newest| newest.offsets.contains_key(topic)) {
                continue;
            }
            let met = |statement: &Statement| statement.needs(topic, partition) <= next;
            let end = statements.partition_point(met);
            // Offsets of a source grow, but should they not, only a statement that is met counts.
            let newest = statements[..end].iter().rev().find(|statement| met(statement))?;
            least = Some(least.map_or(newest.at, |at| at.min(newest.at)));
        }
        least
    }
}

impl Statement {
    /// The offset below which the partition must be read; 0 for one in which the source has nothing.
    fn needs(&self, topic: &str, partition: i32) -> i64 {
        let offsets = self.offsets.get(topic).map_or(&[][..], Vec::as_slice);
        usize::try_from(partition).ok().and_then(|n| offsets.get(n)).copied().unwrap_or(0)
    }
}

fn thin(statements: &mut Vec<Statement>) {
    let last = statements.len() - 1;
    let mut n = 0;
    let mut keep = |keep_hours: bool, statement: &Statement| {
        let kept = n % 2 == 0 || n == last || (keep_hours && statement.at.timestamp_millis() % HOUR_MS == 0);
        n += 1;
        kept
    };
    statements.retain(|statement| keep(true, statement));
    if statements.len() > MAX_STATEMENTS {
        let (last, mut n) = (statements.len() - 1, 0);
        statements.retain(|_| {
            n += 1;
            n % 2 == 1 || n == last + 1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + minutes * 60, 0).unwrap()
    }

    fn say(progress: &mut Progress, source: &str, minutes: i64, offsets: &[i64]) -> Result<(), String> {
        let statement = serde_json::json!({"source": source, "at": at(minutes), "offsets": {"t": offsets}});
        progress.record(statement.to_string().as_bytes())
    }

    #[test]
    fn a_partition_is_complete_up_to_the_newest_statement_whose_offset_was_read() {
        let mut progress = Progress::default();
        for (minutes, offset) in [(0, 10), (1, 20), (2, 20), (3, 35)] {
            say(&mut progress, "a", minutes, &[offset, 0]).unwrap();
        }
        for (next, expected) in
            [(9, None), (10, Some(at(0))), (19, Some(at(0))), (20, Some(at(2))), (99, Some(at(3)))]
        {
            assert_eq!(progress.reached("t", 0, next), expected, "next {next}");
        }
        assert_eq!(progress.reached("t", 1, 0), Some(at(3)), "an empty partition is complete at once");
    }

    #[test]
    fn the_slowest_source_counts() {
        let mut progress = Progress::default();
        say(&mut progress, "a", 5, &[10]).unwrap();
        say(&mut progress, "b", 2, &[8]).unwrap();
        say(&mut progress, "b", 9, &[50]).unwrap();
        assert_eq!(progress.reached("t", 0, 10), Some(at(2)));
        assert_eq!(progress.reached("t", 0, 7), None);
    }

    #[test]
    fn a_topic_of_which_no_source_speaks_has_no_watermark() {
        let mut progress = Progress::default();
        say(&mut progress, "a", 5, &[10]).unwrap();
        assert_eq!(progress.reached("other", 0, 100), None);
    }

    #[test]
    fn a_source_that_goes_back_is_not_believed() {
        let mut progress = Progress::default();
        say(&mut progress, "a", 5, &[10]).unwrap();
        assert!(say(&mut progress, "a", 4, &[3]).is_err());
        assert_eq!(progress.reached("t", 0, 3), None);
        assert!(progress.record(b"not json").is_err());
    }

    #[test]
    fn thinned_statements_keep_full_hours_and_the_newest() {
        let mut progress = Progress::default();
        let count = MAX_STATEMENTS as i64 * 3;
        for minutes in 0..count {
            say(&mut progress, "a", minutes, &[minutes]).unwrap();
        }
        assert!(progress.sources["a"].len() <= MAX_STATEMENTS);
        assert_eq!(progress.reached("t", 0, count), Some(at(count - 1)));
        for hour in (0..count).step_by(60) {
            assert_eq!(progress.reached("t", 0, hour), Some(at(hour)), "minute {hour}");
        }
    }
}
