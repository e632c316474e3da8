//! What a node says of its own machine on the health page: its disk, its clock, and what its loops fail with.

use crate::node::EngineStats;
use chrono::TimeDelta;
use engine::{StatsSnapshot, StoreClock};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use web::health::{NodeParts, Part};

/// With less, the lake, the warehouse and the embedded servers may be unable to write at any moment.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// A machine whose clock differs more is wrong; no round trip takes so long.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(2);

pub fn parts(data: PathBuf, clock: Arc<StoreClock>, stats: EngineStats) -> NodeParts {
    Arc::new(move || {
        let engine = stats.get().map(|stats| engine(&stats.snapshot()));
        [Some(disk(&data)), Some(skew(clock.skew())), engine].into_iter().flatten().collect()
    })
}

fn part(name: &'static str, healthy: bool, words: String) -> Part {
    Part { name, healthy, words, last_seen: None }
}

/// Free bytes where the data folder is, or will be.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let stats = nix::sys::statvfs::statvfs(there).ok()?;
    Some(stats.blocks_available() * stats.fragment_size())
}

fn disk(folder: &Path) -> Part {
    let shown = folder.display();
    match free_bytes(folder) {
        Some(free) if free >= FREE_BYTES_MIN => {
            part("disk", true, format!("{} MiB free in {shown}", free >> 20))
        }
        Some(free) => {
            let words = format!(
                "only {} MiB free in {shown}: what is written there fails and is tried again; make room",
                free >> 20
            );
            part("disk", false, words)
        }
        None => part("disk", false, format!("{shown} cannot be looked at")),
    }
}

/// The time of the database counts, so a wrong clock stops nothing; but logs and people go by it.
fn skew(skew: TimeDelta) -> Part {
    if skew.abs() <= SKEW_MAX {
        return part("clock", true, "in step with the database's".to_string());
    }
    let side = if skew > TimeDelta::zero() { "behind" } else { "ahead of" };
    let words = format!(
        "this machine's clock is {} s {side} the database's, which is used: set it right",
        skew.abs().num_seconds()
    );
    part("clock", false, words)
}

fn engine(stats: &StatsSnapshot) -> Part {
    let failing = stats.loops.iter().filter_map(|(name, figures)| Some((name, figures.error.as_ref()?)));
    let words: Vec<String> = failing.map(|(name, error)| format!("{name}: {error}")).collect();
    match words.is_empty() {
        true => part("engine", true, "its loops turn".to_string()),
        false => part("engine", false, format!("rounds fail and are repeated: {}", words.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::LoopFigures;

    #[test]
    fn a_wrong_clock_says_by_how_much_and_on_which_side() {
        assert!(skew(TimeDelta::milliseconds(-300)).healthy);
        let behind = skew(TimeDelta::seconds(300));
        assert!(!behind.healthy && behind.words.contains("300 s behind"), "{}", behind.words);
        assert!(skew(TimeDelta::seconds(-61)).words.contains("61 s ahead of"));
    }

    #[test]
    fn a_loop_that_fails_says_why_until_it_turns_again() {
        let failing =
            LoopFigures { error: Some("no space left on device".to_string()), ..Default::default() };
        let loops = [("lease", failing), ("planner", LoopFigures::default())].into();
        let said = engine(&StatsSnapshot { loops, ..Default::default() });
        assert!(!said.healthy && said.words.contains("lease: no space left on device"), "{}", said.words);
        assert!(!said.words.contains("planner"));
        assert!(engine(&StatsSnapshot::default()).healthy);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_lies_on_the_disk_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(free_bytes(&folder.path().join("a/b")).is_some(), free_bytes(folder.path()).is_some());
    }
}
