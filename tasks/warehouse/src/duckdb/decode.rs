//! DuckDB's values as JSON.

use ::duckdb::types::{TimeUnit, Value as DuckValue};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat};
use serde_json::{Number, Value, json};

pub(crate) fn json(value: DuckValue) -> Value {
    match value {
        DuckValue::Null => Value::Null,
        DuckValue::Boolean(flag) => json!(flag),
        DuckValue::TinyInt(number) => json!(number),
        DuckValue::SmallInt(number) => json!(number),
        DuckValue::Int(number) => json!(number),
        DuckValue::BigInt(number) => json!(number),
        DuckValue::HugeInt(number) => {
            i64::try_from(number).map_or_else(|_| json!(number.to_string()), |fits| json!(fits))
        }
        DuckValue::UHugeInt(number) => {
            u64::try_from(number).map_or_else(|_| json!(number.to_string()), |fits| json!(fits))
        }
        DuckValue::UTinyInt(number) => json!(number),
        DuckValue::USmallInt(number) => json!(number),
        DuckValue::UInt(number) => json!(number),
        DuckValue::UBigInt(number) => json!(number),
        DuckValue::Float(number) => float(f64::from(number)),
        DuckValue::Double(number) => float(number),
        DuckValue::Decimal(number) => {
            let text = number.to_string();
            text.parse().ok().and_then(Number::from_f64).map_or(Value::String(text), Value::Number)
        }
        DuckValue::Timestamp(unit, amount) => timestamp(unit, amount),
        DuckValue::Date32(days) => date(days),
        DuckValue::Time64(unit, amount) => time(unit, amount),
        DuckValue::Interval { months, days, nanos } => {
            json!({"months": months, "days": days, "nanos": nanos})
        }
        DuckValue::Text(text) | DuckValue::Enum(text) => Value::String(text),
        DuckValue::Blob(bytes) | DuckValue::Geometry(bytes) => {
            json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        DuckValue::List(items) | DuckValue::Array(items) => items.into_iter().map(json).collect(),
        DuckValue::Struct(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), json(field.clone()))).collect()
        }
        DuckValue::Map(entries) => {
            let pair = |(key, entry): &(DuckValue, DuckValue)| json!({"key": json(key.clone()), "value": json(entry.clone())});
            entries.iter().map(pair).collect()
        }
        DuckValue::Union(inner) => json(*inner),
        other => json!(format!("{other:?}")),
    }
}

/// JSON has no NaN and no infinity: they become their names.
fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| json!(number.to_string()), Value::Number)
}

fn timestamp(unit: TimeUnit, amount: i64) -> Value {
    DateTime::from_timestamp_micros(unit.to_micros(amount))
        .map_or(Value::Null, |time| json!(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

fn date(days: i32) -> Value {
    let shift = Days::new(u64::from(days.unsigned_abs()));
    let epoch = NaiveDate::default();
    let date = if days < 0 { epoch.checked_sub_days(shift) } else { epoch.checked_add_days(shift) };
    date.map_or(Value::Null, |date| json!(date.to_string()))
}

fn time(unit: TimeUnit, amount: i64) -> Value {
    let micros = unit.to_micros(amount);
    let seconds = u32::try_from(micros / 1_000_000).ok();
    let nanos = u32::try_from(micros % 1_000_000).ok().map(|micros| micros * 1_000);
    seconds
        .zip(nanos)
        .and_then(|(seconds, nanos)| NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos))
        .map_or(Value::Null, |time| json!(time.to_string()))
}
