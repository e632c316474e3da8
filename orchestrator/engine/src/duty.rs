//! A duty that needs one owner among all nodes: held for a term, renewed well before it ends, given up on any doubt.

use crate::Result;
use crate::config::delta;
use crate::node::Node;
use crate::rows::Rows;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use tracing::info;
use uuid::Uuid;

pub(crate) struct Duty {
    name: String,
    store: Arc<dyn Rows>,
    node: Arc<Node>,
    ttl: Duration,
    held: Option<Held>,
}

struct Held {
    by: Uuid,
    term: i64,
    /// Until then the store need not be asked; a third of the time for which it granted the duty.
    trusted_until: DateTime<Utc>,
}

impl Duty {
    pub fn new(name: impl Into<String>, store: Arc<dyn Rows>, node: Arc<Node>, ttl: Duration) -> Self {
        Duty { name: name.into(), store, node, ttl, held: None }
    }

    /// Takes or keeps the duty. The term if this node has it.
    pub async fn hold(&mut self, now: DateTime<Utc>) -> Result<Option<i64>> {
        let by = self.node.id();
        if !self.node.is_registered() {
            self.held = None;
            return Ok(None);
        }
        if let Some(held) = self.held.as_ref().filter(|held| held.by == by && now < held.trusted_until) {
            return Ok(Some(held.term));
        }
        let before = self.held.take().map(|held| held.term);
        let term = self.store.hold_duty(&self.name, by, now, self.ttl).await?;
        if term != before {
            match term {
                Some(term) => info!(duty = self.name, term, "this node has the duty now"),
                None => info!(duty = self.name, "another node has the duty now"),
            }
        }
        self.held = term.map(|term| Held { by, term, trusted_until: now + delta(self.ttl / 3) });
        Ok(term)
    }

    /// When to ask again, whether it is held or not.
    pub fn again_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.held.as_ref().map_or(now + delta(self.ttl / 6), |held| held.trusted_until)
    }

    pub async fn release(&mut self) -> Result<()> {
        if let Some(held) = self.held.take() {
            self.store.release_duty(&self.name, held.by).await?;
        }
        Ok(())
    }
}
