//! Read models: one file for each page or API resource, shaped as it is shown.

pub mod approvals;
pub mod assets;
pub mod attempts;
pub mod audit;
pub mod backfills;
pub mod calendar;
pub mod check_results;
pub mod dags;
pub mod deadlines;
pub mod failures;
pub mod grid;
pub mod health;
pub mod instances;
pub mod log_tail;
pub mod metrics;
pub mod notifications;
pub mod parts;
pub mod pools;
pub mod problems;
pub mod runs;
pub mod services;
pub mod ticks;
pub mod versions;

use sqlx::Row;
use sqlx::postgres::PgRow;
use std::str::FromStr;

/// A text column that holds one of our words.
fn parsed<T: FromStr<Err = String>>(row: &PgRow, column: &'static str) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    text.parse()
        .map_err(|message: String| sqlx::Error::ColumnDecode { index: column.into(), source: message.into() })
}

fn parse<T: FromStr<Err = String>>(text: &str) -> crate::Result<T> {
    text.parse().map_err(|message: String| crate::Error::Db(sqlx::Error::Decode(message.into())))
}
