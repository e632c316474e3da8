//! What a run tells: progress while it goes on, a report at its end, and the counts for reconciliation.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::Topic;
use crate::plan::Plan;

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Passing over what the topics already hold, checking it.
    Replaying,
    /// Writing the past as fast as Kafka takes it.
    History,
    /// Each event when the clock reaches it.
    Live,
    Done,
}

/// Records of one topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TopicCount {
    /// In the topic already when the run began.
    pub replayed: u64,
    pub sent: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    pub state: Phase,
    /// How far the events have come; none before the first.
    pub event_time: Option<DateTime<Utc>>,
    /// By topic name, prefix included.
    pub topics: BTreeMap<String, TopicCount>,
    /// Page views made by this run, replayed ones included: each is one record or more, in one topic or more.
    pub page_views: u64,
    /// Records of all topics made by this run, replayed ones included.
    pub events: u64,
    /// Of all topics.
    pub events_per_second: f64,
    /// Records that Kafka refused. The first one stops the run with an error, so a report says 0.
    pub rejected: u64,
    /// Why Kafka does not take records at the moment; they wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It reached its `to`.
    Complete,
    Cancelled,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub ending: Ending,
    pub plan: Plan,
    /// The last published watermark; none when nothing was.
    pub watermark: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub progress: Progress,
}

/// Records that the plan yields, by topic (without prefix) and hour of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub from: DateTime<Utc>,
    /// Exclusive.
    pub until: DateTime<Utc>,
    pub topics: BTreeMap<Topic, BTreeMap<DateTime<Utc>, u64>>,
}

impl Counts {
    /// All records of a topic.
    pub fn total(&self, topic: Topic) -> u64 {
        self.topics.get(&topic).map_or(0, |hours| hours.values().sum())
    }
}
