//! How many statements a request sends to Postgres: sqlx tells of each through `tracing`. One subscriber serves all tests and counts by thread:
//! each test runs on a thread of its own, as `tokio::test` does.

use std::cell::Cell;
use std::sync::Once;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    static QUERIES: Cell<usize> = const { Cell::new(0) };
}

struct Counter;

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
        QUERIES.set(QUERIES.get() + 1);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What comes of `request`, and how many statements it took.
pub async fn counted<T>(request: impl Future<Output = T>) -> (T, usize) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        tracing::subscriber::set_global_default(Counter).expect("no other subscriber in these tests");
    });
    let before = QUERIES.get();
    let answer = request.await;
    (answer, QUERIES.get() - before)
}
