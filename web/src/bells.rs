//! One LISTEN connection for all open log pages of this node, made when the first is opened.

use std::sync::Arc;
use store::Store;
use store::notify::Ring;
use tokio::sync::{OnceCell, broadcast};
use tokio_util::task::AbortOnDropHandle;

/// A page that falls this far behind reads from the store anyway.
const BACKLOG: usize = 256;

pub struct Bells {
    store: Store,
    rings: broadcast::Sender<Ring>,
    listening: OnceCell<Arc<AbortOnDropHandle<()>>>,
}

impl Bells {
    pub fn new(store: Store) -> Bells {
        Bells { store, rings: broadcast::Sender::new(BACKLOG), listening: OnceCell::new() }
    }

    /// Rings from now on. Without a connection there are none, and the caller's own timer does the work.
    pub async fn subscribe(&self) -> broadcast::Receiver<Ring> {
        let receiver = self.rings.subscribe();
        let listening = self.listening.get_or_try_init(|| async {
            let mut listener = self.store.listen().await?;
            let rings = self.rings.clone();
            let task = tokio::spawn(async move {
                loop {
                    let ring = listener.next().await;
                    // No receiver means no open log page: nothing to do.
                    let _ = rings.send(ring);
                }
            });
            Ok::<_, store::Error>(Arc::new(AbortOnDropHandle::new(task)))
        });
        if let Err(error) = listening.await {
            tracing::warn!(%error, "log pages poll: no LISTEN connection");
        }
        receiver
    }
}
