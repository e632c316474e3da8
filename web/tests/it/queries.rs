//! How many statements a request sends to Postgres: sqlx tells of each through `tracing`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What comes of `request`, and how many statements it took. The test runs on one thread, as `tokio::test` does.
pub async fn counted<T>(request: impl Future<Output = T>) -> (T, usize) {
    let counter = Counter::default();
    let guard = tracing::subscriber::set_default(counter.clone());
    let answer = request.await;
    drop(guard);
    (answer, counter.0.load(Relaxed))
}
