//! To which node a piece of work belongs. In production there is one node in a process, and this adds nothing; the simulator has
//! several, and stops, freezes and kills them one by one at any await point.

/// Work that is about to be spawned by a node.
#[cfg(not(test))]
pub(crate) fn within<F: Future>(work: F) -> F {
    work
}

#[cfg(test)]
pub(crate) use crate::sim::realm::within;

/// A long computation, on a thread of its own where there are several. `None`: it did not come back.
pub(crate) async fn aside<T: Send + 'static>(compute: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Some(compute()),
        _ => tokio::task::spawn_blocking(compute).await.ok(),
    }
}
