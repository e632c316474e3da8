//! What is wrong with dag files now.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::Problem;

#[derive(Debug, Clone)]
pub struct FileProblem {
    pub problem: Problem,
    pub found_at: DateTime<Utc>,
}

impl Store {
    /// A page of problems by file, and how many there are in all.
    pub async fn list_problems(&self, limit: i64, offset: i64) -> Result<(Vec<FileProblem>, i64)> {
        let total: i64 =
            sqlx::query_scalar("select count(*) from dag_problems").fetch_one(&self.pool).await?;
        type Row = (String, i32, i32, String, Option<String>, DateTime<Utc>);
        let rows: Vec<Row> = sqlx::query_as(
            "select file, line, col, message, hint, found_at from dag_problems order by file, position limit $1 offset $2",
        )
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.pool)
        .await?;
        let shown = rows.into_iter().map(|(file, line, column, message, hint, found_at)| FileProblem {
            problem: Problem {
                file,
                line: line.max(0) as usize,
                column: column.max(0) as usize,
                message,
                hint,
            },
            found_at,
        });
        Ok((shown.collect(), total))
    }
}
