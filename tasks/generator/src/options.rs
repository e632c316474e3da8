//! What a caller may ask for. Everything left out comes from the stored plan, then from the configuration, then from defaults.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::input::Sources;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Eventsim configuration file; none = the built-in one.
    pub config: Option<PathBuf>,
    /// Path or http(s) URL of the songs CSV; none = a synthetic catalogue.
    pub songs: Option<String>,
    /// Path or http(s) URL of Eventsim's listen counts (gzip or not).
    pub listen_counts: Option<String>,
    pub users: Option<u32>,
    pub seed: Option<u64>,
    pub first_user_id: Option<u64>,
    /// Beginning of the history; none = `history_hours` before the last hour that an hourly run has taken.
    pub from: Option<DateTime<Utc>>,
    /// Used only where neither `from` nor a stored plan says when the history begins; none = 24.
    pub history_hours: Option<u32>,
    /// End (exclusive); none = now, or never when continuous.
    pub to: Option<DateTime<Utc>>,
    /// Go on in real time when the history has reached the clock.
    pub continuous: bool,
    /// Users that join in a year, as a share of those there.
    pub growth: Option<f64>,
    /// Rate at which users leave for good, a year.
    pub attrition: Option<f64>,
    /// Written into every record that shows a user.
    pub tag: Option<String>,
    /// Put before every topic's name.
    pub topic_prefix: String,
    /// Partitions of the event topics; none = what they have, or three.
    pub partitions: Option<i32>,
}

impl Options {
    pub(crate) fn sources(&self) -> Sources {
        Sources {
            config: self.config.as_ref().map(|path| path.to_string_lossy().into_owned()),
            songs: self.songs.clone(),
            listen_counts: self.listen_counts.clone(),
        }
    }
}
