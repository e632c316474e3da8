//! What failed in a run, and why: the first few tasks.

use crate::{Result, Store};
use model::notify::FailedTask;

/// Of a reason that is longer people read the rest on the page.
const REASON_CHARS: usize = 300;

impl Store {
    /// Failed tasks of a run, the first ones first, at most `limit`, and how many there are.
    pub async fn failures_of(&self, run: i64, limit: i64) -> Result<(Vec<FailedTask>, i64)> {
        let rows: Vec<(String, i32, Option<String>, i64)> = sqlx::query_as(
            "select task_id, map_index, message, count(*) over () from task_instances where run = $1 and state = 'failed'
             order by ended_at, task, map_index limit $2",
        )
        .bind(run)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let total = rows.first().map_or(0, |(.., total)| *total);
        let failed = rows.into_iter().map(|(task_id, map_index, message, _)| FailedTask {
            task_id,
            map_index,
            reason: first_line(&message.unwrap_or_default()),
        });
        Ok((failed.collect(), total))
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(REASON_CHARS) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.to_owned(),
    }
}
