//! The streaming job: Kafka topics to hour-partitioned Parquet files in the lake, exactly once.
//!
//! Owns the Kafka consumer and the writing of Parquet. A partition's position is the tail of its commit log, never a group offset; the
//! group only divides partitions among processes, and its offsets are committed after the lake's for tools that show lag.
//!
//! The way of a record: [`job`] polls it, [`event`] reads its JSON against the topic's [`schema`], [`buffer`] keeps it in the columns of its
//! hour or as a dead letter, [`chunk`] writes the buffer's files and the log entry. [`flush`] decides when, [`progress`] knows up to which
//! instant a source says it is complete.
//!
//! Not here: the log and its fence (`lake`), producing (`generator`), loading hours into a warehouse (`kinds`).

mod assignment;
mod buffer;
mod chunk;
mod columns;
mod error;
mod event;
mod files;
mod flush;
#[cfg(test)]
mod fuzz_tests;
mod job;
mod kafka;
mod lag;
mod offsets;
mod options;
mod partition;
mod progress;
mod schema;
mod schema_file;
mod status;

pub use chunk::Step;
pub use error::Error;
pub use job::run;
pub use lag::group_lag;
pub use offsets::{PartitionOffsets, offsets};
pub use options::{BeforeStep, Clock, OnDataLoss, Options, Roll, Sanity, TopicConfig};
pub use schema::{Field, FieldType, TopicSchema};
pub use schema_file::{parse_schema, read_schemas};
pub use status::{PartitionStatus, Report, State, Status, TopicReport, TopicStatus};
