//! What a partition remembers of its idempotent producers: it tells new batches from repeated and lost ones.

use super::batch::BatchHeader;
use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

/// Producers keep at most this many batches in flight, so a repetition is among the last ones.
const REMEMBERED_BATCHES: usize = 5;
/// A producer unheard of for this long is forgotten, as by Kafka's `producer.id.expiration.ms`.
const EXPIRY_MS: i64 = 24 * 60 * 60 * 1000;
/// The last sequence before any batch.
const NO_SEQUENCE: i32 = -1;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producers {
    known: HashMap<i64, Producer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    epoch: i16,
    last_sequence: i32,
    last_timestamp: i64,
    recent: VecDeque<Accepted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Accepted {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    /// The batch is in the log already; its answer was lost.
    Repeated {
        base_offset: i64,
    },
}

impl Producers {
    pub fn judge(&self, batch: &BatchHeader) -> Result<Verdict, ResponseError> {
        let Some(producer) = self.known.get(&batch.producer_id) else { return Ok(Verdict::New) };
        if batch.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if batch.producer_epoch > producer.epoch {
            let begins = batch.base_sequence == 0;
            return if begins { Ok(Verdict::New) } else { Err(ResponseError::OutOfOrderSequenceNumber) };
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        let same = |known: &&Accepted| known.first_sequence == first && known.last_sequence == last;
        if let Some(known) = producer.recent.iter().find(same) {
            return Ok(Verdict::Repeated { base_offset: known.base_offset });
        }
        if first == producer.last_sequence.wrapping_add(1) & i32::MAX {
            return Ok(Verdict::New);
        }
        Err(ResponseError::OutOfOrderSequenceNumber)
    }

    /// Remembers a batch that was written. Batches without a producer leave no trace.
    pub fn accept(&mut self, batch: &BatchHeader) {
        if batch.producer_id < 0 {
            return;
        }
        let producer = self.at_epoch(batch);
        producer.last_sequence = batch.last_sequence();
        producer.recent.push_back(Accepted {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
        });
        if producer.recent.len() > REMEMBERED_BATCHES {
            producer.recent.pop_front();
        }
    }

    /// Remembers the epoch of an end marker, so that older instances of the producer are refused from now on.
    pub fn accept_marker(&mut self, marker: &BatchHeader) {
        self.at_epoch(marker);
    }

    /// The producer of a batch, begun anew if the batch is of a newer epoch.
    fn at_epoch(&mut self, batch: &BatchHeader) -> &mut Producer {
        let fresh = || Producer {
            epoch: batch.producer_epoch,
            last_sequence: NO_SEQUENCE,
            last_timestamp: batch.max_timestamp,
            recent: VecDeque::new(),
        };
        let producer = self.known.entry(batch.producer_id).or_insert_with(fresh);
        if batch.producer_epoch > producer.epoch {
            *producer = fresh();
        }
        producer.last_timestamp = producer.last_timestamp.max(batch.max_timestamp);
        producer
    }

    pub fn epoch_of(&self, producer_id: i64) -> Option<i16> {
        self.known.get(&producer_id).map(|producer| producer.epoch)
    }

    pub fn forget_silent(&mut self, now_ms: i64) {
        self.known.retain(|_, producer| now_ms.saturating_sub(producer.last_timestamp) < EXPIRY_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, sequence: i32, records: i32, base_offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset,
            length: 100,
            leader_epoch: 0,
            crc: 0,
            attributes: 0,
            last_offset_delta: records - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 5,
            producer_epoch: epoch,
            base_sequence: sequence,
            record_count: records,
        }
    }

    #[test]
    fn repeated_batch_is_known_with_its_offset() {
        let mut producers = Producers::default();
        producers.accept(&batch(0, 0, 10, 100));
        producers.accept(&batch(0, 10, 5, 110));
        assert_eq!(producers.judge(&batch(0, 0, 10, 0)), Ok(Verdict::Repeated { base_offset: 100 }));
        assert_eq!(producers.judge(&batch(0, 15, 1, 0)), Ok(Verdict::New));
    }

    #[test]
    fn gap_and_old_epoch_are_refused() {
        let mut producers = Producers::default();
        producers.accept(&batch(1, 0, 10, 0));
        assert_eq!(producers.judge(&batch(1, 11, 1, 0)), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(producers.judge(&batch(0, 10, 1, 0)), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(producers.judge(&batch(2, 10, 1, 0)), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(producers.judge(&batch(2, 0, 1, 0)), Ok(Verdict::New));
    }

    #[test]
    fn marker_of_newer_epoch_fences_and_restarts_sequences() {
        let mut producers = Producers::default();
        producers.accept(&batch(0, 0, 10, 0));
        producers.accept_marker(&batch(1, -1, 1, 10));
        assert_eq!(producers.judge(&batch(0, 10, 1, 0)), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(producers.judge(&batch(1, 0, 1, 0)), Ok(Verdict::New));
    }

    #[test]
    fn sequence_begins_anew_after_its_largest() {
        let mut producers = Producers::default();
        producers.accept(&batch(0, i32::MAX - 1, 2, 0));
        assert_eq!(producers.judge(&batch(0, 0, 1, 0)), Ok(Verdict::New));
    }
}
