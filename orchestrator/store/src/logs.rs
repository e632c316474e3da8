//! Lines of attempts, shipped while they run, in rows partitioned by day.

use crate::rows::clean;
use crate::{Result, Store};
use chrono::{DateTime, NaiveDate, Utc};
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    pub attempt_id: i64,
    /// Counts from 0 within the attempt.
    pub seq: i32,
    pub at: DateTime<Utc>,
    /// stdout, stderr or system.
    pub stream: &'static str,
    pub line: String,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct StoredLine {
    pub seq: i32,
    pub at: DateTime<Utc>,
    pub stream: String,
    pub line: String,
}

impl Store {
    /// Appends a batch; a line that is there already (a repeated batch) is left alone. Rings `log` for each attempt.
    pub async fn append_logs(&self, lines: &[LogLine]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.ensure_log_days(lines).await?;
        let attempts: Vec<i64> = lines.iter().map(|line| line.attempt_id).collect();
        let seqs: Vec<i32> = lines.iter().map(|line| line.seq).collect();
        let ats: Vec<DateTime<Utc>> = lines.iter().map(|line| line.at).collect();
        let streams: Vec<&str> = lines.iter().map(|line| line.stream).collect();
        let texts: Vec<String> = lines.iter().map(|line| clean(&line.line).into_owned()).collect();
        sqlx::query(
            "with lines as (
                select * from unnest($1::int8[], $2::int4[], $3::timestamptz[], $4::text[], $5::text[])
                    as l(attempt_id, seq, at, stream, line)
             ), stored as (
                insert into logs (attempt_id, seq, at, stream, line)
                select attempt_id, seq, at, stream, line from lines order by attempt_id, seq
                on conflict do nothing
             )
             select pg_notify('streamify', 'log:' || attempt_id) from (select distinct attempt_id from lines) a",
        )
        .bind(attempts)
        .bind(seqs)
        .bind(ats)
        .bind(streams)
        .bind(texts)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lines after `after_seq` (-1 for all), oldest first, at most `limit`, wherever they are.
    pub async fn read_logs(&self, attempt_id: i64, after_seq: i32, limit: i64) -> Result<Vec<StoredLine>> {
        let rows = sqlx::query_as::<_, (i32, DateTime<Utc>, String, String)>(
            "select seq, at, stream, line from logs where attempt_id = $1 and seq > $2 order by seq, at limit $3",
        )
        .bind(attempt_id)
        .bind(after_seq)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let rows = rows.into_iter().map(|(seq, at, stream, line)| StoredLine { seq, at, stream, line });
        let rows: Vec<StoredLine> = rows.collect();
        // Lines count from 0 without holes: what comes next is here, or has gone to the archive, or was not written yet.
        if rows.first().is_some_and(|first| first.seq == after_seq + 1) {
            return Ok(rows);
        }
        let limit = usize::try_from(limit).unwrap_or_default();
        let mut lines = self.archived_after(attempt_id, after_seq, limit).await?;
        lines.extend(rows.into_iter().map(|line| (line.seq, line)));
        Ok(lines.into_values().take(limit).collect())
    }

    /// Makes the partitions of the lines' days and of the days after, before they are needed.
    async fn ensure_log_days(&self, lines: &[LogLine]) -> Result<()> {
        let days: BTreeSet<NaiveDate> = lines.iter().map(|line| line.at.date_naive()).collect();
        let missing: Vec<NaiveDate> = {
            let known = self.log_days.lock().expect("no holder of the log days panics");
            days.into_iter()
                .filter(|day| !known.contains(day))
                .flat_map(|day| [Some(day), day.succ_opt()])
                .flatten()
                .collect()
        };
        for day in missing {
            sqlx::query("select ensure_log_partition($1)").bind(day).execute(&self.pool).await?;
            self.log_days.lock().expect("no holder of the log days panics").insert(day);
        }
        Ok(())
    }
}
