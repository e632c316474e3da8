//! What an hour of a topic consists of, for those who load it.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use model::Window;
use sha2::{Digest, Sha256};

use crate::{DataFile, Error, Lake};

/// The files of one hour. Equal digests mean equal content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourManifest {
    pub topic: String,
    pub hour: DateTime<Utc>,
    /// Ordered by path.
    pub files: Vec<DataFile>,
    pub rows: u64,
    pub digest: String,
}

/// The start of the hour that contains the instant.
pub fn floor_hour(at: DateTime<Utc>) -> DateTime<Utc> {
    // Only instants outside of i64 nanoseconds (years 1677..2262) cannot be rounded; the streaming job lets none through.
    at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at)
}

impl Lake {
    /// The hour that begins at `hour`; without files if the log has none.
    pub async fn hour(&self, topic: &str, hour: DateTime<Utc>) -> Result<HourManifest, Error> {
        let hour = floor_hour(hour);
        let files =
            self.with_index(topic, |index| index.hours.get(&hour).cloned().unwrap_or_default()).await?;
        Ok(manifest(topic, hour, files))
    }

    /// The hours with files that begin in the window, oldest first.
    pub async fn hours(&self, topic: &str, window: &Window) -> Result<Vec<HourManifest>, Error> {
        if window.start >= window.end {
            return Ok(Vec::new());
        }
        self.with_index(topic, |index| {
            let hours = index.hours.range(window.start..window.end);
            hours.map(|(hour, files)| manifest(topic, *hour, files.clone())).collect()
        })
        .await
    }
}

fn manifest(topic: &str, hour: DateTime<Utc>, mut files: Vec<DataFile>) -> HourManifest {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hash = Sha256::new();
    for file in &files {
        // Files are immutable, so that name and size identify their content.
        hash.update(format!("{}\n{}\n{}\n", file.path, file.rows, file.bytes));
    }
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let rows = files.iter().map(|file| file.rows).sum();
    HourManifest { topic: topic.to_owned(), hour, files, rows, digest }
}
