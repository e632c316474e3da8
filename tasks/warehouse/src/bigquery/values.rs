//! Bound values on the way in, rows on the way out.

use chrono::{DateTime, SecondsFormat};
use gcp_bigquery_client::model::field_type::FieldType;
use gcp_bigquery_client::model::query_parameter::QueryParameter;
use gcp_bigquery_client::model::query_parameter_type::QueryParameterType;
use gcp_bigquery_client::model::query_parameter_value::QueryParameterValue;
use gcp_bigquery_client::model::table_field_schema::TableFieldSchema;
use gcp_bigquery_client::model::table_row::TableRow;
use serde_json::{Number, Value as Json, json};

use crate::{Column, ColumnType, Value};

/// A named parameter; `None` for null, which is written as such because it has no type of its own.
pub(super) fn parameter(name: String, value: &Value) -> Option<QueryParameter> {
    let (kind, text) = match value {
        Value::Null => return None,
        Value::Bool(flag) => ("BOOL", flag.to_string()),
        Value::Int(number) => ("INT64", number.to_string()),
        Value::Float(number) => ("FLOAT64", number.to_string()),
        Value::Text(text) => ("STRING", text.clone()),
        Value::Time(time) => ("TIMESTAMP", time.format("%Y-%m-%d %H:%M:%S%.6f+00:00").to_string()),
    };
    Some(QueryParameter {
        name: Some(name),
        parameter_type: Some(QueryParameterType {
            array_type: None,
            struct_types: None,
            r#type: kind.to_owned(),
        }),
        parameter_value: Some(QueryParameterValue {
            value: Some(text),
            array_values: None,
            struct_values: None,
        }),
    })
}

pub(super) fn type_of(kind: ColumnType) -> FieldType {
    match kind {
        ColumnType::Int => FieldType::Integer,
        ColumnType::Double => FieldType::Float,
        ColumnType::String => FieldType::String,
        ColumnType::Boolean => FieldType::Boolean,
        ColumnType::Timestamp => FieldType::Timestamp,
    }
}

/// The type as DDL names it.
pub(super) fn type_name(kind: &FieldType) -> &'static str {
    match kind {
        FieldType::String => "STRING",
        FieldType::Bytes => "BYTES",
        FieldType::Integer | FieldType::Int64 => "INT64",
        FieldType::Float | FieldType::Float64 => "FLOAT64",
        FieldType::Numeric => "NUMERIC",
        FieldType::Bignumeric => "BIGNUMERIC",
        FieldType::Boolean | FieldType::Bool => "BOOL",
        FieldType::Timestamp => "TIMESTAMP",
        FieldType::Date => "DATE",
        FieldType::Time => "TIME",
        FieldType::Datetime => "DATETIME",
        FieldType::Record | FieldType::Struct => "STRUCT",
        FieldType::Geography => "GEOGRAPHY",
        FieldType::Json => "JSON",
        FieldType::Interval => "INTERVAL",
    }
}

pub(super) fn columns(fields: &[TableFieldSchema]) -> Vec<Column> {
    fields
        .iter()
        .map(|field| Column { name: field.name.clone(), type_name: type_name(&field.r#type).to_owned() })
        .collect()
}

pub(super) fn row(fields: &[TableFieldSchema], row: TableRow) -> Vec<Json> {
    let cells = row.columns.unwrap_or_default();
    fields.iter().zip(cells).map(|(field, cell)| value(field, cell.value.unwrap_or(Json::Null))).collect()
}

fn value(field: &TableFieldSchema, cell: Json) -> Json {
    if field.mode.as_deref() == Some("REPEATED") {
        let Json::Array(items) = cell else { return Json::Array(Vec::new()) };
        return items.into_iter().map(|mut item| single(field, item["v"].take())).collect();
    }
    single(field, cell)
}

fn single(field: &TableFieldSchema, cell: Json) -> Json {
    let text = match cell {
        Json::Null => return Json::Null,
        Json::Object(mut record) => {
            let cells = match record.remove("f") {
                Some(Json::Array(cells)) => cells,
                _ => Vec::new(),
            };
            let fields = field.fields.as_deref().unwrap_or_default();
            let pair = |(field, mut cell): (&TableFieldSchema, Json)| {
                (field.name.clone(), value(field, cell["v"].take()))
            };
            return Json::Object(fields.iter().zip(cells).map(pair).collect());
        }
        Json::String(text) => text,
        other => other.to_string(),
    };
    match field.r#type {
        FieldType::Integer | FieldType::Int64 => text.parse::<i64>().map_or(Json::String(text), Json::from),
        FieldType::Float | FieldType::Float64 | FieldType::Numeric | FieldType::Bignumeric => {
            let number = text.parse::<f64>().ok().and_then(Number::from_f64);
            number.map_or(Json::String(text), Json::Number)
        }
        FieldType::Boolean | FieldType::Bool => json!(text == "true"),
        FieldType::Timestamp => timestamp(&text),
        FieldType::Datetime => DateTime::parse_from_rfc3339(&format!("{text}Z")).map_or_else(
            |_| json!(text),
            |time| json!(time.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        ),
        FieldType::Json => serde_json::from_str(&text).unwrap_or(Json::String(text)),
        _ => Json::String(text),
    }
}

/// BigQuery says seconds since 1970 as a decimal number, such as `1.7637696E9`.
fn timestamp(text: &str) -> Json {
    let micros = text.parse::<f64>().ok().map(|seconds| (seconds * 1e6).round() as i64);
    match micros.and_then(DateTime::from_timestamp_micros) {
        Some(time) => json!(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        None => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use gcp_bigquery_client::model::table_cell::TableCell;
    use gcp_bigquery_client::model::table_field_schema::TableFieldSchema;
    use gcp_bigquery_client::model::table_row::TableRow;
    use serde_json::{Value as Json, json};

    use super::{parameter, row};
    use crate::Value;

    fn decoded(field: TableFieldSchema, cell: Json) -> Json {
        let cells = TableRow { columns: Some(vec![TableCell { value: Some(cell) }]) };
        row(&[field], cells).remove(0)
    }

    #[test]
    fn cells_become_typed_values() {
        let cases = [
            (TableFieldSchema::integer("a"), json!("-7"), json!(-7)),
            (TableFieldSchema::float("a"), json!("1.5"), json!(1.5)),
            (TableFieldSchema::float("a"), json!("NaN"), json!("NaN")),
            (TableFieldSchema::bool("a"), json!("true"), json!(true)),
            (TableFieldSchema::timestamp("a"), json!("1.7637696E9"), json!("2025-11-22T00:00:00Z")),
            (
                TableFieldSchema::timestamp("a"),
                json!("1763769600.123456"),
                json!("2025-11-22T00:00:00.123456Z"),
            ),
            (TableFieldSchema::timestamp("a"), json!("2.534022144E11"), json!("9999-12-31T00:00:00Z")),
            (TableFieldSchema::date("a"), json!("2026-01-02"), json!("2026-01-02")),
            (TableFieldSchema::string("a"), Json::Null, Json::Null),
        ];
        for (field, cell, expected) in cases {
            assert_eq!(decoded(field, cell), expected);
        }
        let mut list = TableFieldSchema::integer("a");
        list.mode = Some("REPEATED".to_owned());
        assert_eq!(decoded(list, json!([{"v": "1"}, {"v": "2"}])), json!([1, 2]));
        let record = TableFieldSchema::record("a", vec![TableFieldSchema::integer("n")]);
        assert_eq!(decoded(record, json!({"f": [{"v": "1"}]})), json!({"n": 1}));
    }

    #[test]
    fn values_are_bound_with_their_type_and_null_is_not() {
        let time = "2026-11-22T01:02:03.5Z".parse().unwrap();
        let bound = parameter("p1".to_owned(), &Value::Time(time)).unwrap();
        assert_eq!(bound.parameter_type.unwrap().r#type, "TIMESTAMP");
        assert_eq!(bound.parameter_value.unwrap().value.unwrap(), "2026-11-22 01:02:03.500000+00:00");
        assert!(parameter("p1".to_owned(), &Value::Null).is_none());
    }
}
