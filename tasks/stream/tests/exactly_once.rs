//! Rows equal offsets, exactly: over crashes between all side effects, rival writers, rebalances, full disks, aborted transactions.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stream::{Error, OnDataLoss, Options, Roll, State, Step};
use support::{House, TOPIC, client, event};

/// A roll every so many records.
fn small_rolls(house: &House, max_rows: usize) -> Options {
    let roll = Roll { max_rows, ..Roll::default() };
    Options { roll, watermarks_topic: None, ..house.options() }
}

async fn send_mixed(house: &House, partition: i32, rounds: usize) -> i64 {
    for _ in 0..rounds {
        house.send_events(partition, 20, "2026-12-31T23:59:50Z").await;
        house.send(TOPIC, partition, Some(b"not json")).await;
    }
    rounds as i64 * 21
}

#[tokio::test(flavor = "multi_thread")]
async fn every_offset_is_a_row_or_a_dead_letter_and_the_report_says_so() {
    let house = House::new(3).await;
    let mut ends = [0; 3];
    for partition in 0..3 {
        ends[partition as usize] = send_mixed(&house, partition, 4 + partition as usize).await;
    }
    let mut job = house.start(house.options());
    job.consumed(&ends).await;
    let report = job.stop().await;
    let topic = &report.topics[TOPIC];
    assert_eq!((topic.rows, topic.dead_letters, topic.commits, report.uncommitted), (300, 15, 3, 0));
    let content = house.exact(&ends).await;
    assert_eq!(content.dead.len(), 15);
    assert_eq!(content.hours["2026/month=12/day=31/hour=23"], 150);
    assert_eq!(content.hours["2027/month=01/day=01/hour=00"], 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_any_side_effect_loses_and_doubles_nothing() {
    let house = House::new(1).await;
    let mut end = 0;
    for step in [Step::Data, Step::DeadLetters, Step::Log, Step::Offsets, Step::Watermark] {
        // Once everything is read, the watermark moves once.
        let last = if step == Step::Watermark { 0 } else { 1 };
        for nth in 0..=last {
            end += send_mixed(&house, 0, 2).await;
            house.advance(TimeDelta::minutes(1));
            let calls = AtomicUsize::new(0);
            let before_step: stream::BeforeStep = Arc::new(move |at: Step, _: &str, _: i32| {
                at != step || calls.fetch_add(1, Ordering::SeqCst) != nth
            });
            // Seven divides what was sent: all of it is rolled without the clock.
            let options = small_rolls(&house, 7);
            let crashing = house.start(Options { before_step: Some(before_step), ..options.clone() });
            let error = crashing.error().await;
            assert!(matches!(error, Error::StoppedBefore { step: at, .. } if at == step), "{error}");
            let mut job = house.start(options);
            job.committed(&[end]).await;
            job.stop().await;
            house.exact(&[end]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rival_writers_of_one_partition_fence_each_other_and_the_lake_stays_exact() {
    let house = House::new(2).await;
    let options =
        |group: &str| Options { group: group.into(), writer: group.into(), ..small_rolls(&house, 35) };
    let mut jobs = [house.start(options("a")), house.start(options("b"))];
    let mut ends = [0; 2];
    for _ in 0..4 {
        for partition in 0..2 {
            ends[partition as usize] += send_mixed(&house, partition, 5).await;
        }
        for job in &mut jobs {
            job.consumed(&ends).await;
        }
        house.advance(TimeDelta::minutes(3));
        for job in &mut jobs {
            job.committed(&ends).await;
        }
    }
    let mut rows = 0;
    for job in jobs {
        rows += job.stop().await.topics[TOPIC].rows;
    }
    let content = house.exact(&ends).await;
    let found: usize = content.offsets.values().map(Vec::len).sum();
    assert_eq!(rows, found as u64, "each row was committed by one of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_change_hands_with_what_is_buffered_written_first() {
    let house = House::new(2).await;
    let mut ends = [0; 2];
    for partition in 0..2 {
        ends[partition as usize] += send_mixed(&house, partition, 5).await;
    }
    let mut first = house.start(house.options());
    first.consumed(&ends).await;
    let mut second = house.start(house.options());
    let owns = |count| move |status: &stream::Status| status.topics[TOPIC].partitions.len() == count;
    second.until("the second member has a partition", owns(1)).await;
    let status = first.until("the first member kept one", owns(1)).await;
    assert_eq!(status.topics[TOPIC].committed.commits, 1, "the partition given up was written");
    for partition in 0..2 {
        ends[partition as usize] += send_mixed(&house, partition, 5).await;
    }
    first.stop().await;
    second.until("the second member has both", owns(2)).await;
    second.consumed(&ends).await;
    second.stop().await;
    house.exact(&ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_is_waited_for() {
    let mut house = House::new(1).await;
    let mut end = send_mixed(&house, 0, 5).await;
    let mut job = house.start(house.options());
    job.consumed(&[end]).await;
    house.stop_broker().await;
    let status = job.until("degraded", |status| status.state == State::Degraded).await;
    assert!(status.error.unwrap().contains(&house.brokers), "the broker is named");
    house.advance(TimeDelta::minutes(3));
    job.committed(&[end]).await;
    house.start_broker().await;
    end += send_mixed(&house, 0, 5).await;
    job.until("well again", |status| status.state == State::Running).await;
    job.consumed(&[end]).await;
    job.stop().await;
    house.exact(&[end]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_cannot_be_written_pauses_reading_and_loses_nothing() {
    let house = House::new(1).await;
    let in_the_way = std::path::Path::new(&house.lake_url).join("events");
    std::fs::write(&in_the_way, b"").unwrap();
    let mut end = send_mixed(&house, 0, 10).await;
    let mut job = house.start(Options { memory_limit_bytes: 2000, ..small_rolls(&house, 35) });
    let status = job.until("paused", |status| status.paused && status.state == State::Degraded).await;
    assert!(status.error.unwrap().contains("events/listen_events"), "the path is named");
    end += send_mixed(&house, 0, 5).await;
    std::fs::remove_file(&in_the_way).unwrap();
    house.advance(TimeDelta::minutes(1));
    job.consumed(&[end]).await;
    house.advance(TimeDelta::minutes(5));
    let status = job.committed(&[end]).await;
    assert_eq!((status.state, status.error, status.paused), (State::Running, None, false));
    job.stop().await;
    house.exact(&[end]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_aborted_transactions_are_skipped_and_counted() {
    let house = House::new(1).await;
    let producer: FutureProducer = client(&house.brokers)
        .set("transactional.id", "t")
        .set("transaction.timeout.ms", "30000")
        .create()
        .unwrap();
    let wait = Duration::from_secs(20);
    let blocking = producer.clone();
    tokio::task::spawn_blocking(move || blocking.init_transactions(wait).unwrap()).await.unwrap();
    for commit in [true, false, true] {
        producer.begin_transaction().unwrap();
        for _ in 0..5 {
            let payload = event("2027-01-01T00:00:00Z");
            producer
                .send(FutureRecord::to(TOPIC).partition(0).key("k").payload(&payload), wait)
                .await
                .unwrap();
        }
        let ending = producer.clone();
        tokio::task::spawn_blocking(move || {
            if commit {
                ending.commit_transaction(wait).unwrap()
            } else {
                ending.abort_transaction(wait).unwrap()
            }
        })
        .await
        .unwrap();
    }
    // Three times five records and a control record; the last control record is covered with what follows it.
    house.send_events(0, 1, "2027-01-01T00:00:00Z").await;
    let mut job = house.start(house.options());
    job.consumed(&[19]).await;
    let report = job.stop().await;
    assert_eq!((report.topics[TOPIC].rows, report.topics[TOPIC].skipped), (11, 8));
    house.exact(&[19]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_lost_by_retention_end_the_job_or_are_recorded_as_skipped() {
    let house = House::new(1).await;
    let mut end = send_mixed(&house, 0, 2).await;
    let mut job = house.start(house.options());
    job.consumed(&[end]).await;
    job.stop().await;
    end += send_mixed(&house, 0, 2).await;
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(TOPIC, 0, Offset::Offset(end - 10)).unwrap();
    house.admin().delete_records(&before, &AdminOptions::new()).await.unwrap();

    let error = house.start(house.options()).error().await;
    assert!(matches!(error, Error::DataLoss { next: 42, low: 74, .. }), "{error}");
    assert!(error.to_string().contains("skip-and-record"));

    let mut job = house.start(Options { on_data_loss: OnDataLoss::SkipAndRecord, ..house.options() });
    job.consumed(&[end]).await;
    let report = job.stop().await;
    assert_eq!(report.topics[TOPIC].skipped, 32);
    house.exact(&[end]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_recreated_is_refused() {
    let house = House::new(1).await;
    let end = send_mixed(&house, 0, 2).await;
    let mut job = house.start(house.options());
    job.consumed(&[end]).await;
    job.stop().await;
    let other = House::new(1).await;
    let error = house.start(Options { kafka: (&other.brokers).into(), ..house.options() }).error().await;
    assert!(matches!(error, Error::Recreated { next: 42, high: 0, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_say_where_partitions_begin_and_end() {
    let house = House::new(2).await;
    house.send_events(1, 7, "2027-01-01T00:00:00Z").await;
    let found = stream::offsets(&house.brokers.as_str().into(), &[TOPIC.to_owned(), "absent".to_owned()])
        .await
        .unwrap();
    let ends: Vec<(i64, i64)> =
        found[TOPIC].iter().map(|partition| (partition.low, partition.high)).collect();
    assert_eq!((ends, found["absent"].len()), (vec![(0, 0), (0, 7)], 0));
}
