//! Opening a partition: what its files hold, and cutting what a crash left half written.
//!
//! A closed segment has a snapshot beside it (index, producers, transactions at its end), so that only the
//! last segment is read through. A snapshot that is absent, damaged or of another size is not trusted: then
//! that segment is read through as well.

use super::batch::{self, BatchHeader, HEADER_BYTES};
use super::index::Index;
use super::producers::Producers;
use super::segment::{LOG_EXTENSION, Segment, log_path, snapshot_path};
use super::transactions::Transactions;
use crate::checked_line::{self, Line};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// What follows from the batches read so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogState {
    /// Offset of the next record.
    pub next_offset: i64,
    pub producers: Producers,
    pub transactions: Transactions,
}

impl LogState {
    /// Takes account of a batch that is in the log; `marker_commits` if it is an end marker.
    pub fn note(&mut self, header: &BatchHeader, marker_commits: Option<bool>) {
        self.next_offset = header.last_offset() + 1;
        match marker_commits {
            Some(commit) => {
                self.producers.accept_marker(header);
                self.transactions.note_marker(header, commit);
            }
            None => {
                self.producers.accept(header);
                self.transactions.note_records(header);
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    log_bytes: u64,
    index: Index,
    state: LogState,
}

pub(crate) struct Recovered {
    /// At least one; the last is the one written to.
    pub segments: Vec<Segment>,
    pub state: LogState,
    pub cut_bytes: u64,
}

/// Opens the partition in `dir`; an empty folder begins at `first_offset`.
pub(crate) fn recover(dir: &Path, first_offset: i64) -> io::Result<Recovered> {
    fs::create_dir_all(dir)?;
    let bases = base_offsets(dir)?;
    let mut recovered = Recovered { segments: Vec::new(), state: LogState::default(), cut_bytes: 0 };
    for (at, &base) in bases.iter().enumerate() {
        let path = log_path(dir, base);
        let log_bytes = fs::metadata(&path)?.len();
        let closed = at + 1 < bases.len();
        let snapshot = if closed { read_snapshot(dir, base, log_bytes)? } else { None };
        let (size, index) = match snapshot {
            Some(snapshot) => {
                recovered.state = snapshot.state;
                (log_bytes, snapshot.index)
            }
            None => {
                recovered.state.next_offset = base;
                scan(&path, &mut recovered.state)?
            }
        };
        let mut segment = Segment::open(dir, base, size, index)?;
        segment.cut_torn_end()?;
        if closed {
            segment.close();
        }
        recovered.cut_bytes += log_bytes - size;
        recovered.segments.push(segment);
    }
    if recovered.segments.is_empty() {
        recovered.segments.push(Segment::open(dir, first_offset, 0, Index::default())?);
        recovered.state.next_offset = first_offset;
    }
    Ok(recovered)
}

fn base_offsets(dir: &Path) -> io::Result<Vec<i64>> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == LOG_EXTENSION) {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            bases.extend(stem.and_then(|stem| stem.parse::<i64>().ok()));
        }
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Reads batch after batch and stops at the first that is not whole and sound.
fn scan(path: &Path, state: &mut LogState) -> io::Result<(u64, Index)> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut remaining = file.get_ref().metadata()?.len();
    let (mut size, mut index, mut bytes) = (0, Index::default(), Vec::new());
    while remaining >= HEADER_BYTES as u64 {
        bytes.resize(HEADER_BYTES, 0);
        file.read_exact(&mut bytes)?;
        let Some(header) = BatchHeader::decode(&bytes) else { break };
        if header.length as u64 > remaining || header.base_offset < state.next_offset {
            break;
        }
        bytes.resize(header.length, 0);
        file.read_exact(&mut bytes[HEADER_BYTES..])?;
        let marker = if header.is_control() { batch::marker_commits(&bytes) } else { None };
        if !batch::crc_matches(&header, &bytes) || header.is_control() && marker.is_none() {
            break;
        }
        index.note(header.base_offset, size, header.max_timestamp);
        state.note(&header, marker);
        size += header.length as u64;
        remaining -= header.length as u64;
    }
    Ok((size, index))
}

fn read_snapshot(dir: &Path, base: i64, log_bytes: u64) -> io::Result<Option<Snapshot>> {
    let path = snapshot_path(dir, base);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let line = bytes.strip_suffix(b"\n").unwrap_or_default();
    match checked_line::decode::<Snapshot>(line) {
        Line::Value(snapshot) if snapshot.log_bytes == log_bytes => Ok(Some(snapshot)),
        _ => {
            tracing::warn!(path = %path.display(), "segment snapshot does not fit its segment; reading the segment");
            Ok(None)
        }
    }
}

/// Writes the snapshot of a segment that takes no more batches.
pub(crate) fn write_snapshot(dir: &Path, segment: &Segment, state: &LogState) -> io::Result<()> {
    let snapshot = Snapshot { log_bytes: segment.size, index: segment.index.clone(), state: state.clone() };
    let mut bytes = Vec::new();
    checked_line::encode(&snapshot, &mut bytes)?;
    let path = snapshot_path(dir, segment.base_offset);
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    fs::rename(draft, path)
}
