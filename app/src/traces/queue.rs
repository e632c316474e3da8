//! From the engine to the sender: a bounded queue, and the task that empties it.

use super::encode;
use super::send::Sender;
use model::trace::{self, Span, Spans, Tracer};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use store::Store;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Spans and ended runs that wait to be sent.
const WAITING_MAX: usize = 8_192;
/// Of one request.
const BATCH_MAX: usize = 512;
/// What comes within this time goes together.
const LINGER: Duration = Duration::from_secs(1);
/// The way out takes no longer than this.
const FINISH_MAX: Duration = Duration::from_secs(5);

enum Item {
    Span(Span),
    /// Its span follows from its row.
    Run(i64),
}

/// What the engine tells.
pub struct Traces {
    ids: trace::Traces,
    queue: mpsc::Sender<Item>,
    dropped: AtomicU64,
    exported: AtomicU64,
}

impl Traces {
    fn put(&self, item: Item) {
        if self.queue.try_send(item).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// For `/metrics`.
    pub fn figures(&self) -> [(&'static str, Value); 2] {
        [
            ("spans_exported", json!(self.exported.load(Relaxed))),
            ("spans_dropped", json!(self.dropped.load(Relaxed))),
        ]
    }
}

impl Spans for Traces {
    fn emit(&self, span: Span) {
        if span.place.sampled {
            self.put(Item::Span(span));
        }
    }

    fn run_ended(&self, run: i64) {
        if self.ids.run(run).sampled {
            self.put(Item::Run(run));
        }
    }
}

/// The running way out.
#[derive(Clone)]
pub struct Flow {
    pub tracer: Tracer,
    pub traces: Arc<Traces>,
    no_more: CancellationToken,
    work: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Flow {
    /// Sends what is left, within limits. Nothing may be told afterwards.
    pub async fn finish(&self) {
        self.no_more.cancel();
        let Some(work) = self.work.lock().await.take() else { return };
        let stop = work.abort_handle();
        if tokio::time::timeout(FINISH_MAX, work).await.is_err() {
            stop.abort();
            tracing::warn!("the last traces could not be sent within {FINISH_MAX:?}");
        }
    }
}

pub fn start(ids: trace::Traces, store: Store, sender: Sender, resource: Resource) -> Flow {
    let (queue, waiting) = mpsc::channel(WAITING_MAX);
    let (dropped, exported) = (AtomicU64::new(0), AtomicU64::new(0));
    let traces = Arc::new(Traces { ids: ids.clone(), queue, dropped, exported });
    let no_more = CancellationToken::new();
    let emptying =
        Emptying { ids: ids.clone(), store, sender, resource, traces: traces.clone(), failing: false };
    let work = tokio::spawn(emptying.run(waiting, no_more.clone()));
    let tracer = Tracer { traces: ids, spans: traces.clone() };
    Flow { tracer, traces, no_more, work: Arc::new(Mutex::new(Some(work))) }
}

struct Emptying {
    ids: trace::Traces,
    store: Store,
    sender: Sender,
    resource: Resource,
    traces: Arc<Traces>,
    /// Said once, not with each request.
    failing: bool,
}

impl Emptying {
    async fn run(mut self, mut waiting: mpsc::Receiver<Item>, no_more: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased;
                count = waiting.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
                // Nothing is waiting, and nothing more will come.
                () = no_more.cancelled() => return,
            }
            let fills = async {
                while batch.len() < BATCH_MAX {
                    let room = BATCH_MAX - batch.len();
                    if waiting.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = fills => {}
                () = tokio::time::sleep(LINGER) => {}
                () = no_more.cancelled() => {}
            }
            self.send(std::mem::take(&mut batch)).await;
        }
    }

    async fn send(&mut self, items: Vec<Item>) {
        let mut spans = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Span(span) => spans.push(span),
                Item::Run(run) => match self.store.run_by_number(run).await {
                    Ok(Some(run)) => spans.push(encode::run(&self.ids, &run)),
                    Ok(None) => {}
                    Err(error) => self.lost(1, &format!("the row of an ended run: {error}")),
                },
            }
        }
        let count = spans.len() as u64;
        if count == 0 {
            return;
        }
        match self.sender.send(encode::request(&self.resource, spans)).await {
            Ok(()) => {
                self.traces.exported.fetch_add(count, Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("traces are taken again");
                }
            }
            Err(why) => self.lost(count, &why),
        }
    }

    fn lost(&mut self, count: u64, why: &str) {
        self.traces.dropped.fetch_add(count, Relaxed);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(why, "traces are not taken; they are dropped and counted until they are");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_queue_has_no_room_for_is_counted_and_nobody_waits() {
        let (queue, mut waiting) = mpsc::channel(2);
        let ids = trace::Traces::of("a");
        let traces = Traces { ids, queue, dropped: AtomicU64::new(0), exported: AtomicU64::new(0) };
        for run in 0..5 {
            traces.run_ended(run);
        }
        assert_eq!(traces.figures()[1], ("spans_dropped", json!(3)));
        assert!(matches!(waiting.recv().await, Some(Item::Run(0))), "the oldest are kept");
    }

    #[test]
    fn what_is_not_sampled_is_neither_sent_nor_counted_as_dropped() {
        let (queue, mut waiting) = mpsc::channel(1);
        let ids = trace::Traces::of("a").sampled(trace::Share::NONE);
        let traces = Traces { ids, queue, dropped: AtomicU64::new(0), exported: AtomicU64::new(0) };
        (0..5).for_each(|run| traces.run_ended(run));
        assert!(waiting.try_recv().is_err());
        assert_eq!(traces.figures()[1], ("spans_dropped", json!(0)));
    }
}
