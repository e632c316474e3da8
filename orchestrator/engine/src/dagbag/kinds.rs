//! Custom kinds: the files in the folder `kinds` of the dags folder. When one of them comes, changes or goes, the dags that use it are read
//! again.
//!
//! Not here: what such a file means (`model::spec::read_kind`).

use super::read::{bytes_of, is_settled};
use super::scan::{Scan, Stamp};
use model::{Problem, Registry};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::path::Path;

/// One file as it was read last.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    stamp: Stamp,
    settled: bool,
    content: u64,
}

/// The kinds that dags may use now.
#[derive(Clone)]
pub(super) struct Kinds {
    pub registry: Registry,
    known: BTreeMap<String, Known>,
}

/// What a look at the files brought.
pub(super) struct Look {
    pub kinds: Kinds,
    /// Names of kinds that came, changed or went.
    pub changed: BTreeSet<String>,
    /// By file, of those that came or changed; empty for a good one.
    pub problems: BTreeMap<String, Vec<Problem>>,
}

impl Kinds {
    /// Those of the program only.
    pub fn none(registry: &Registry) -> Self {
        Kinds { registry: registry.clone(), known: BTreeMap::new() }
    }

    pub fn is_current(&self, scan: &Scan) -> bool {
        let same =
            |file: &String, stamp: &Stamp| self.known.get(file).is_some_and(|known| known.stamp == *stamp);
        self.known.len() == scan.kinds.len()
            && self.known.values().all(|known| known.settled)
            && scan.kinds.iter().all(|(file, stamp)| same(file, stamp))
    }

    pub fn has_lost(&self, scan: &Scan) -> bool {
        self.known.keys().any(|file| !scan.kinds.contains_key(file))
    }

    pub fn look(&self, folder: &Path, scan: &Scan, program: &Registry) -> Look {
        let gone = self.known.keys().filter(|file| !scan.kinds.contains_key(*file));
        let mut changed: BTreeSet<String> = gone.map(|file| name_of(file)).collect();
        let (mut known, mut problems, mut kinds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (file, stamp) in &scan.kinds {
            let read = match bytes_of(&folder.join(file), file) {
                Ok(bytes) => {
                    let content = hash_of(&bytes);
                    (content, model::spec::read_kind(file, &bytes, program))
                }
                Err(problem) => (hash_of(problem.message.as_bytes()), Err(vec![problem])),
            };
            let (content, kind) = match read {
                (content, Ok(_)) if kinds.contains_key(&name_of(file)) => (content, Err(vec![twice(file)])),
                read => read,
            };
            if self.known.get(file).is_none_or(|before| before.content != content) {
                changed.insert(name_of(file));
                problems.insert(file.clone(), kind.as_ref().err().cloned().unwrap_or_default());
            }
            known.insert(file.clone(), Known { stamp: *stamp, settled: is_settled(stamp), content });
            if let Ok(kind) = kind {
                kinds.insert(name_of(file), kind);
            }
        }
        let kinds = Kinds { registry: program.with_custom(kinds.into_values()), known };
        Look { kinds, changed, problems }
    }
}

/// A kind has the name of its file.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}

fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn twice(file: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        line: 0,
        column: 0,
        message: format!("the kind '{}' has another file already", name_of(file)),
        hint: Some("delete one of the two files".to_owned()),
    }
}
