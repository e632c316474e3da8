//! Transactions across partitions: deciding the outcome once, then making it seen everywhere.
//!
//! The outcome, with the offsets that belong to it, is one line in the journal before any marker is written.
//! From then on it holds: what a crash or a full disk interrupts is completed at the next chance. All functions
//! run under the lock of `meta`, as do transactional appends, so that no record slips in behind a marker.

use crate::meta::transaction::{End, PendingOffset, Phase, Transaction};
use crate::meta::{Entry, Meta, TopicPartition};
use crate::node::{Node, lock, now_ms};
use kafka_protocol::error::ResponseError;
use std::collections::HashSet;
use std::io;

/// What a start had to do.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub completed: usize,
    pub aborted: usize,
}

/// A producer's request for its id and epoch.
pub(crate) struct InitProducer {
    pub transactional_id: Option<String>,
    pub timeout_ms: i32,
    /// What the producer knows of itself, if it has been here before.
    pub known: Option<(i64, i16)>,
}

/// Errors of our storage are told as "try again": the state on disk is the old one.
fn unavailable(error: &io::Error) -> ResponseError {
    tracing::error!(%error, "a transaction cannot go on until the disk can be written");
    ResponseError::CoordinatorNotAvailable
}

pub(crate) fn init_producer(node: &Node, request: InitProducer) -> Result<(i64, i16), ResponseError> {
    let mut meta = lock(&node.meta);
    let now = now_ms();
    let fresh_id = meta.state().next_producer_id;
    let taken = Entry::NextProducerId { id: fresh_id + 1 };
    let Some(id) = request.transactional_id else {
        meta.commit(vec![taken]).map_err(|error| unavailable(&error))?;
        return Ok((fresh_id, 0));
    };
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    if request.timeout_ms <= 0 {
        return Err(ResponseError::InvalidTransactionTimeout);
    }
    let timeout_ms = i64::from(request.timeout_ms);
    let known = meta.state().transactions.get(&id).cloned();
    let transaction = match known {
        None => Transaction::begin_life(fresh_id, 0, timeout_ms, now),
        Some(known) => {
            // Refuse a fenced producer before its successor's transaction is touched.
            let renewed = known.renew(request.known, fresh_id, timeout_ms, now)?;
            if known.is_active() {
                let aborted = abort(node, &mut meta, &id, known).map_err(|error| unavailable(&error))?;
                aborted.renew(None, fresh_id, timeout_ms, now)?
            } else {
                renewed
            }
        }
    };
    let identity = (transaction.producer_id, transaction.epoch);
    let entries = vec![taken, Entry::Transaction { id, transaction }];
    meta.commit(entries).map_err(|error| unavailable(&error))?;
    Ok(identity)
}

/// Takes partitions and offsets into the transaction of this producer.
pub(crate) fn add(
    node: &Node,
    id: &str,
    producer: (i64, i16),
    partitions: Vec<TopicPartition>,
    offsets: Vec<PendingOffset>,
) -> Result<(), ResponseError> {
    let mut meta = lock(&node.meta);
    let next = checked(&meta, id, producer)?.add(partitions, offsets, now_ms())?;
    let entry = Entry::Transaction { id: id.to_owned(), transaction: next };
    meta.commit(vec![entry]).map_err(|error| unavailable(&error))
}

pub(crate) fn end(node: &Node, id: &str, producer: (i64, i16), commit: bool) -> Result<(), ResponseError> {
    let mut meta = lock(&node.meta);
    let transaction = checked(&meta, id, producer)?.clone();
    let outcome = match transaction.end(commit, now_ms())? {
        End::Done => Ok(()),
        End::Resume => finish(node, &mut meta, id).map(|_| ()),
        End::Prepare(prepared) => {
            let offsets = if commit { transaction.offsets } else { Vec::new() };
            decide(node, &mut meta, id, prepared, offsets).map(|_| ())
        }
    };
    outcome.map_err(|error| unavailable(&error))
}

fn checked<'a>(meta: &'a Meta, id: &str, producer: (i64, i16)) -> Result<&'a Transaction, ResponseError> {
    let known = meta.state().transactions.get(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
    known.check(producer.0, producer.1)?;
    Ok(known)
}

/// Aborts on the broker's own decision, or completes what was decided before.
fn abort(node: &Node, meta: &mut Meta, id: &str, transaction: Transaction) -> io::Result<Transaction> {
    match transaction.phase {
        Phase::Ongoing { .. } => decide(node, meta, id, transaction.fenced_abort(now_ms()), Vec::new()),
        _ => finish(node, meta, id),
    }
}

/// The point of no return.
fn decide(
    node: &Node,
    meta: &mut Meta,
    id: &str,
    prepared: Transaction,
    offsets: Vec<PendingOffset>,
) -> io::Result<Transaction> {
    let into_effect = |pending: PendingOffset| Entry::Offset {
        group: pending.group,
        topic: pending.topic,
        partition: pending.partition,
        committed: pending.committed,
    };
    let mut entries: Vec<Entry> = offsets.into_iter().map(into_effect).collect();
    entries.push(Entry::Transaction { id: id.to_owned(), transaction: prepared });
    meta.commit(entries)?;
    finish(node, meta, id)
}

/// Writes the markers that are missing, and notes that none is.
fn finish(node: &Node, meta: &mut Meta, id: &str) -> io::Result<Transaction> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("transactional id {id} is unknown"));
    let transaction = meta.state().transactions.get(id).ok_or_else(missing)?.clone();
    let Phase::Prepared { commit } = transaction.phase else { return Ok(transaction) };
    for (topic, index) in &transaction.partitions {
        // A topic may have been deleted meanwhile.
        let Some(partition) = node.topics.partition(topic, *index) else { continue };
        lock(&partition).end_transaction(transaction.producer_id, transaction.epoch, commit, now_ms())?;
    }
    node.appended.notify_waiters();
    let ended = transaction.ended(commit);
    meta.commit(vec![Entry::Transaction { id: id.to_owned(), transaction: ended.clone() }])?;
    Ok(ended)
}

/// After a start: completes what was decided, aborts what has no owner. Ongoing transactions wait for their
/// producers, who find the broker again, or for their time-out.
pub(crate) fn settle_after_start(node: &Node) -> io::Result<Settled> {
    let mut settled = Settled::default();
    let mut meta = lock(&node.meta);
    let prepared = |transaction: &Transaction| matches!(transaction.phase, Phase::Prepared { .. });
    let ids: Vec<String> = ids_where(&meta, prepared);
    for id in ids {
        finish(node, &mut meta, &id)?;
        settled.completed += 1;
    }
    let active = meta.state().transactions.values().filter(|transaction| transaction.is_active());
    let owned: HashSet<i64> = active.map(|transaction| transaction.producer_id).collect();
    for (_, topic) in node.topics.all() {
        for partition in &topic.partitions {
            let mut partition = lock(partition);
            for (producer_id, epoch) in partition.open_producers() {
                if !owned.contains(&producer_id) {
                    partition.end_transaction(producer_id, epoch, false, now_ms())?;
                    settled.aborted += 1;
                }
            }
        }
    }
    Ok(settled)
}

fn ids_where(meta: &Meta, wanted: impl Fn(&Transaction) -> bool) -> Vec<String> {
    let all = meta.state().transactions.iter();
    all.filter(|(_, transaction)| wanted(transaction)).map(|(id, _)| id.clone()).collect()
}

fn is_due(transaction: &Transaction, now_ms: i64) -> bool {
    let expired = transaction.expires_ms().is_some_and(|expires| expires <= now_ms);
    expired || matches!(transaction.phase, Phase::Prepared { .. })
}

/// Aborts transactions whose time is up, and completes those that an error interrupted.
pub(crate) fn sweep(node: &Node, now_ms: i64) {
    let mut meta = lock(&node.meta);
    for id in ids_where(&meta, |transaction| is_due(transaction, now_ms)) {
        let Some(transaction) = meta.state().transactions.get(&id).cloned() else { continue };
        match abort(node, &mut meta, &id, transaction) {
            Ok(ended) => {
                tracing::info!(transactional_id = id, epoch = ended.epoch, "transaction ended by the broker")
            }
            Err(error) => tracing::error!(transactional_id = id, %error, "transaction cannot be ended yet"),
        }
    }
}
