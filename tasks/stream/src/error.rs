//! What ends the job. What can pass by waiting does not: it degrades the status and is retried.

use rdkafka::error::KafkaError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("option {name}: {problem}")]
    Option { name: &'static str, problem: String },

    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Schema(Vec<model::Problem>),

    #[error(transparent)]
    Lake(#[from] lake::Error),

    #[error(transparent)]
    Access(#[from] kafka::Error),

    #[error("cannot {action}: {source}; brokers are {brokers}")]
    Kafka { action: &'static str, brokers: String, source: KafkaError },

    /// Kafka dropped records before they were read.
    #[error(
        "{topic}/{partition}: offsets {next}..{low} are no longer in Kafka (retention was shorter than the time this job stood still); \
         restore them, or start with `on_data_loss: skip-and-record` to go on and record them as skipped"
    )]
    DataLoss { topic: String, partition: i32, next: i64, low: i64 },

    /// The topic was deleted and created anew, or the brokers are others than before.
    #[error(
        "{topic}/{partition}: the lake is complete up to offset {next} but Kafka ends at {high}: the topic was recreated, or this is \
         another cluster; use the old cluster, or a new lake"
    )]
    Recreated { topic: String, partition: i32, next: i64, high: i64 },

    #[error("cannot encode {what} as Parquet: {source}")]
    Encode { what: String, source: parquet::errors::ParquetError },

    /// The hook of [`crate::Options::before_step`] said so.
    #[error("stopped before {step:?} of {topic}/{partition}")]
    StoppedBefore { step: crate::Step, topic: String, partition: i32 },

    #[error("the streaming thread ended unexpectedly: {0}")]
    Thread(String),
}
