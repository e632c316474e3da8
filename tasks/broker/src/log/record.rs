//! Finding a record by time inside a batch. Not here: any other reading of records, which stay opaque.

use super::batch::{BatchHeader, HEADER_BYTES};

/// Offset and timestamp of the first record of the batch that is not older than `timestamp`.
///
/// Compressed records are not unpacked: the batch's first record answers for them, so that a reader who
/// starts there skips nothing.
pub(crate) fn first_not_older(header: &BatchHeader, batch: &[u8], timestamp: i64) -> (i64, i64) {
    let first = (header.base_offset, header.base_timestamp);
    if header.is_compressed() {
        return first;
    }
    let mut at = HEADER_BYTES;
    for _ in 0..header.record_count {
        let Some(record) = Record::read(batch, at) else { return first };
        let time = header.base_timestamp.saturating_add(record.timestamp_delta);
        if time >= timestamp {
            return (header.base_offset.saturating_add(record.offset_delta), time);
        }
        at = record.end;
    }
    first
}

struct Record {
    timestamp_delta: i64,
    offset_delta: i64,
    end: usize,
}

impl Record {
    fn read(batch: &[u8], at: usize) -> Option<Self> {
        let (length, body) = varint(batch, at)?;
        let end = body.checked_add(usize::try_from(length).ok()?)?;
        let (timestamp_delta, next) = varint(batch, body.checked_add(1)?)?; // after the attributes
        let (offset_delta, _) = varint(batch, next)?;
        (end <= batch.len()).then_some(Self { timestamp_delta, offset_delta, end })
    }
}

/// Zigzag varint at `at`, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut value = 0u64;
    for step in 0..10 {
        let byte = *bytes.get(at + step)?;
        value |= u64::from(byte & 0x7f) << (7 * step);
        if byte & 0x80 == 0 {
            let decoded = (value >> 1) as i64 ^ -((value & 1) as i64);
            return Some((decoded, at + step + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::partition_tests::batch_of;
    use super::*;

    #[test]
    fn finds_the_first_record_not_older() {
        let batch = batch_of(&[(1_000, "a"), (1_010, "b"), (1_020, "c")]);
        let header = BatchHeader::decode(&batch).unwrap();
        assert_eq!(first_not_older(&header, &batch, 0), (0, 1_000));
        assert_eq!(first_not_older(&header, &batch, 1_001), (1, 1_010));
        assert_eq!(first_not_older(&header, &batch, 1_020), (2, 1_020));
    }

    #[test]
    fn compressed_records_answer_with_their_first() {
        let batch = batch_of(&[(1_000, "a"), (1_010, "b")]);
        let mut header = BatchHeader::decode(&batch).unwrap();
        header.attributes |= 3;
        assert_eq!(first_not_older(&header, &batch, 1_005), (0, 1_000));
    }
}
