//! What the job is told. Not here: where the values come from (`app`).

use std::sync::Arc;
use std::time::Duration;

use ::kafka::Access;
use chrono::{DateTime, Utc};

use crate::{Error, Step, TopicSchema};

/// The current time; an argument so that tests can hold it.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Asked before each side effect with topic and partition; `false` ends the job there, as a crash would.
pub type BeforeStep = Arc<dyn Fn(Step, &str, i32) -> bool + Send + Sync>;

#[derive(Clone)]
pub struct Options {
    pub kafka: Access,
    pub topics: Vec<TopicConfig>,
    pub lake_url: String,
    pub group: String,
    pub roll: Roll,
    /// Where sources say how far they are complete. Without it, completeness is guessed from idleness.
    pub watermarks_topic: Option<String>,
    /// Put before each topic's name in Kafka, not in the lake.
    pub topic_prefix: String,
    /// A larger record is a dead letter.
    pub max_message_bytes: usize,
    /// Above this, buffers are flushed, and if that fails, partitions paused.
    pub memory_limit_bytes: usize,
    /// Without a watermarks topic: how far behind the clock a partition is complete that was read to its end.
    pub idle_lateness: Duration,
    pub on_data_loss: OnDataLoss,
    pub sanity: Sanity,
    /// Who wrote a commit, for people who read the log.
    pub writer: String,
    /// For tests of crash safety.
    pub before_step: Option<BeforeStep>,
}

#[derive(Clone)]
pub struct TopicConfig {
    pub name: String,
    pub schema: TopicSchema,
}

/// When a partition's buffer is written; whichever comes first.
#[derive(Debug, Clone)]
pub struct Roll {
    pub every: Duration,
    pub max_rows: usize,
    pub max_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDataLoss {
    #[default]
    Fail,
    SkipAndRecord,
}

/// Event times outside of this are dead letters.
#[derive(Debug, Clone)]
pub struct Sanity {
    pub earliest: DateTime<Utc>,
    pub ahead_of_clock: Duration,
}

impl Default for Roll {
    fn default() -> Self {
        Self { every: Duration::from_secs(120), max_rows: 1_000_000, max_bytes: 64 << 20 }
    }
}

impl Default for Sanity {
    fn default() -> Self {
        let earliest = DateTime::from_timestamp(946_684_800, 0).unwrap_or_default();
        Self { earliest, ahead_of_clock: Duration::from_secs(24 * 3600) }
    }
}

impl Options {
    pub fn new(kafka: impl Into<Access>, lake_url: impl Into<String>, topics: Vec<TopicConfig>) -> Self {
        Self {
            kafka: kafka.into(),
            topics,
            lake_url: lake_url.into(),
            group: "streamify-lake".into(),
            roll: Roll::default(),
            watermarks_topic: Some("watermarks".into()),
            topic_prefix: String::new(),
            max_message_bytes: 1 << 20,
            memory_limit_bytes: 256 << 20,
            idle_lateness: Duration::from_secs(60),
            on_data_loss: OnDataLoss::default(),
            sanity: Sanity::default(),
            writer: format!("stream-{}", std::process::id()),
            before_step: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |name, problem: &str| Err(Error::Option { name, problem: problem.to_owned() });
        if self.kafka.brokers().trim().is_empty() {
            return wrong("brokers", "is empty; give host:port of at least one broker");
        }
        if self.group.is_empty() {
            return wrong("group", "is empty");
        }
        if self.topics.is_empty() {
            return wrong("topics", "is empty; name at least one topic");
        }
        for (n, topic) in self.topics.iter().enumerate() {
            if !lake::layout::is_topic_name(&self.kafka_name(&topic.name)) {
                return wrong("topics", &format!("`{}` is not a topic name", topic.name));
            }
            if self.topics[..n].iter().any(|other| other.name == topic.name) {
                return wrong("topics", &format!("`{}` is named twice", topic.name));
            }
        }
        // Text columns count bytes in 32 bits; one roll must stay far below.
        if self.roll.max_bytes == 0 || self.roll.max_bytes > 1 << 30 {
            return wrong("roll.max_bytes", "must lie between 1 and 1073741824");
        }
        if self.roll.max_rows == 0 || self.max_message_bytes == 0 || self.max_message_bytes > 1 << 28 {
            return wrong(
                "roll.max_rows, max_message_bytes",
                "must be above 0, and a message at most 268435456 bytes",
            );
        }
        Ok(())
    }

    pub(crate) fn kafka_name(&self, topic: &str) -> String {
        format!("{}{topic}", self.topic_prefix)
    }
}
