//! The declared fields of a topic, as JSON is checked against them and as Parquet columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as Column, Schema, SchemaRef, TimeUnit};
use sha2::{Digest, Sha256};

/// The event time, which every topic has: epoch milliseconds.
pub(crate) const TIME_FIELD: &str = "ts";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    Int,
    Double,
    String,
    Boolean,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub kind: FieldType,
    pub required: bool,
}

/// Fields in their declared order. Made by [`TopicSchema::new`], which checks them.
#[derive(Debug, Clone)]
pub struct TopicSchema {
    topic: String,
    fields: Vec<Field>,
    index: HashMap<String, usize>,
    time: usize,
    arrow: SchemaRef,
    hash: String,
}

impl TopicSchema {
    pub fn new(topic: impl Into<String>, fields: Vec<Field>) -> Result<Self, String> {
        let mut index = HashMap::new();
        for (n, field) in fields.iter().enumerate() {
            if field.name.is_empty() || field.name.starts_with('_') {
                return Err(format!("`{}`: names that begin with _ belong to the lake", field.name));
            }
            if index.insert(field.name.clone(), n).is_some() {
                return Err(format!("`{}` is declared twice", field.name));
            }
        }
        let time = index.get(TIME_FIELD).copied();
        let time = time.filter(|&n| fields[n].kind == FieldType::Int && fields[n].required);
        let time = time.ok_or(format!(
            "`{TIME_FIELD}` (type int, required: true) is missing: it names the hour of an event"
        ))?;
        let arrow = arrow_schema(&fields);
        let hash = hash(&fields);
        Ok(Self { topic: topic.into(), fields, index, time, arrow, hash })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Equal for equal names, types and order.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The Parquet columns: the fields, then what the lake adds.
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    pub(crate) fn time(&self) -> usize {
        self.time
    }

    /// Position of a field. Fields usually come in their declared order, so the caller says which it expects next.
    pub(crate) fn position(&self, name: &str, expected: usize) -> Option<usize> {
        match self.fields.get(expected) {
            Some(field) if field.name == name => Some(expected),
            _ => self.index.get(name).copied(),
        }
    }
}

impl FieldType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Double => "double",
            Self::String => "string",
            Self::Boolean => "boolean",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Int, Self::Double, Self::String, Self::Boolean].into_iter().find(|kind| kind.name() == name)
    }

    fn arrow(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
        }
    }
}

fn arrow_schema(fields: &[Field]) -> SchemaRef {
    // Every field is nullable in the file, so that a field which becomes optional later changes no file's schema.
    let declared = fields.iter().map(|field| Column::new(&field.name, field.kind.arrow(), true));
    let added = [
        Column::new("_topic_partition", DataType::Int32, false),
        Column::new("_topic_offset", DataType::Int64, false),
        Column::new("_ingested_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Column::new("_extra", DataType::Utf8, true),
    ];
    Arc::new(Schema::new(declared.chain(added).collect::<Vec<_>>()))
}

fn hash(fields: &[Field]) -> String {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update(format!("{}:{}:{}\n", field.name, field.kind.name(), field.required));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
