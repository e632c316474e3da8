//! Why there is no way to Kafka, and what to do about it.

use rdkafka::error::KafkaError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{variable}: {problem}")]
    Setting { variable: &'static str, problem: String },
    #[error("SASL/OAUTHBEARER for Kafka: {0}")]
    Credentials(#[source] google::Error),
    #[error("no thread to fetch tokens on: {0}")]
    Thread(#[source] std::io::Error),
    /// The brokers said no, or nothing; `reason` has librdkafka's words and what to do.
    #[error("Kafka at {brokers} ({how}): cannot {action}: {reason}")]
    Request { brokers: String, how: String, action: String, reason: String, source: Box<KafkaError> },
}
