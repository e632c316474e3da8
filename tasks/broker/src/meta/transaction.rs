//! The life of one transactional id, as pure steps: each takes the old state and gives the new one or refuses.
//!
//! ```text
//! Idle --add--> Ongoing --end--> Prepared --markers written--> Ended --add--> Ongoing ...
//! ```
//! A new instance of the producer, or a time-out, raises the epoch, which shuts out the old instance.

use super::state::{CommittedOffset, TopicPartition};
use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// From this epoch on a producer gets a new id instead of a higher epoch.
const LAST_EPOCH: i16 = i16::MAX - 2;
const NO_EPOCH: i16 = -1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Idle,
    Ongoing {
        since_ms: i64,
    },
    /// The outcome is decided and in the journal; markers may be missing.
    Prepared {
        commit: bool,
    },
    Ended {
        commit: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingOffset {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    pub committed: CommittedOffset,
}

impl PendingOffset {
    fn is_for_same(&self, other: &Self) -> bool {
        (&self.group, &self.topic, self.partition) == (&other.group, &other.topic, other.partition)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub producer_id: i64,
    pub epoch: i16,
    /// The epoch before the last raise that the producer itself asked for: it may ask again if our answer got
    /// lost. -1 if there is none.
    last_epoch: i16,
    timeout_ms: i64,
    pub phase: Phase,
    pub partitions: BTreeSet<TopicPartition>,
    pub offsets: Vec<PendingOffset>,
    pub updated_ms: i64,
}

/// What a request to end a transaction comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Write this state, then the markers.
    Prepare(Transaction),
    /// Decided before, markers may be missing.
    Resume,
    /// Already done as asked; the answer was lost.
    Done,
}

impl Transaction {
    pub fn begin_life(producer_id: i64, epoch: i16, timeout_ms: i64, now_ms: i64) -> Self {
        Self {
            producer_id,
            epoch,
            last_epoch: NO_EPOCH,
            timeout_ms,
            phase: Phase::Idle,
            partitions: BTreeSet::new(),
            offsets: Vec::new(),
            updated_ms: now_ms,
        }
    }

    /// The state for a new instance of the producer. `known` is what the instance says of itself, if it has
    /// been here before; `fresh_id` is used when epochs are exhausted. The old transaction must have ended.
    pub fn renew(
        &self,
        known: Option<(i64, i16)>,
        fresh_id: i64,
        timeout_ms: i64,
        now_ms: i64,
    ) -> Result<Self, ResponseError> {
        let mut last_epoch = NO_EPOCH;
        if let Some((id, epoch)) = known {
            if id == self.producer_id && epoch == self.last_epoch && epoch != NO_EPOCH {
                return Ok(self.clone());
            }
            if id != self.producer_id || epoch != self.epoch {
                return Err(ResponseError::ProducerFenced);
            }
            last_epoch = epoch;
        }
        let exhausted = self.epoch >= LAST_EPOCH;
        let (producer_id, epoch) = if exhausted { (fresh_id, 0) } else { (self.producer_id, self.epoch + 1) };
        Ok(Self { last_epoch, ..Self::begin_life(producer_id, epoch, timeout_ms, now_ms) })
    }

    pub fn check(&self, producer_id: i64, epoch: i16) -> Result<(), ResponseError> {
        if producer_id != self.producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if epoch != self.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(())
    }

    /// Whether the producer may write to this partition now.
    pub fn check_write(&self, epoch: i16, partition: &TopicPartition) -> Result<(), ResponseError> {
        if epoch != self.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        match self.phase {
            Phase::Ongoing { .. } if self.partitions.contains(partition) => Ok(()),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Takes partitions and offsets into the transaction, which begins if there is none.
    pub fn add(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        offsets: Vec<PendingOffset>,
        now_ms: i64,
    ) -> Result<Self, ResponseError> {
        let mut next = self.clone();
        match self.phase {
            Phase::Prepared { .. } => return Err(ResponseError::ConcurrentTransactions),
            Phase::Ongoing { .. } => {}
            Phase::Idle | Phase::Ended { .. } => {
                next.phase = Phase::Ongoing { since_ms: now_ms };
                next.partitions.clear();
                next.offsets.clear();
            }
        }
        next.last_epoch = NO_EPOCH;
        next.updated_ms = now_ms;
        next.partitions.extend(partitions);
        for pending in offsets {
            next.offsets.retain(|earlier| !earlier.is_for_same(&pending));
            next.offsets.push(pending);
        }
        Ok(next)
    }

    pub fn end(&self, commit: bool, now_ms: i64) -> Result<End, ResponseError> {
        match self.phase {
            Phase::Ongoing { .. } => Ok(End::Prepare(self.prepared(commit, now_ms))),
            Phase::Prepared { commit: decided } if decided == commit => Ok(End::Resume),
            Phase::Ended { commit: done } if done == commit => Ok(End::Done),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Offsets go into effect together with this state, so they are no longer pending in it.
    fn prepared(&self, commit: bool, now_ms: i64) -> Self {
        let phase = Phase::Prepared { commit };
        Self { phase, offsets: Vec::new(), updated_ms: now_ms, ..self.clone() }
    }

    /// Aborts on the broker's own decision: the raised epoch shuts out the instance that began it.
    pub fn fenced_abort(&self, now_ms: i64) -> Self {
        Self { epoch: self.epoch.saturating_add(1), last_epoch: NO_EPOCH, ..self.prepared(false, now_ms) }
    }

    /// All markers are written.
    pub fn ended(&self, commit: bool) -> Self {
        Self { phase: Phase::Ended { commit }, partitions: BTreeSet::new(), ..self.clone() }
    }

    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Ongoing { .. } | Phase::Prepared { .. })
    }

    /// When the broker aborts it, if it is ongoing.
    pub fn expires_ms(&self) -> Option<i64> {
        match self.phase {
            Phase::Ongoing { since_ms } => Some(since_ms.saturating_add(self.timeout_ms)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ongoing() -> Transaction {
        Transaction::begin_life(9, 4, 1_000, 0).add([("plays".into(), 1)], Vec::new(), 50).unwrap()
    }

    #[test]
    fn only_the_registered_partition_of_an_ongoing_transaction_is_written() {
        let (here, there) = (("plays".to_string(), 1), ("plays".to_string(), 2));
        assert_eq!(ongoing().check_write(4, &here), Ok(()));
        assert_eq!(ongoing().check_write(4, &there), Err(ResponseError::InvalidTxnState));
        assert_eq!(ongoing().check_write(3, &here), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(ongoing().ended(true).check_write(4, &here), Err(ResponseError::InvalidTxnState));
    }

    #[test]
    fn lost_answer_to_an_end_is_given_again() {
        let End::Prepare(prepared) = ongoing().end(true, 60).unwrap() else { panic!("must prepare") };
        assert_eq!(prepared.end(true, 61), Ok(End::Resume));
        assert_eq!(prepared.end(false, 61), Err(ResponseError::InvalidTxnState));
        assert_eq!(prepared.ended(true).end(true, 62), Ok(End::Done));
        assert_eq!(prepared.ended(true).end(false, 62), Err(ResponseError::InvalidTxnState));
        assert_eq!(prepared.add([], Vec::new(), 61), Err(ResponseError::ConcurrentTransactions));
    }

    #[test]
    fn new_instance_shuts_out_the_old() {
        let old = Transaction::begin_life(9, 4, 1_000, 0);
        let new = old.renew(None, 100, 1_000, 0).unwrap();
        assert_eq!((new.producer_id, new.epoch), (9, 5));
        assert_eq!(new.check(9, 4), Err(ResponseError::ProducerFenced));
        assert_eq!(new.renew(Some((9, 4)), 100, 1_000, 0), Err(ResponseError::ProducerFenced));
    }

    #[test]
    fn raise_asked_for_twice_happens_once() {
        let raised = Transaction::begin_life(9, 4, 1_000, 0).renew(Some((9, 4)), 100, 1_000, 0).unwrap();
        assert_eq!(raised.epoch, 5);
        assert_eq!(raised.renew(Some((9, 4)), 100, 1_000, 0).unwrap(), raised);
        assert_eq!(raised.renew(Some((9, 5)), 100, 1_000, 0).unwrap().epoch, 6);
    }

    #[test]
    fn exhausted_epochs_lead_to_a_new_id() {
        let worn = Transaction::begin_life(9, LAST_EPOCH, 1_000, 0);
        let new = worn.renew(None, 100, 1_000, 0).unwrap();
        assert_eq!((new.producer_id, new.epoch), (100, 0));
    }

    #[test]
    fn later_offset_of_a_partition_takes_the_place_of_the_earlier() {
        let pending = |partition, offset| PendingOffset {
            group: "g".into(),
            topic: "plays".into(),
            partition,
            committed: CommittedOffset { offset, leader_epoch: -1, metadata: String::new() },
        };
        let once = ongoing().add([], vec![pending(0, 5), pending(1, 6)], 60).unwrap();
        let twice = once.add([], vec![pending(0, 7)], 70).unwrap();
        assert_eq!(twice.offsets, [pending(1, 6), pending(0, 7)]);
    }

    #[test]
    fn time_out_counts_from_the_first_partition() {
        assert_eq!(ongoing().expires_ms(), Some(1_050));
        assert_eq!(ongoing().add([("plays".into(), 2)], Vec::new(), 900).unwrap().expires_ms(), Some(1_050));
        let aborted = ongoing().fenced_abort(2_000);
        assert_eq!((aborted.phase, aborted.epoch), (Phase::Prepared { commit: false }, 5));
        assert_eq!(aborted.expires_ms(), None);
    }
}
