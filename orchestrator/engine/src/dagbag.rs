//! The only reader of the dags folder: what is in it is checked, registered as versions, or reported with all its problems.
//!
//! One node at a time does it, so that nodes with different folders do not undo each other's work. A broken edit keeps the last
//! good version; a file that goes away takes its dags off the schedule, never out of history.
//!
//! Not here: what a dag file means (`model::spec`).

mod kinds;
mod read;
mod scan;
mod watch;

use crate::Result;
use crate::duty::Duty;
use crate::error::Error;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kinds::Kinds;
use model::{Dag, Problem, Registry};
use notify::RecommendedWatcher;
use read::{Reading, read_all};
use scan::{Scan, Stamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tracing::{info, warn};

pub(crate) const DUTY: &str = "dagbag";
const SCAN_EVERY: Duration = Duration::from_millis(300);
/// Versions registered at the same time.
const REGISTRATIONS_MAX: usize = 8;

pub(crate) struct DagBag {
    core: Arc<Core>,
    duty: Duty,
    /// What was last seen and stored, by path within the folder; empty: nothing is known, all is read.
    known: BTreeMap<String, Known>,
    /// The dags that the store counts as present, by their file; `None` before the first look.
    held: Option<BTreeMap<String, BTreeSet<String>>>,
    kinds: Kinds,
    /// Made with the first look; inside `None` where folders cannot be watched.
    watcher: Option<Option<RecommendedWatcher>>,
}

/// One file as it was read last.
#[derive(Debug, Clone)]
struct Known {
    stamp: Stamp,
    /// Files changed a moment ago may change again without a new stamp.
    settled: bool,
    bytes_hash: u64,
    /// Of what lies below the dag's folder; only looked at where the dag was made from it, or is broken.
    content: Option<u64>,
    /// Those that it uses, there or not.
    custom_kinds: BTreeSet<String>,
    /// Another file holds its dag id; looked at again when any file changes.
    refused: bool,
    /// A kind that it uses has changed.
    stale: bool,
}

/// The dag files below a folder, for who wants to check them without an engine.
pub fn dag_files(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    Ok(scan::scan(root)?.files.into_keys().map(|name| root.join(name)).collect())
}

/// The files with tests of dags below a folder, in order.
pub fn test_files(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut tests = scan::scan(root)?.tests;
    tests.sort_unstable();
    Ok(tests.into_iter().map(|name| root.join(name)).collect())
}

/// The kinds of the program and those of the folder, with what is wrong with the latter; for who wants to check dags without an engine.
pub fn registry_of(root: &Path, program: &Registry) -> std::io::Result<(Registry, Vec<Problem>)> {
    let look = Kinds::none(program).look(root, &scan::scan(root)?, program);
    Ok((look.kinds.registry, look.problems.into_values().flatten().collect()))
}

impl DagBag {
    pub fn new(core: Arc<Core>) -> Self {
        let duty = Duty::new(DUTY, core.store.clone(), core.node.clone(), core.config.lease_ttl);
        let kinds = Kinds::none(&core.registry);
        DagBag { core, duty, known: BTreeMap::new(), held: None, kinds, watcher: None }
    }

    /// What changes between this and the first look is seen by that look.
    async fn watch(&mut self) -> Result<()> {
        if self.watcher.is_none() {
            let (folder, bell) = (self.core.config.dags_dir.clone(), self.core.bells.dagbag.clone());
            let watcher = tokio::task::spawn_blocking(move || watch::watch(&folder, bell)).await;
            self.watcher =
                Some(watcher.map_err(|_| Error::Interrupted("the start of watching the dags folder"))?);
        }
        Ok(())
    }

    async fn scan(&self) -> Result<Scan> {
        let folder = self.core.config.dags_dir.clone();
        tokio::task::spawn_blocking(move || {
            scan::scan(&folder).map_err(|source| Error::Dags { path: folder, source })
        })
        .await
        .map_err(|_| Error::Interrupted("the look at the dags folder"))?
    }

    /// Files that must be read: new, changed, or made from something that changed.
    fn changed(&self, scan: &Scan) -> Vec<String> {
        let is_changed = |file: &&String| {
            let Some(known) = self.known.get(*file) else { return true };
            !known.settled
                || known.stale
                || scan.files.get(*file) != Some(&known.stamp)
                || known.content.is_some_and(|content| content != scan.content_below(file))
        };
        scan.files.keys().filter(is_changed).cloned().collect()
    }

    /// Reads the custom kinds if any of them changed, and marks the files that use those.
    async fn look_at_kinds(&mut self, scan: &Arc<Scan>, now: DateTime<Utc>) -> Result<()> {
        if self.kinds.is_current(scan) {
            return Ok(());
        }
        let (kinds, scan, core) = (self.kinds.clone(), scan.clone(), self.core.clone());
        let look =
            tokio::task::spawn_blocking(move || kinds.look(&core.config.dags_dir, &scan, &core.registry))
                .await
                .map_err(|_| Error::Interrupted("the reading of kinds"))?;
        for (file, problems) in &look.problems {
            put_problems(&self.core, file, problems, now).await?;
        }
        for known in self.known.values_mut() {
            known.stale |= known.custom_kinds.iter().any(|kind| look.changed.contains(kind));
        }
        self.kinds = look.kinds;
        Ok(())
    }

    async fn forget_removed(&mut self, scan: &Scan, now: DateTime<Utc>) -> Result<bool> {
        let removed: Vec<String> =
            self.known.keys().filter(|file| !scan.files.contains_key(*file)).cloned().collect();
        if removed.is_empty() && self.held.is_some() && !self.kinds.has_lost(scan) {
            return Ok(false);
        }
        let present: Vec<String> = scan.files.keys().chain(scan.kinds.keys()).cloned().collect();
        let absent = self.core.store.forget_files(&present, now).await?;
        if !absent.is_empty() {
            info!(dags = ?absent, "their files are gone; they are not scheduled any more");
        }
        let mut held = BTreeMap::<String, BTreeSet<String>>::new();
        for (file, dag_id) in self.core.store.dags_by_file().await? {
            held.entry(file).or_default().insert(dag_id);
        }
        self.held = Some(held);
        for file in removed {
            self.known.remove(&file);
        }
        Ok(true)
    }

    /// Reads the files and stores what they came to. Returns how many dags are new or changed.
    async fn take_in(&mut self, files: Vec<String>, scan: &Arc<Scan>, now: DateTime<Utc>) -> Result<usize> {
        let known = |file: &String| self.known.get(file).filter(|known| !known.refused && !known.stale);
        let same: BTreeMap<String, (u64, Option<u64>)> = files
            .iter()
            .filter_map(|file| known(file).map(|known| (file.clone(), (known.bytes_hash, known.content))))
            .collect();
        let (folder, registry, scan) =
            (self.core.config.dags_dir.clone(), self.kinds.registry.clone(), scan.clone());
        let mut readings =
            tokio::task::spawn_blocking(move || read_all(&folder, &files, &scan, &registry, &same))
                .await
                .map_err(|_| Error::Interrupted("the reading of dag files"))?;
        for reading in readings.iter_mut().filter(|reading| reading.outcome.is_none()) {
            if let Some(before) = self.known.get(&reading.file) {
                reading.known.custom_kinds.clone_from(&before.custom_kinds);
            }
        }
        self.release_renamed(&readings, now).await?;
        let mut changes = 0;
        let mut readings = readings.into_iter();
        loop {
            let mut storing = JoinSet::new();
            for reading in readings.by_ref().take(REGISTRATIONS_MAX) {
                storing.spawn(store_reading(self.core.clone(), reading, now));
            }
            if storing.is_empty() {
                return Ok(changes);
            }
            for stored in storing.join_all().await {
                let Stored { file, known, dag_id, is_new } = stored?;
                changes += usize::from(is_new);
                // After a broken edit the last good version stays, and with it the dag's id.
                if let Some((held, dag_id)) = self.held.as_mut().zip(dag_id) {
                    held.insert(file.clone(), [dag_id].into());
                }
                self.known.insert(file, known);
            }
        }
    }

    /// A file whose dag has a new id lets go of the old one first, also if it was given while nobody looked.
    async fn release_renamed(&self, readings: &[Reading], now: DateTime<Utc>) -> Result<()> {
        let Some(held) = &self.held else { return Ok(()) };
        let mut released = Vec::new();
        for reading in readings {
            if let Some((before, after)) = held.get(&reading.file).zip(reading.dag()) {
                released.extend(before.iter().filter(|id| **id != after.id).cloned());
            }
        }
        if !released.is_empty() {
            info!(dags = ?released, "their files define other dags now; they are not scheduled any more");
            self.core.store.release_dags(&released, now).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Round for DagBag {
    const NAME: &'static str = "dagbag";

    async fn tick(&mut self) -> Result<Again> {
        let now = self.core.clock.now();
        // A node that is not registered yet gets no duty, and that says nothing of others.
        let knows_others = self.core.node.is_registered();
        if self.duty.hold(now).await?.is_none() {
            self.known.clear();
            self.held = None;
            self.kinds = Kinds::none(&self.core.registry);
            if knows_others {
                self.core.dags_loaded.cancel();
            }
            return Ok(Again::At(self.duty.again_at(now)));
        }
        self.watch().await?;
        let began = Instant::now();
        let scan = Arc::new(self.scan().await?);
        let removed = self.forget_removed(&scan, now).await?;
        self.look_at_kinds(&scan, now).await?;
        let changed = self.changed(&scan);
        let mut changes = 0;
        if removed || !changed.is_empty() {
            changes = self.take_in(changed, &scan, now).await?;
            let refused: Vec<String> =
                self.known.iter().filter(|(_, known)| known.refused).map(|(file, _)| file.clone()).collect();
            if !refused.is_empty() {
                changes += self.take_in(refused, &scan, now).await?;
            }
        }
        if changes > 0 {
            self.core.bells.planner.ring();
        }
        self.core.dags_loaded.cancel();
        // A big folder is looked at less often: a tenth of the time at most.
        Ok(Again::In(SCAN_EVERY.max(began.elapsed() * 9)))
    }
}

struct Stored {
    file: String,
    known: Known,
    /// The dag that the file holds now.
    dag_id: Option<String>,
    is_new: bool,
}

async fn store_reading(core: Arc<Core>, reading: Reading, now: DateTime<Utc>) -> Result<Stored> {
    let Reading { file, known, outcome } = reading;
    let Some(outcome) = outcome else { return Ok(Stored { file, known, dag_id: None, is_new: false }) };
    let problems = match outcome {
        Ok((dag, source)) => match register(&core, &file, &dag, &source, now).await? {
            Ok(is_new) => return Ok(Stored { file, known, dag_id: Some(dag.id), is_new }),
            Err(problem) => {
                let known = Known { refused: true, ..known };
                put_problems(&core, &file, &[problem], now).await?;
                return Ok(Stored { file, known, dag_id: None, is_new: false });
            }
        },
        Err(problems) => problems,
    };
    put_problems(&core, &file, &problems, now).await?;
    Ok(Stored { file, known, dag_id: None, is_new: false })
}

async fn put_problems(core: &Core, file: &str, problems: &[Problem], now: DateTime<Utc>) -> Result<()> {
    for problem in problems {
        warn!("{problem}");
    }
    Ok(core.store.put_problems(file, problems, now).await?)
}

/// The inner error is a problem of the file: its dag id is taken.
async fn register(
    core: &Core,
    file: &str,
    dag: &Dag,
    source: &str,
    now: DateTime<Utc>,
) -> Result<std::result::Result<bool, Problem>> {
    match core.store.register_dag(file, dag, source, now).await {
        Ok(registered) => {
            if registered.is_new {
                info!(dag = dag.id, version = registered.version, file, "a new version");
            }
            core.store.put_problems(file, &[], now).await?;
            Ok(Ok(registered.is_new))
        }
        Err(store::Error::Refused { message }) => Ok(Err(Problem {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
            hint: Some("give this dag another id, or remove one of the two files".to_owned()),
        })),
        Err(error) => Err(error.into()),
    }
}
