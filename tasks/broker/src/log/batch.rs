//! The header of a record batch (format v2): reading, writing, checking. Not here: the records inside.

use bytes::{Buf, BufMut};
use kafka_protocol::error::ResponseError;

/// Bytes of the header up to the first record.
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes before the part that the length field counts: base offset and the length itself.
const LENGTH_PREFIX: usize = 12;
/// The CRC covers everything from the attributes on.
const CRC_FROM: usize = 21;
const MAGIC: i8 = 2;
const COMPRESSION_MASK: i16 = 0x07;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub base_offset: i64,
    /// Length of the whole batch in bytes, header included.
    pub length: usize,
    pub leader_epoch: i32,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header; `None` if these bytes cannot begin a v2 batch.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut b = bytes.get(..HEADER_BYTES)?;
        let base_offset = b.get_i64();
        let length = usize::try_from(b.get_i32()).ok()?.checked_add(LENGTH_PREFIX)?;
        let leader_epoch = b.get_i32();
        if b.get_i8() != MAGIC || length < HEADER_BYTES {
            return None;
        }
        let header = Self {
            base_offset,
            length,
            leader_epoch,
            crc: b.get_u32(),
            attributes: b.get_i16(),
            last_offset_delta: b.get_i32(),
            base_timestamp: b.get_i64(),
            max_timestamp: b.get_i64(),
            producer_id: b.get_i64(),
            producer_epoch: b.get_i16(),
            base_sequence: b.get_i32(),
            record_count: b.get_i32(),
        };
        (header.last_offset_delta >= 0 && base_offset >= 0).then_some(header)
    }

    /// Writes the header. The caller must have set a length that fits the field, and the right CRC.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let length = i32::try_from(self.length - LENGTH_PREFIX).unwrap_or(i32::MAX);
        out.put_i64(self.base_offset);
        out.put_i32(length);
        out.put_i32(self.leader_epoch);
        out.put_i8(MAGIC);
        out.put_u32(self.crc);
        out.put_i16(self.attributes);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.record_count);
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Sequence number of the last record. Sequences run from 0 to `i32::MAX` and begin anew.
    pub fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub fn is_compressed(&self) -> bool {
        self.attributes & COMPRESSION_MASK != 0
    }
}

/// True if the batch's bytes are those that its producer sent.
pub(crate) fn crc_matches(header: &BatchHeader, batch: &[u8]) -> bool {
    batch.len() == header.length && crc32c::crc32c(&batch[CRC_FROM..]) == header.crc
}

/// Gives a batch its place in the log.
pub(crate) fn place(batch: &mut [u8], base_offset: i64) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&0i32.to_be_bytes());
}

/// Checks what a producer sent for one partition: exactly one sound batch of records.
pub(crate) fn check_produced(records: &[u8]) -> Result<BatchHeader, ResponseError> {
    let header = BatchHeader::decode(records).ok_or(ResponseError::CorruptMessage)?;
    if header.length != records.len() {
        return Err(ResponseError::InvalidRecord);
    }
    if !crc_matches(&header, records) {
        return Err(ResponseError::CorruptMessage);
    }
    let one_offset_each = header.last_offset_delta.checked_add(1) == Some(header.record_count);
    let sequence_known = header.producer_id < 0 || header.base_sequence >= 0;
    if header.is_control() || !one_offset_each || !sequence_known {
        return Err(ResponseError::InvalidRecord);
    }
    if header.is_transactional() && header.producer_id < 0 {
        return Err(ResponseError::InvalidRecord);
    }
    Ok(header)
}

/// The control batch that ends a transaction in a partition.
pub(crate) fn end_marker(offset: i64, pid: i64, epoch: i16, commit: bool, now_ms: i64) -> Vec<u8> {
    // One record: length 16, no attributes, no deltas, key of 4 bytes (version 0, kind), value of 6 bytes
    // (version 0, coordinator epoch 0), no headers. Lengths are zigzag varints.
    let record = [32, 0, 0, 0, 8, 0, 0, 0, u8::from(commit), 12, 0, 0, 0, 0, 0, 0, 0];
    let header = BatchHeader {
        base_offset: offset,
        length: HEADER_BYTES + record.len(),
        leader_epoch: 0,
        crc: 0,
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        base_timestamp: now_ms,
        max_timestamp: now_ms,
        producer_id: pid,
        producer_epoch: epoch,
        base_sequence: -1,
        record_count: 1,
    };
    let mut batch = Vec::with_capacity(header.length);
    header.encode(&mut batch);
    batch.extend_from_slice(&record);
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// True if this control batch commits, false if it aborts, `None` if it is no end marker.
pub(crate) fn marker_commits(batch: &[u8]) -> Option<bool> {
    match batch.get(HEADER_BYTES + 7..HEADER_BYTES + 9)? {
        [0, 0] => Some(false),
        [0, 1] => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn header_survives_its_own_encoding(
            base_offset in 0..i64::MAX, length in HEADER_BYTES..1 << 30, crc: u32, attributes: i16,
            last_offset_delta in 0..i32::MAX, times: (i64, i64), pid: i64, epoch: i16, sequence: i32, count: i32
        ) {
            let header = BatchHeader {
                base_offset, length, leader_epoch: 7, crc, attributes, last_offset_delta,
                base_timestamp: times.0, max_timestamp: times.1, producer_id: pid, producer_epoch: epoch,
                base_sequence: sequence, record_count: count,
            };
            let mut bytes = Vec::new();
            header.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), HEADER_BYTES);
            prop_assert_eq!(BatchHeader::decode(&bytes), Some(header));
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(header) = check_produced(&bytes) {
                prop_assert_eq!(header.length, bytes.len());
            }
        }
    }

    #[test]
    fn end_marker_is_a_sound_control_batch() {
        for commit in [true, false] {
            let marker = end_marker(41, 9, 3, commit, 1_000);
            let header = BatchHeader::decode(&marker).unwrap();
            assert!(crc_matches(&header, &marker));
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.base_offset, header.last_offset()), (41, 41));
            assert_eq!(marker_commits(&marker), Some(commit));
            assert_eq!(
                check_produced(&marker),
                Err(ResponseError::InvalidRecord),
                "clients write no markers"
            );
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let mut marker = end_marker(0, 1, 0, true, 0);
        let header = BatchHeader::decode(&marker).unwrap();
        marker[70] ^= 1;
        assert!(!crc_matches(&header, &marker));
    }
}
