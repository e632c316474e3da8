//! Old log lines as files outside: gzip of one JSON object a line, for `zcat` as well as for the pages.
//!
//! Whoever reads a log does not notice: what is no longer a row is read from its file. Not here: when lines go there (`retention`).

use crate::logs::{LogLine, StoredLine};
use crate::{Error, Result, Store};
use chrono::{DateTime, NaiveDate, Utc};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::FromRow;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};

/// Of one file, before it is compressed.
pub(crate) const BUNDLE_LINES_MAX: i64 = 20_000;
pub(crate) const BUNDLE_BYTES_MAX: i64 = 8 << 20;
/// Files of one attempt that are looked through at once.
const FILES_MAX: i64 = 1_000;
/// Files kept in memory: a long log is read page by page.
const CACHED_MAX: usize = 2;

/// Files read last, unpacked.
pub(crate) type Unpacked = Arc<Mutex<VecDeque<(String, Arc<Vec<Line>>)>>>;

/// A line as it stands in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    attempt: i64,
    seq: i32,
    at: DateTime<Utc>,
    stream: String,
    line: String,
}

/// A file that is to be written.
pub(crate) struct Bundle {
    day: NaiveDate,
    number: i32,
    object: String,
    first: (i64, i32),
    last: (i64, i32),
    lines: i64,
    content: Vec<u8>,
    sha256: [u8; 32],
}

#[derive(FromRow)]
struct File {
    object: String,
    root: String,
    sha256: Vec<u8>,
}

impl Bundle {
    /// Of lines in order.
    pub(crate) fn of(day: NaiveDate, number: i32, lines: &[LogLine]) -> Result<Bundle> {
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return Err(Error::Archive { message: "a file of no lines".to_owned() });
        };
        let packed = || -> std::io::Result<Vec<u8>> {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            for line in lines {
                let line = Line {
                    attempt: line.attempt_id,
                    seq: line.seq,
                    at: line.at,
                    stream: line.stream.to_owned(),
                    line: line.line.clone(),
                };
                serde_json::to_writer(&mut encoder, &line)?;
                encoder.write_all(b"\n")?;
            }
            encoder.finish()
        };
        let content = packed()
            .map_err(|error| Error::Archive { message: format!("lines cannot be packed: {error}") })?;
        let sha256: [u8; 32] = Sha256::digest(&content).into();
        // Two writers that do not know of each other never replace each other's file.
        let mark: String = sha256[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Bundle {
            day,
            number,
            object: format!("{}/{number:05}-{mark}.jsonl.gz", day.format("%Y/%m/%d")),
            first: (first.attempt_id, first.seq),
            last: (last.attempt_id, last.seq),
            lines: i64::try_from(lines.len()).unwrap_or(i64::MAX),
            content,
            sha256,
        })
    }
}

impl Store {
    /// Old log lines are written to `archive` and read from there.
    #[must_use]
    pub fn with_archive(mut self, archive: Arc<dyn model::archive::Archive>) -> Store {
        self.archive = Some(archive);
        self
    }

    /// Written, read back, compared; then its row.
    pub(crate) async fn write_bundle(&self, bundle: Bundle, now: DateTime<Utc>) -> Result<()> {
        let Some(archive) = &self.archive else { return Err(no_archive(&bundle.object)) };
        let bytes = i64::try_from(bundle.content.len()).unwrap_or(i64::MAX);
        let failed = |message| Error::Archive { message };
        archive.put(&bundle.object, bundle.content).await.map_err(failed)?;
        let stored = archive.get(&bundle.object).await.map_err(failed)?;
        let fine = stored.is_some_and(|stored| Sha256::digest(stored)[..] == bundle.sha256[..]);
        if !fine {
            let message = format!("{} of {} is not what was written there", bundle.object, archive.root());
            return Err(Error::Archive { message });
        }
        sqlx::query(
            "insert into log_bundles (day, number, object, root, first_attempt, first_seq, last_attempt, last_seq, lines, bytes, sha256,
                written_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (day, number) do nothing",
        )
        .bind(bundle.day)
        .bind(bundle.number)
        .bind(bundle.object)
        .bind(archive.root())
        .bind(bundle.first.0)
        .bind(bundle.first.1)
        .bind(bundle.last.0)
        .bind(bundle.last.1)
        .bind(bundle.lines)
        .bind(bytes)
        .bind(&bundle.sha256[..])
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Archived lines of an attempt after `after`, the oldest first, at most `limit`.
    pub(crate) async fn archived_after(
        &self,
        attempt_id: i64,
        after: i32,
        limit: usize,
    ) -> Result<BTreeMap<i32, StoredLine>> {
        let files = sqlx::query_as::<_, File>(
            "select object, root, sha256 from log_bundles
             where last_attempt >= $1 and first_attempt <= $1 and (last_attempt > $1 or last_seq > $2)
             order by day, number limit $3",
        )
        .bind(attempt_id)
        .bind(after)
        .bind(FILES_MAX)
        .fetch_all(&self.pool)
        .await?;
        let mut lines = BTreeMap::new();
        for file in files {
            let unpacked = self.unpacked(&file).await?;
            let own = unpacked.iter().filter(|line| line.attempt == attempt_id && line.seq > after);
            lines.extend(own.map(|line| (line.seq, stored(line))));
            if lines.len() >= limit {
                break;
            }
        }
        Ok(lines)
    }

    /// Archived lines of an attempt before `before`, the newest ones, at most about `limit`.
    pub(crate) async fn archived_before(
        &self,
        attempt_id: i64,
        before: i32,
        limit: usize,
    ) -> Result<BTreeMap<i32, StoredLine>> {
        let files = sqlx::query_as::<_, File>(
            "select object, root, sha256 from log_bundles
             where last_attempt >= $1 and first_attempt <= $1 and (first_attempt < $1 or first_seq < $2)
             order by day desc, number desc limit $3",
        )
        .bind(attempt_id)
        .bind(before)
        .bind(FILES_MAX)
        .fetch_all(&self.pool)
        .await?;
        let mut lines = BTreeMap::new();
        for file in files {
            let unpacked = self.unpacked(&file).await?;
            let own = unpacked.iter().filter(|line| line.attempt == attempt_id && line.seq < before);
            lines.extend(own.map(|line| (line.seq, stored(line))));
            if lines.len() >= limit {
                break;
            }
        }
        Ok(lines)
    }

    async fn unpacked(&self, file: &File) -> Result<Arc<Vec<Line>>> {
        if let Some(lines) = self.in_memory(&file.object) {
            return Ok(lines);
        }
        let Some(archive) = &self.archive else { return Err(no_archive(&file.root)) };
        let content = archive.get(&file.object).await.map_err(|message| Error::Archive { message })?;
        let Some(content) = content else {
            let message = format!(
                "old log lines lie in {}, which is not below {} (they were written below {}): set log_archive to where they are",
                file.object,
                archive.root(),
                file.root
            );
            return Err(Error::Archive { message });
        };
        let (object, sha256) = (file.object.clone(), file.sha256.clone());
        let lines = tokio::task::spawn_blocking(move || unpack(&content, &sha256))
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|problem| Error::Archive {
                message: format!("{object} of the log archive {problem}"),
            })?;
        let lines = Arc::new(lines);
        let mut cache = self.unpacked.lock().expect("no holder of the unpacked files panics");
        cache.truncate(CACHED_MAX - 1);
        cache.push_front((file.object.clone(), lines.clone()));
        Ok(lines)
    }

    fn in_memory(&self, object: &str) -> Option<Arc<Vec<Line>>> {
        let cache = self.unpacked.lock().expect("no holder of the unpacked files panics");
        cache.iter().find(|(name, _)| name == object).map(|(_, lines)| lines.clone())
    }
}

fn unpack(content: &[u8], sha256: &[u8]) -> std::result::Result<Vec<Line>, String> {
    if Sha256::digest(content)[..] != *sha256 {
        return Err("is not what was written: it was changed since".to_owned());
    }
    let lines = BufReader::new(GzDecoder::new(content)).lines();
    lines
        .map(|line| {
            let line = line.map_err(|error| format!("cannot be unpacked: {error}"))?;
            serde_json::from_str(&line).map_err(|error| format!("has a line that is not ours: {error}"))
        })
        .collect()
}

fn stored(line: &Line) -> StoredLine {
    StoredLine { seq: line.seq, at: line.at, stream: line.stream.clone(), line: line.line.clone() }
}

fn no_archive(place: &str) -> Error {
    Error::Archive {
        message: format!(
            "old log lines lie in {place}, and this process has no log archive: set log_archive"
        ),
    }
}
