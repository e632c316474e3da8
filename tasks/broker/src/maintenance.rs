//! The broker's own clocks: rebalances and time-outs, syncing to disk, retention. They stop with the broker.

use crate::config::FsyncPolicy;
use crate::node::{Node, lock, now_ms};
use crate::transactions;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

/// The longest sleep between two looks at what is due.
const LONGEST_NAP: Duration = Duration::from_millis(250);
/// The shortest, so that a mistake in a due time does not become a busy loop.
const SHORTEST_NAP: Duration = Duration::from_millis(2);
const TIDY_EVERY: Duration = Duration::from_secs(10);

pub(crate) fn start(node: &Arc<Node>, fsync: FsyncPolicy, tasks: &TaskTracker) {
    tasks.spawn(run_timers(Arc::clone(node)));
    tasks.spawn(run_every(TIDY_EVERY, Arc::clone(node), Node::tidy));
    if let FsyncPolicy::Interval(interval) = fsync {
        tasks.spawn(run_every(interval.max(SHORTEST_NAP), Arc::clone(node), Node::flush));
    }
}

async fn run_timers(node: Arc<Node>) {
    let mut nap = LONGEST_NAP;
    loop {
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = node.sooner.notified() => {}
            () = tokio::time::sleep(nap) => {}
        }
        let node = Arc::clone(&node);
        nap =
            in_background(move || tick(&node)).await.unwrap_or(LONGEST_NAP).clamp(SHORTEST_NAP, LONGEST_NAP);
    }
}

/// Does what is due and says how long nothing will be, as far as is known.
fn tick(node: &Node) -> Duration {
    let next_due = {
        let mut groups = lock(&node.groups);
        groups.tick(Instant::now());
        groups.next_due()
    };
    transactions::sweep(node, now_ms());
    next_due.map_or(LONGEST_NAP, |due| due.saturating_duration_since(Instant::now()))
}

async fn run_every(period: Duration, node: Arc<Node>, work: fn(&Node)) {
    loop {
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
        let node = Arc::clone(&node);
        in_background(move || work(&node)).await;
    }
}

/// Runs work that may wait for the disk. `None` if it panicked.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.inspect_err(|error| tracing::error!(%error, "maintenance panicked; it goes on at the next turn"))
        .ok()
}
