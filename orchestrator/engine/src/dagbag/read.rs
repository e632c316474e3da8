//! Reads dag files, several at once, and says for each whether there is something new in it.

use super::Known;
use super::scan::{Scan, Stamp};
use model::spec::BYTES_MAX;
use model::{Dag, Problem, Registry};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Within this time after a write, the clock of the file system may not tell a second write from the first.
const SETTLING: Duration = Duration::from_secs(2);

pub(super) struct Reading {
    pub file: String,
    pub known: Known,
    /// `None`: the same as before.
    pub outcome: Option<Result<(Dag, String), Vec<Problem>>>,
}

impl Reading {
    pub fn dag(&self) -> Option<&Dag> {
        self.outcome.as_ref()?.as_ref().ok().map(|(dag, _)| dag)
    }
}

/// What was known of a file: the hash of its bytes, and the digest of what lies below if that matters.
type Before = BTreeMap<String, (u64, Option<u64>)>;

pub(super) fn read_all(
    folder: &Path,
    files: &[String],
    scan: &Scan,
    registry: &Registry,
    before: &Before,
) -> Vec<Reading> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(files.len().max(1));
    let part = files.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = files
            .chunks(part)
            .map(|part| {
                scope.spawn(move || {
                    part.iter().map(|file| read(folder, file, scan, registry, before)).collect::<Vec<_>>()
                })
            })
            .collect();
        // A panic of a kind's check is that of the whole reading: the loop reports it and begins anew.
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("kinds check `with` without panicking"))
            .collect()
    })
}

fn read(folder: &Path, file: &str, scan: &Scan, registry: &Registry, before: &Before) -> Reading {
    let path = folder.join(file);
    let stamp = scan.files[file];
    let settled = is_settled(&stamp);
    let known = |bytes_hash, content| Known {
        stamp,
        settled,
        bytes_hash,
        content,
        custom_kinds: BTreeSet::new(),
        refused: false,
        stale: false,
    };
    let bytes = match scan.problems.get(file) {
        Some(problem) => Err(problem.clone()),
        None => bytes_of(&path, file),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(problem) => {
            let mut hasher = DefaultHasher::new();
            problem.message.hash(&mut hasher);
            let hash = hasher.finish();
            let same = before.get(file).is_some_and(|(before, _)| *before == hash);
            let outcome = (!same).then(|| Err(vec![problem]));
            return Reading { file: file.to_owned(), known: known(hash, None), outcome };
        }
    };
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let hash = hasher.finish();
    let content = scan.content_below(file);
    if let Some((_, content_before)) =
        before.get(file).filter(|(bytes, below)| *bytes == hash && below.is_none_or(|below| below == content))
    {
        return Reading { file: file.to_owned(), known: known(hash, *content_before), outcome: None };
    }
    let model::spec::Reading { dag: outcome, custom_kinds } =
        model::spec::read_with_kinds(file, &bytes, path.parent().unwrap_or(folder), registry);
    // An expanded task leaves a group behind; a broken file may be broken by what lies below.
    let depends = outcome.as_ref().map_or(true, |dag| dag.tasks.iter().any(|task| task.group.is_some()));
    let outcome = outcome.map(|dag| (dag, String::from_utf8_lossy(&bytes).into_owned()));
    let known = Known { custom_kinds, ..known(hash, depends.then_some(content)) };
    Reading { file: file.to_owned(), known, outcome: Some(outcome) }
}

pub(super) fn is_settled(stamp: &Stamp) -> bool {
    SystemTime::now().duration_since(stamp.modified).is_ok_and(|age| age > SETTLING)
}

pub(super) fn bytes_of(path: &Path, file: &str) -> Result<Vec<u8>, Problem> {
    let problem = |message: String, hint: &str| Problem {
        file: file.to_owned(),
        line: 0,
        column: 0,
        message,
        hint: Some(hint.to_owned()),
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|opened| opened.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(format!("the file cannot be read: {error}"), "check its permissions"))?;
    if bytes.len() > BYTES_MAX {
        let message = format!("the file is larger than {BYTES_MAX} bytes");
        return Err(problem(message, "split the dag, or keep data out of it"));
    }
    Ok(bytes)
}
