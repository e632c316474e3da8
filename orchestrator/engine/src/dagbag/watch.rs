//! Changes of the dags folder as they happen, where the system tells of them. A hint to look, never what changed: the look that comes by
//! itself stays the net.

use crate::bell::Bell;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;

/// Rings at each change until it is dropped. `None`, with the reason in the log, where folders cannot be watched.
pub(super) fn watch(folder: &Path, bell: Bell) -> Option<RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        // An error (too many changes at once) may stand for any change.
        if event.is_ok_and(|event| !is_change(&event.kind)) {
            return;
        }
        bell.ring();
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| tracing::info!(%error, "the dags folder cannot be watched: it is looked at every moment instead"))
        .ok()
}

/// Reading a file is told as well: our own looks must not ring.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => *kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_change_rings_and_a_look_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/er.yaml");
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(&file, "dag: a").unwrap();
        let bell = Bell::default();
        let _watcher = watch(folder.path(), bell.clone()).expect("this system can watch");
        std::fs::read(&file).unwrap();
        std::fs::write(&file, "dag: b").unwrap();
        tokio::time::timeout(Duration::from_secs(10), bell.rung()).await.expect("the change rings");
        // Events come in order: what the write still rings is over once the next file has rung.
        std::fs::write(folder.path().join("deep/new.yaml"), "dag: c").unwrap();
        tokio::time::timeout(Duration::from_secs(10), bell.rung()).await.expect("so does a new file");
    }

    #[test]
    fn only_what_changes_a_file_is_a_change() {
        assert!(!is_change(&EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_change(&EventKind::Access(AccessKind::Read)));
        assert!(is_change(&EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_change(&EventKind::Remove(notify::event::RemoveKind::File)));
    }
}
