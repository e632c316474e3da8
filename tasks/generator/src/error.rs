//! What can go wrong, in words for the person who must mend it.

use std::path::PathBuf;

use rdkafka::error::KafkaError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("configuration {file}: {problem}")]
    Config { file: String, problem: String },
    #[error("songs {file}: {problem}")]
    Songs { file: String, problem: String },
    #[error("listen counts {file}: {problem}")]
    ListenCounts { file: String, problem: String },
    #[error("cannot download {url}: {problem}")]
    Download { url: String, problem: String },
    #[error("{0}")]
    Options(String),
    #[error(
        "the plan in topic {topic} does not agree with what was asked for: {conflicts}. \
         Leave the option out to continue that history, start anew with `streamify up --fresh`, \
         or write beside it with another --topic-prefix"
    )]
    PlanConflict { topic: String, conflicts: String },
    #[error("topic {topic}: {problem}")]
    Topic { topic: String, problem: String },
    #[error(transparent)]
    Access(#[from] kafka::Error),
    #[error("Kafka at {brokers}: cannot {action}: {source}")]
    Kafka { brokers: String, action: String, source: Box<KafkaError> },
    #[error("Kafka at {brokers} {problem}")]
    Delivery { brokers: String, problem: String },
    #[error("a thread of the generator stopped unexpectedly: {0}")]
    Thread(#[from] tokio::task::JoinError),
    #[error("cannot write the catalogue: {0}")]
    Output(#[source] std::io::Error),
}
