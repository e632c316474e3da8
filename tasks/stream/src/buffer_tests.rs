use std::time::Duration;

use super::*;
use crate::chunk::Chunk;
use crate::schema::{Field, FieldType};

fn schema() -> TopicSchema {
    TopicSchema::new("t", vec![Field { name: "ts".into(), kind: FieldType::Int, required: true }]).unwrap()
}

fn rules() -> Rules {
    let mut options = Options::new("b", "l", Vec::new());
    options.max_message_bytes = 100;
    options.sanity.ahead_of_clock = Duration::from_secs(3600);
    Rules::new(&options)
}

fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2027-01-01T00:30:00Z").unwrap().to_utc()
}

fn push(buffer: &mut Buffer, offset: i64, payload: Option<&[u8]>) {
    let record = Record { offset, timestamp: Some(5), key: Some(b"k"), payload };
    buffer.push(&schema(), &rules(), &record, None, now());
}

fn event(at: &str) -> Vec<u8> {
    let at = DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis();
    format!("{{\"ts\":{at}}}").into_bytes()
}

#[test]
fn rows_lie_in_the_hour_of_their_event_time_across_a_year_end() {
    let mut buffer = Buffer::new(None, 0);
    for (offset, at) in
        ["2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z", "2026-12-31T23:00:00Z"].iter().enumerate()
    {
        push(&mut buffer, offset as i64, Some(&event(at)));
    }
    let hours: Vec<(DateTime<Utc>, usize)> = buffer
        .hours
        .iter()
        .map(|(start, columns)| (DateTime::from_timestamp_millis(*start).unwrap(), columns.rows))
        .collect();
    let hour = |at: &str| DateTime::parse_from_rfc3339(at).unwrap().to_utc();
    assert_eq!(hours, [(hour("2026-12-31T23:00:00Z"), 2), (hour("2027-01-01T00:00:00Z"), 1)]);
}

#[test]
fn each_bad_record_is_a_dead_letter_with_its_reason_and_bytes() {
    let cases: [(Option<Vec<u8>>, &str); 5] = [
        (None, "tombstone"),
        (Some(b"nonsense".to_vec()), "not JSON"),
        (Some(vec![b'x'; 101]), "101 bytes is more than the limit of 100"),
        (Some(event("1999-12-31T23:59:59Z")), "before the earliest sane time"),
        (Some(event("2027-01-01T01:30:01Z")), "in the future"),
    ];
    let mut buffer = Buffer::new(None, 0);
    for (offset, (payload, reason)) in cases.iter().enumerate() {
        push(&mut buffer, offset as i64, payload.as_deref());
        let letter = &buffer.dead[offset];
        assert!(letter.error.contains(reason), "{}", letter.error);
        assert_eq!(
            (letter.offset, letter.timestamp, letter.key.as_deref()),
            (offset as i64, Some(5), Some(&b"k"[..]))
        );
        let kept = payload.as_ref().map(|payload| &payload[..payload.len().min(100)]);
        assert_eq!(letter.value.as_deref(), kept);
    }
    assert_eq!((buffer.rows, buffer.next), (0, 5));
}

#[test]
fn an_offset_delivered_again_counts_once_and_a_gap_is_counted_as_skipped() {
    let mut buffer = Buffer::new(Some(9), 10);
    for offset in [10, 10, 9, 13, 12] {
        push(&mut buffer, offset, Some(&event("2027-01-01T00:00:00Z")));
    }
    assert_eq!((buffer.rows, buffer.skipped, buffer.first, buffer.next), (2, 2, 10, 14));
}

#[test]
fn a_row_before_the_watermark_is_late_and_kept() {
    let mut buffer = Buffer::new(None, 0);
    let payload = event("2026-12-31T22:10:00Z");
    let record = Record { offset: 0, timestamp: None, key: None, payload: Some(&payload) };
    buffer.push(&schema(), &rules(), &record, Some(now()), now());
    assert_eq!((buffer.rows, buffer.late), (1, 1));
}

proptest::proptest! {
    /// Whatever is delivered and however it is rolled, the commits tile the offsets.
    #[test]
    fn rolls_cover_offsets_without_gap_or_overlap(
        steps in proptest::collection::vec((0..4_i64, 0..3_u8, proptest::bool::weighted(0.2)), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let lake = lake::Lake::open("memory://").unwrap();
        let (mut buffer, mut offset, mut delivered) = (Buffer::new(None, 0), 0, 0_u64);
        let roll = |buffer: &mut Buffer| {
            let next = buffer.next;
            let full = std::mem::replace(buffer, Buffer::new(Some(next - 1), next));
            if full.since.is_some() {
                let mut chunk = Chunk::seal(full, &schema(), 3).unwrap();
                let gate = crate::chunk::Gate(None);
                runtime.block_on(chunk.write(&lake, &gate, "w", now())).unwrap();
            } else {
                *buffer = full;
            }
        };
        for (gap, kind, rolls) in steps {
            offset += gap;
            match kind {
                0 => push(&mut buffer, offset, Some(&event("2026-12-31T23:00:00Z"))),
                1 => push(&mut buffer, offset, Some(&event("2027-01-01T00:00:00Z"))),
                _ => push(&mut buffer, offset, Some(b"bad")),
            }
            (offset, delivered) = (offset + 1, delivered + 1);
            if rolls {
                roll(&mut buffer);
            }
        }
        roll(&mut buffer);
        let commits = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(lake.commits("t")).unwrap();
        let end = commits.last().map(|commit| commit.last + 1);
        proptest::prop_assert_eq!(end, Some(offset));
        let covered: u64 = commits.iter().map(|commit| commit.rows() + commit.dead_letters).sum();
        proptest::prop_assert_eq!(covered, delivered);
        let offsets: i64 = commits.iter().map(|commit| commit.last - commit.first + 1).sum();
        proptest::prop_assert_eq!(offsets, offset);
    }
}
