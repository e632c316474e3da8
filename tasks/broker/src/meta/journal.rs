//! The journal file: checked lines, each a list of entries that hold together.

use super::state::Entry;
use crate::Error;
use crate::checked_line::{self, Line};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const JOURNAL_FILE: &str = "journal";

pub(crate) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    size: u64,
    size_when_written_anew: u64,
    sync_every_append: bool,
    unsynced: bool,
    torn: bool,
}

impl Journal {
    /// Replays what is whole and cuts the rest; a cut end is kept beside, as `journal.cut`.
    pub fn open(
        dir: &Path,
        sync_every_append: bool,
        mut apply: impl FnMut(Entry),
    ) -> Result<(Self, u64), Error> {
        let path = dir.join(JOURNAL_FILE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(Error::io(&path, "reading"))?,
        };
        let size = replay(&path, &bytes, &mut apply)?;
        let cut = &bytes[size..];
        if !cut.is_empty() {
            let kept = path.with_extension("cut");
            tracing::warn!(path = %path.display(), bytes = cut.len(), kept = %kept.display(), "cut a torn end");
            fs::write(&kept, cut).map_err(Error::io(&kept, "writing"))?;
        }
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(Error::io(&path, "opening"))?;
        let mut journal = Self {
            path: path.clone(),
            file: Arc::new(file),
            size: size as u64,
            size_when_written_anew: 0,
            sync_every_append,
            unsynced: true,
            torn: !cut.is_empty(),
        };
        journal.cut_torn_end().map_err(Error::io(&path, "cutting a torn end"))?;
        Ok((journal, cut.len() as u64))
    }

    /// Writes one line. On failure nothing of it stays.
    pub fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        self.cut_torn_end()?;
        let mut line = Vec::new();
        checked_line::encode(&entries, &mut line)?;
        let sync = || if self.sync_every_append { self.file.sync_data() } else { Ok(()) };
        if let Err(error) = self.file.write_all_at(&line, self.size).and_then(|()| sync()) {
            self.torn = true;
            if let Err(cut) = self.cut_torn_end() {
                tracing::error!(path = %self.path.display(), %cut, "cannot cut a failed write; retried at the next");
            }
            return Err(error);
        }
        self.unsynced = !self.sync_every_append;
        self.size += line.len() as u64;
        Ok(())
    }

    fn cut_torn_end(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.size)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Replaces the file, in one step, by one that holds only these entries.
    pub fn rewrite(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for entry in entries {
            checked_line::encode(&[entry], &mut bytes)?;
        }
        let draft = self.path.with_extension("draft");
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        self.file = Arc::new(file);
        self.size = bytes.len() as u64;
        self.size_when_written_anew = self.size;
        (self.torn, self.unsynced) = (false, false);
        match self.path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.size
    }

    pub fn bytes_when_written_anew(&self) -> u64 {
        self.size_when_written_anew
    }

    pub fn take_unsynced(&mut self) -> Option<Arc<File>> {
        if std::mem::take(&mut self.unsynced) { Some(Arc::clone(&self.file)) } else { None }
    }
}

/// Applies line after line and returns the length of what is whole.
fn replay(path: &Path, bytes: &[u8], apply: &mut impl FnMut(Entry)) -> Result<usize, Error> {
    let mut whole = 0;
    for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(content) = line.strip_suffix(b"\n") else { break };
        match checked_line::decode::<Vec<Entry>>(content) {
            Line::Value(entries) => entries.into_iter().for_each(&mut *apply),
            Line::Damaged => break,
            Line::Unknown(reason) => {
                return Err(Error::Journal { path: path.to_owned(), line: at + 1, reason });
            }
        }
        whole += line.len();
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(at: usize) -> Vec<Entry> {
        let name = format!("topic-{at}");
        vec![
            Entry::Topic { name: name.clone(), partitions: 3 },
            Entry::LogStart { topic: name, partition: 0, offset: 1 },
        ]
    }

    fn replayed(dir: &Path) -> (Vec<Entry>, Journal, u64) {
        let mut entries = Vec::new();
        let (journal, cut) = Journal::open(dir, false, |entry| entries.push(entry)).unwrap();
        (entries, journal, cut)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn journal_cut_at_any_byte_keeps_whole_changes(cut in 0u64..2_000) {
            let dir = tempfile::tempdir().unwrap();
            let (_, mut journal, _) = replayed(dir.path());
            let mut ends = vec![0];
            for at in 0..8 {
                journal.append(&topic(at)).unwrap();
                ends.push(journal.bytes());
            }
            let cut = cut.min(journal.bytes());
            journal.file.set_len(cut).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let (entries, mut journal, cut_bytes) = replayed(dir.path());
            prop_assert_eq!(cut_bytes, cut - ends[whole]);
            prop_assert_eq!(&entries, &(0..whole).flat_map(topic).collect::<Vec<_>>());
            journal.append(&topic(99)).unwrap();
            let (entries, _, cut_bytes) = replayed(dir.path());
            prop_assert_eq!((entries.len(), cut_bytes), (whole * 2 + 2, 0));
        }
    }

    #[test]
    fn rewritten_journal_holds_what_was_asked_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut journal, _) = replayed(dir.path());
        for at in 0..100 {
            journal.append(&topic(at)).unwrap();
        }
        journal.rewrite(&topic(7)).unwrap();
        journal.append(&topic(8)).unwrap();
        assert_eq!(replayed(dir.path()).0, [topic(7), topic(8)].concat());
    }

    #[test]
    fn entry_of_a_newer_broker_is_an_error_that_names_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut journal, _) = replayed(dir.path());
        journal.append(&topic(1)).unwrap();
        let mut bytes = fs::read(dir.path().join(JOURNAL_FILE)).unwrap();
        checked_line::encode(&["future"], &mut bytes).unwrap();
        fs::write(dir.path().join(JOURNAL_FILE), bytes).unwrap();
        let error = Journal::open(dir.path(), false, |_| {}).err().unwrap();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
