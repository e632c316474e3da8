//! Parquet files in memory: rows of an hour, and dead letters.

use std::sync::Arc;

use arrow::array::{
    BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// A record that could not be read, with the reason and its raw bytes.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub offset: i64,
    /// Kafka's timestamp in epoch milliseconds.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub error: String,
}

pub(crate) fn encode(batch: &RecordBatch) -> Result<Bytes, ParquetError> {
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    Ok(Bytes::from(writer.into_inner()?))
}

pub(crate) fn encode_dead_letters(
    topic: &str,
    partition: i32,
    letters: &[DeadLetter],
) -> Result<Bytes, ParquetError> {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", time, true),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("error", DataType::Utf8, false),
    ]);
    let timestamps: TimestampMillisecondArray = letters.iter().map(|letter| letter.timestamp).collect();
    let batch = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from(vec![topic; letters.len()])),
            Arc::new(Int32Array::from_value(partition, letters.len())),
            Arc::new(letters.iter().map(|letter| letter.offset).collect::<Int64Array>()),
            Arc::new(timestamps.with_timezone("UTC")),
            Arc::new(letters.iter().map(|letter| letter.key.as_deref()).collect::<BinaryArray>()),
            Arc::new(letters.iter().map(|letter| letter.value.as_deref()).collect::<BinaryArray>()),
            Arc::new(letters.iter().map(|letter| Some(letter.error.as_str())).collect::<StringArray>()),
        ],
    )?;
    encode(&batch)
}
