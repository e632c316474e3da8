//! Old days of logs: written to the archive file by file, then dropped whole; and files that are too old even there.
//!
//! The order is what makes it safe to be killed: a file is written, read back and compared, then its row is written; a day is dropped only
//! when it holds no more lines than its files. What was begun is gone on with; what does not add up is written anew.

use super::{Mode, Policy, Position, Pruned, Stage, Step, before, count, is_locked_out};
use crate::log_archive::{BUNDLE_BYTES_MAX, BUNDLE_LINES_MAX, Bundle};
use crate::logs::LogLine;
use crate::{Error, Result, Store};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::PgConnection;

/// Files of the archive removed by one step.
const FILES_MAX: i64 = 20;

/// The next lines of a day after (attempt, line), until they are too many or too long; at least one.
pub(crate) const LINES: &str = "
select attempt_id, seq, at, stream, line from (
    select attempt_id, seq, at, stream, line, sum(octet_length(line) + 100) over (order by attempt_id, seq, at) as bytes,
        row_number() over (order by attempt_id, seq, at) as number
    from (
        select attempt_id, seq, at, stream, line from logs
        where at >= $1 and at < $2 and (attempt_id, seq) > ($3, $4)
        order by attempt_id, seq, at limit $5
    ) page
) counted
where bytes <= $6 or number = 1 order by attempt_id, seq, at";

impl Store {
    pub(super) async fn prune_logs(
        &self,
        policy: &Policy,
        at: &Position,
        mode: Mode,
        now: DateTime<Utc>,
    ) -> Result<Step> {
        let Some(cutoff) = before(now, policy.logs_days) else {
            return Ok(Step::over(Stage::Logs, Pruned::new()));
        };
        let day = sqlx::query_scalar::<_, String>(
            "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
             where i.inhparent = 'logs'::regclass and c.relname > $1 order by c.relname limit 1",
        )
        .bind(at.day.map_or_else(String::new, |day| day.format("logs_%Y%m%d").to_string()))
        .fetch_optional(&self.pool)
        .await?;
        let day = day.and_then(|name| NaiveDate::parse_from_str(&name, "logs_%Y%m%d").ok());
        let Some(day) = day.filter(|day| *day < cutoff.date_naive()) else {
            return Ok(Step::over(Stage::Logs, Pruned::new()));
        };
        if mode == Mode::Count {
            let pruned = Pruned::from([("log_lines", self.lines_of(day).await?), ("log_days", 1)]);
            return Ok(Step::on(pruned, Position { day: Some(day), ..at.clone() }));
        }
        let stepped = match self.archive.is_some() {
            true => self.archive_step(day, now).await,
            false => self.drop_day(day, None, now).await,
        };
        match stepped {
            Ok(pruned) => Ok(Step::on(pruned, at.clone())),
            Err(error) if is_locked_out(&error) => {
                let left =
                    Some(format!("the logs of {day}: readers were in the way, the next pass tries again"));
                Ok(Step { left, ..Step::over(Stage::Logs, Pruned::new()) })
            }
            // Other things need not wait for an archive that does not answer.
            Err(Error::Archive { message }) => {
                let left = Some(format!("the logs of {day}: {message}"));
                Ok(Step { left, ..Step::over(Stage::Logs, Pruned::new()) })
            }
            Err(error) => Err(error),
        }
    }

    /// One more file of the day; after the last one, the day is dropped.
    async fn archive_step(&self, day: NaiveDate, now: DateTime<Utc>) -> Result<Pruned> {
        let (number, attempt, seq, lines) = sqlx::query_as::<_, (i32, i64, i32, i64)>(
            "select coalesce(max(number), 0), coalesce((array_agg(last_attempt order by number desc))[1], -1),
                coalesce((array_agg(last_seq order by number desc))[1], -1), coalesce(sum(lines), 0)::int8
             from log_bundles where day = $1",
        )
        .bind(day)
        .fetch_one(&self.pool)
        .await?;
        let page = self.lines_after(day, attempt, seq).await?;
        if !page.is_empty() {
            self.write_bundle(Bundle::of(day, number + 1, &page)?, now).await?;
            return Ok(Pruned::from([("log_files_written", 1)]));
        }
        let pruned = self.drop_day(day, Some(lines), now).await?;
        if pruned.is_empty() {
            // Lines came after their files were written: written anew. Files of the same name are replaced.
            tracing::warn!(%day, "the day's log lines are not those that were archived; they are archived again");
            sqlx::query("delete from log_bundles where day = $1").bind(day).execute(&self.pool).await?;
        }
        Ok(pruned)
    }

    /// Nothing if it holds more than `lines`.
    async fn drop_day(&self, day: NaiveDate, lines: Option<i64>, now: DateTime<Utc>) -> Result<Pruned> {
        let held = match lines {
            Some(lines) => lines,
            None => self.lines_of(day).await?,
        };
        let mut tx = self.begin().await?;
        let dropped = sqlx::query_scalar::<_, bool>("select drop_log_partition($1, $2)")
            .bind(day)
            .bind(lines)
            .fetch_one(&mut *tx)
            .await?;
        if !dropped {
            return Ok(Pruned::new());
        }
        let pruned = Pruned::from([("log_lines", held), ("log_days", 1)]);
        count(&mut tx, &pruned, now).await?;
        tx.commit().await?;
        self.log_days.lock().expect("no holder of the log days panics").remove(&day);
        Ok(pruned)
    }

    async fn lines_of(&self, day: NaiveDate) -> Result<i64> {
        let (from, to) = bounds(day);
        let lines = sqlx::query_scalar("select count(*) from logs where at >= $1 and at < $2")
            .bind(from)
            .bind(to)
            .fetch_one(&self.pool)
            .await?;
        Ok(lines)
    }

    async fn lines_after(&self, day: NaiveDate, attempt: i64, seq: i32) -> Result<Vec<LogLine>> {
        let (from, to) = bounds(day);
        let rows = sqlx::query_as::<_, (i64, i32, DateTime<Utc>, String, String)>(LINES)
            .bind(from)
            .bind(to)
            .bind(attempt)
            .bind(seq)
            .bind(BUNDLE_LINES_MAX)
            .bind(BUNDLE_BYTES_MAX)
            .fetch_all(&self.pool)
            .await?;
        let line = |(attempt_id, seq, at, stream, line): (i64, i32, DateTime<Utc>, String, String)| LogLine {
            attempt_id,
            seq,
            at,
            stream: match stream.as_str() {
                "stdout" => "stdout",
                "stderr" => "stderr",
                _ => "system",
            },
            line,
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// Files first, then their rows: a row without a file would be a promise.
    pub(super) async fn prune_log_archive(
        &self,
        policy: &Policy,
        at: &Position,
        mode: Mode,
        now: DateTime<Utc>,
    ) -> Result<Step> {
        let over = |pruned, left| Ok(Step { left, ..Step::over(Stage::LogArchive, pruned) });
        let (Some(archive), Some(cutoff)) = (&self.archive, before(now, policy.log_archive_days)) else {
            return over(Pruned::new(), None);
        };
        let mut conn = self.pool.acquire().await?;
        if mode == Mode::Count {
            let files = sqlx::query_scalar::<_, i64>("select count(*) from log_bundles where day < $1")
                .bind(cutoff.date_naive())
                .fetch_one(&mut *conn)
                .await?;
            return over(Pruned::from([("log_files", files)]), None);
        }
        let files = old_files(&mut conn, cutoff.date_naive()).await?;
        drop(conn);
        if files.is_empty() {
            return over(Pruned::new(), None);
        }
        for (_, _, object) in &files {
            if let Err(message) = archive.delete(object).await {
                return over(Pruned::new(), Some(format!("{object} of the log archive: {message}")));
            }
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "delete from log_bundles b using unnest($1::date[], $2::int4[]) as k(day, number)
             where b.day = k.day and b.number = k.number",
        )
        .bind(files.iter().map(|(day, ..)| *day).collect::<Vec<_>>())
        .bind(files.iter().map(|(_, number, _)| *number).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        let pruned = Pruned::from([("log_files", i64::try_from(files.len()).unwrap_or(i64::MAX))]);
        count(&mut tx, &pruned, now).await?;
        tx.commit().await?;
        Ok(Step::on(pruned, at.clone()))
    }
}

async fn old_files(conn: &mut PgConnection, before: NaiveDate) -> Result<Vec<(NaiveDate, i32, String)>> {
    let files = sqlx::query_as(
        "select day, number, object from log_bundles where day < $1 order by day, number limit $2",
    )
    .bind(before)
    .bind(FILES_MAX)
    .fetch_all(conn)
    .await?;
    Ok(files)
}

fn bounds(day: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
    let from = day.and_time(NaiveTime::MIN).and_utc();
    (from, from + TimeDelta::days(1))
}
