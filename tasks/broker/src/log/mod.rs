//! The records of a partition on disk: segments of Kafka record batches, kept byte for byte.
//!
//! Batches are opaque here. Only base offset and leader epoch are patched, both outside the batch's CRC, so
//! that compressed batches pass through. Not here: topics, groups, transactions across partitions.

pub(crate) mod batch;
mod index;
mod partition;
mod producers;
mod record;
mod recovery;
mod segment;
mod transactions;

#[cfg(test)]
mod partition_tests;

pub(crate) use partition::{Isolation, Partition, PartitionOptions, RetentionLimits};
