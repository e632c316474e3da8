//! One file of consecutive record batches, with its sparse index. Not here: what the batches mean.

use super::batch::{BatchHeader, HEADER_BYTES};
use super::index::Index;
use bytes::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is read at once when batches are looked for.
const SEARCH_BYTES: usize = 64 * 1024;

pub(crate) struct Segment {
    pub base_offset: i64,
    pub size: u64,
    pub index: Index,
    path: PathBuf,
    /// Held open while the segment is written to; a closed one is opened by each read, which spares files.
    file: Option<Arc<File>>,
    unsynced: bool,
    /// A failed write left bytes behind the end that could not be cut off yet.
    torn: bool,
}

impl Segment {
    /// Opens or creates the file. Its content is not looked at: size and index are those given.
    pub fn open(dir: &Path, base_offset: i64, size: u64, index: Index) -> io::Result<Self> {
        let path = dir.join(file_name(base_offset));
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        let torn = file.metadata()?.len() > size;
        Ok(Self { base_offset, size, index, path, file: Some(Arc::new(file)), unsynced: torn, torn })
    }

    /// Writes one placed batch behind the last. On failure nothing of it stays.
    pub fn append(&mut self, batch: &[u8], header: &BatchHeader, sync: bool) -> io::Result<()> {
        self.cut_torn_end()?;
        let file = self.file()?;
        let written = file.write_all_at(batch, self.size);
        if let Err(error) = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) }) {
            self.torn = true;
            if let Err(cut) = self.cut_torn_end() {
                tracing::error!(path = %self.path.display(), %cut, "cannot cut a failed write; retried at the next");
            }
            return Err(error);
        }
        self.unsynced = !sync;
        self.index.note(header.base_offset, self.size, header.max_timestamp);
        self.size += batch.len() as u64;
        Ok(())
    }

    /// Cuts off what lies behind the last whole batch.
    pub fn cut_torn_end(&mut self) -> io::Result<()> {
        if self.torn {
            self.file()?.set_len(self.size)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Whole batches from the one that holds `offset` on: those that begin before `until` and fit in
    /// `max_bytes`, but at least one. Empty if there is none.
    pub fn read(&self, offset: i64, until: i64, max_bytes: usize) -> io::Result<Bytes> {
        let mut found: Option<(u64, u64)> = None;
        self.walk(self.index.position_of(offset), |header, position| {
            let end = position + header.length as u64;
            if header.base_offset >= until {
                return false;
            }
            if header.last_offset() < offset {
                return true;
            }
            let start = found.map_or(position, |(start, _)| start);
            if found.is_some() && end - start > max_bytes as u64 {
                return false;
            }
            found = Some((start, end));
            end - start < max_bytes as u64
        })?;
        match found {
            Some((start, end)) => self.read_exact(start, (end - start) as usize),
            None => Ok(Bytes::new()),
        }
    }

    /// The first batch from `position` on that `wanted` accepts.
    pub fn find(&self, position: u64, wanted: impl Fn(&BatchHeader) -> bool) -> io::Result<Option<Bytes>> {
        let mut found = None;
        self.walk(position, |header, at| {
            if wanted(header) {
                found = Some((at, header.length));
            }
            found.is_none()
        })?;
        found.map(|(at, length)| self.read_exact(at, length)).transpose()
    }

    /// Shows the headers from `position` on, until `visit` says false.
    fn walk(&self, mut position: u64, mut visit: impl FnMut(&BatchHeader, u64) -> bool) -> io::Result<()> {
        while position < self.size {
            let length = SEARCH_BYTES.min((self.size - position) as usize);
            let chunk = self.read_exact(position, length)?;
            let mut at = 0;
            while at + HEADER_BYTES <= chunk.len() {
                let damaged =
                    || io::Error::new(io::ErrorKind::InvalidData, "no record batch where one was written");
                let header = BatchHeader::decode(&chunk[at..]).ok_or_else(damaged)?;
                if !visit(&header, position + at as u64) {
                    return Ok(());
                }
                at += header.length;
            }
            if at == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a record batch ends before its header does",
                ));
            }
            position += at as u64;
        }
        Ok(())
    }

    fn read_exact(&self, position: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.file()?.read_exact_at(&mut bytes, position)?;
        Ok(bytes.into())
    }

    fn file(&self) -> io::Result<Arc<File>> {
        match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            None => File::open(&self.path).map(Arc::new),
        }
    }

    /// Lets go of the file. What was written must have been synced.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// The file, if it was written since the last call, so that the caller can sync it without our lock.
    pub fn take_unsynced(&mut self) -> Option<Arc<File>> {
        if std::mem::take(&mut self.unsynced) { self.file.clone() } else { None }
    }

    pub fn delete(&self) -> io::Result<()> {
        for path in [self.path.with_extension(SNAPSHOT_EXTENSION), self.path.clone()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

pub(crate) const LOG_EXTENSION: &str = "log";
pub(crate) const SNAPSHOT_EXTENSION: &str = "snapshot";

/// Twenty digits, so that names sort as offsets do.
fn file_name(base_offset: i64) -> String {
    format!("{base_offset:020}.{LOG_EXTENSION}")
}

pub(crate) fn snapshot_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(file_name(base_offset)).with_extension(SNAPSHOT_EXTENSION)
}

pub(crate) fn log_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(file_name(base_offset))
}
