//! The rows of one hour in columns, as they grow. Not here: their file (`files`).

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Array, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};

use crate::event::{Event, Value};
use crate::schema::{FieldType, TopicSchema};

enum Column {
    Int(Int64Builder),
    Double(Float64Builder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
}

pub(crate) struct Columns {
    fields: Vec<Column>,
    offsets: Int64Builder,
    ingested: TimestampMicrosecondBuilder,
    extra: StringBuilder,
    pub rows: usize,
    pub min_time: i64,
    pub max_time: i64,
}

impl Columns {
    pub fn new(schema: &TopicSchema) -> Self {
        Self {
            fields: schema.fields().iter().map(|field| Column::new(field.kind)).collect(),
            offsets: Int64Builder::new(),
            ingested: TimestampMicrosecondBuilder::new(),
            extra: StringBuilder::new(),
            rows: 0,
            min_time: i64::MAX,
            max_time: i64::MIN,
        }
    }

    pub fn push(&mut self, event: &Event<'_>, offset: i64, now: DateTime<Utc>) {
        for (column, value) in self.fields.iter_mut().zip(&event.values) {
            column.push(value);
        }
        self.offsets.append_value(offset);
        self.ingested.append_value(now.timestamp_micros());
        match event.unknown.is_empty() {
            true => self.extra.append_null(),
            false => self.extra.append_value(serde_json::to_string(&event.unknown).unwrap_or_default()),
        }
        self.rows += 1;
        self.min_time = self.min_time.min(event.time);
        self.max_time = self.max_time.max(event.time);
    }

    pub fn finish(mut self, schema: &TopicSchema, partition: i32) -> Result<RecordBatch, ArrowError> {
        let mut arrays: Vec<ArrayRef> = self.fields.iter_mut().map(Column::finish).collect();
        arrays.push(Arc::new(Int32Array::from_value(partition, self.rows)));
        arrays.push(Arc::new(self.offsets.finish()));
        arrays.push(Arc::new(self.ingested.finish().with_timezone("UTC")));
        arrays.push(Arc::new(self.extra.finish()));
        RecordBatch::try_new(schema.arrow().clone(), arrays)
    }
}

impl Column {
    fn new(kind: FieldType) -> Self {
        match kind {
            FieldType::Int => Self::Int(Int64Builder::new()),
            FieldType::Double => Self::Double(Float64Builder::new()),
            FieldType::Boolean => Self::Boolean(BooleanBuilder::new()),
            FieldType::String => Self::Text(StringBuilder::new()),
        }
    }

    /// The value has this column's type, or is null: the parser saw to it.
    fn push(&mut self, value: &Value<'_>) {
        match (self, value) {
            (Self::Int(column), Value::Int(value)) => column.append_value(*value),
            (Self::Double(column), Value::Double(value)) => column.append_value(*value),
            (Self::Boolean(column), Value::Boolean(value)) => column.append_value(*value),
            (Self::Text(column), Value::Text(value)) => column.append_value(value),
            (Self::Int(column), _) => column.append_null(),
            (Self::Double(column), _) => column.append_null(),
            (Self::Boolean(column), _) => column.append_null(),
            (Self::Text(column), _) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int(column) => Arc::new(column.finish()),
            Self::Double(column) => Arc::new(column.finish()),
            Self::Boolean(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
        }
    }
}
