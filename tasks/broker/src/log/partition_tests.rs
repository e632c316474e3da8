//! What a partition promises: order, exactness, survival of a cut at any byte.

use super::batch::{self, BatchHeader, HEADER_BYTES};
use super::*;
use kafka_protocol::error::ResponseError;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const SMALL: PartitionOptions = PartitionOptions { segment_bytes: 1_000, sync_every_append: false };
const MAX: usize = 1 << 20;

/// A sound uncompressed batch of records (timestamp, value) without a producer.
pub(crate) fn batch_of(records: &[(i64, &str)]) -> Vec<u8> {
    batch_by(records, -1, -1, -1, false)
}

fn batch_by(records: &[(i64, &str)], pid: i64, epoch: i16, sequence: i32, transactional: bool) -> Vec<u8> {
    let base_timestamp = records[0].0;
    let mut body = Vec::new();
    for (delta, (time, value)) in records.iter().enumerate() {
        let mut record = vec![0];
        varint(time - base_timestamp, &mut record);
        varint(delta as i64, &mut record);
        varint(-1, &mut record);
        varint(value.len() as i64, &mut record);
        record.extend_from_slice(value.as_bytes());
        record.push(0);
        varint(record.len() as i64, &mut body);
        body.extend_from_slice(&record);
    }
    let header = BatchHeader {
        base_offset: 0,
        length: HEADER_BYTES + body.len(),
        leader_epoch: 0,
        crc: 0,
        attributes: if transactional { 0x10 } else { 0 },
        last_offset_delta: records.len() as i32 - 1,
        base_timestamp,
        max_timestamp: records.iter().map(|record| record.0).max().unwrap(),
        producer_id: pid,
        producer_epoch: epoch,
        base_sequence: sequence,
        record_count: records.len() as i32,
    };
    let mut batch = Vec::new();
    header.encode(&mut batch);
    batch.extend_from_slice(&body);
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn open(dir: &Path) -> Partition {
    Partition::open(dir, 0, SMALL).unwrap().0
}

/// Offsets of the batches a reader gets from `from` to the end.
fn read_all(partition: &Partition, from: i64, isolation: Isolation) -> Vec<(i64, i64)> {
    let (mut offset, mut seen) = (from, Vec::new());
    while offset < partition.end_for(isolation) {
        let slice = partition.read(offset, 300, isolation).unwrap();
        let mut rest = &slice.records[..];
        assert!(!rest.is_empty(), "stuck at {offset}");
        while !rest.is_empty() {
            let header = BatchHeader::decode(rest).unwrap();
            assert!(batch::crc_matches(&header, &rest[..header.length]));
            seen.push((header.base_offset, header.last_offset()));
            offset = header.last_offset() + 1;
            rest = &rest[header.length..];
        }
    }
    seen
}

#[test]
fn records_are_read_back_across_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    for i in 0..50 {
        assert_eq!(partition.append(&batch_of(&[(i, "first"), (i, "second")]), MAX), Ok(i * 2));
    }
    let want: Vec<_> = (0..50).map(|i| (i * 2, i * 2 + 1)).collect();
    assert_eq!(read_all(&partition, 0, Isolation::Uncommitted), want);
    assert_eq!(read_all(&partition, 31, Isolation::Uncommitted), want[15..]);
    drop(partition);
    let partition = open(dir.path());
    assert_eq!(read_all(&partition, 0, Isolation::Uncommitted), want);
    let segments = fs::read_dir(dir.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().path().extension().unwrap() == "log");
    assert!(segments.count() > 3);
    assert_eq!(
        partition.read(101, MAX, Isolation::Uncommitted).unwrap_err(),
        ResponseError::OffsetOutOfRange
    );
}

#[test]
fn readers_of_committed_records_stop_at_the_open_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    partition.append(&batch_of(&[(0, "plain")]), MAX).unwrap();
    partition.append(&batch_by(&[(0, "t")], 7, 0, 0, true), MAX).unwrap();
    partition.append(&batch_of(&[(0, "plain")]), MAX).unwrap();
    assert_eq!((partition.last_stable_offset(), partition.high_watermark()), (1, 3));
    assert_eq!(read_all(&partition, 0, Isolation::Committed), [(0, 0)]);
    assert!(partition.end_transaction(7, 0, false, 0).unwrap());
    assert!(!partition.end_transaction(7, 0, false, 0).unwrap(), "ended once");
    for partition in [partition, open(dir.path())] {
        assert_eq!(partition.last_stable_offset(), 4);
        let aborted = partition.read(0, MAX, Isolation::Committed).unwrap().aborted;
        assert_eq!(aborted.iter().map(|a| (a.producer_id, a.first_offset)).collect::<Vec<_>>(), [(7, 1)]);
    }
}

#[test]
fn repeated_batches_are_known_after_restart_from_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    for i in 0..40 {
        partition.append(&batch_by(&[(0, "value")], 7, 0, i, false), MAX).unwrap();
    }
    let mut partition = open(dir.path());
    assert_eq!(partition.append(&batch_by(&[(0, "value")], 7, 0, 39, false), MAX), Ok(39));
    assert_eq!(partition.append(&batch_by(&[(0, "value")], 7, 0, 40, false), MAX), Ok(40));
    assert_eq!(partition.high_watermark(), 41);
    let lost = partition.append(&batch_by(&[(0, "value")], 7, 0, 42, false), MAX);
    assert_eq!(lost, Err(ResponseError::OutOfOrderSequenceNumber));
}

#[test]
fn damaged_snapshot_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    for i in 0..40 {
        partition.append(&batch_by(&[(i, "value")], 7, 0, i as i32, false), MAX).unwrap();
    }
    let want = read_all(&partition, 0, Isolation::Uncommitted);
    drop(partition);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "snapshot" {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    assert_eq!(read_all(&open(dir.path()), 0, Isolation::Uncommitted), want);
}

#[test]
fn too_large_and_damaged_batches_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    let mut batch = batch_of(&[(0, "value")]);
    assert_eq!(partition.append(&batch, batch.len() - 1), Err(ResponseError::MessageTooLarge));
    *batch.last_mut().unwrap() ^= 1;
    assert_eq!(partition.append(&batch, MAX), Err(ResponseError::CorruptMessage));
    assert_eq!(partition.high_watermark(), 0);
}

#[test]
fn offset_for_time_finds_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    for i in 0..50 {
        partition.append(&batch_of(&[(i * 100, "a"), (i * 100 + 50, "b")]), MAX).unwrap();
    }
    assert_eq!(partition.offset_for_time(0), Ok(Some((0, 0))));
    assert_eq!(partition.offset_for_time(2_001), Ok(Some((41, 2_050))));
    assert_eq!(partition.offset_for_time(4_950), Ok(Some((99, 4_950))));
    assert_eq!(partition.offset_for_time(4_951), Ok(None));
}

#[test]
fn retention_by_bytes_and_by_age_advances_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    for i in 0..50 {
        partition.append(&batch_of(&[(i * 100, "value")]), MAX).unwrap();
    }
    let by_bytes = RetentionLimits { max_bytes: Some(2_000), max_age_ms: None };
    assert!(partition.expire(by_bytes, 5_000).unwrap() > 0);
    let start = partition.start_offset();
    assert!(start > 0 && start < 50);
    assert_eq!(
        partition.read(start - 1, MAX, Isolation::Uncommitted).unwrap_err(),
        ResponseError::OffsetOutOfRange
    );
    assert_eq!(read_all(&partition, start, Isolation::Uncommitted).len() as i64, 50 - start);
    let by_age = RetentionLimits { max_bytes: None, max_age_ms: Some(10_000) };
    assert_eq!(partition.expire(by_age, 5_000).unwrap(), 0, "nothing is that old");
    assert!(partition.expire(by_age, 50_000).unwrap() > 0);
    for partition in [partition, open(dir.path())] {
        assert_eq!((partition.start_offset(), partition.high_watermark()), (50, 50));
    }
}

#[test]
fn retention_keeps_what_an_open_transaction_began() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    partition.append(&batch_by(&[(0, "t")], 7, 0, 0, true), MAX).unwrap();
    for _ in 0..50 {
        partition.append(&batch_of(&[(0, "value")]), MAX).unwrap();
    }
    let limits = RetentionLimits { max_bytes: Some(0), max_age_ms: Some(0) };
    assert_eq!(partition.expire(limits, 1_000).unwrap(), 0);
    partition.end_transaction(7, 0, true, 0).unwrap();
    assert!(partition.expire(limits, 1_000).unwrap() > 0);
}

#[test]
fn deleted_records_are_gone_though_their_segment_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut partition = open(dir.path());
    for _ in 0..50 {
        partition.append(&batch_of(&[(0, "value")]), MAX).unwrap();
    }
    assert_eq!(partition.delete_before(51), Err(ResponseError::OffsetOutOfRange));
    assert_eq!(partition.delete_before(30), Ok(30));
    assert_eq!(partition.delete_before(10), Ok(30), "the start never goes back");
    assert!(partition.read(29, MAX, Isolation::Uncommitted).is_err());
    drop(partition);
    let (partition, _) = Partition::open(dir.path(), 30, SMALL).unwrap();
    assert_eq!((partition.start_offset(), partition.high_watermark()), (30, 50));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn log_cut_at_any_byte_keeps_its_whole_batches(cut in 0u64..4_000, appended in 1i64..30) {
        let dir = tempfile::tempdir().unwrap();
        let wide = PartitionOptions { segment_bytes: 1 << 20, sync_every_append: false };
        let (mut partition, _) = Partition::open(dir.path(), 0, wide).unwrap();
        let mut ends = vec![0u64];
        for i in 0..appended {
            let batch = batch_of(&[(i, "some value"), (i, "another")]);
            partition.append(&batch, MAX).unwrap();
            ends.push(ends[i as usize] + batch.len() as u64);
        }
        drop(partition);
        let cut = cut.min(ends[appended as usize]);
        let path = dir.path().join("00000000000000000000.log");
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let (mut partition, cut_bytes) = Partition::open(dir.path(), 0, wide).unwrap();
        prop_assert_eq!(cut_bytes, cut - ends[whole]);
        prop_assert_eq!(read_all(&partition, 0, Isolation::Uncommitted).len(), whole);
        prop_assert_eq!(partition.append(&batch_of(&[(0, "next")]), MAX), Ok(whole as i64 * 2));
        prop_assert_eq!(read_all(&partition, 0, Isolation::Uncommitted).len(), whole + 1);
    }
}
