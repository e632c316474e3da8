//! Up to which instant the lake is complete: by the source's word, or guessed without one.
#![allow(clippy::unwrap_used)]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use stream::{Options, Status};
use support::{House, TOPIC, at};

fn watermark(status: &Status) -> Option<DateTime<Utc>> {
    status.topics.get(TOPIC).and_then(|topic| topic.watermark)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_the_source_closes_is_written_at_once_and_idle_partitions_follow() {
    let house = House::new(3).await;
    house.create_topic("watermarks", 1).await;
    house.send_events(0, 30, "2027-01-01T09:00:00Z").await;
    house.state_progress("2027-01-01T10:00:00Z", &[30, 0, 0]).await;
    // The clock stands still: only the statement can have caused the flush.
    let mut job = house.start(house.options());
    let expected = Some(at("2027-01-01T10:00:00Z"));
    job.until("ten o'clock", |status| watermark(status) == expected).await;
    assert_eq!(house.lake().watermark(TOPIC).await.unwrap(), expected);
    house.exact(&[30, 0, 0]).await;

    house.send_events(0, 5, "2027-01-01T10:00:00Z").await;
    job.consumed(&[35, 0, 0]).await;
    house.state_progress("2027-01-01T11:00:00Z", &[35, 0, 0]).await;
    let expected = Some(at("2027-01-01T11:00:00Z"));
    job.until("eleven o'clock", |status| watermark(status) == expected).await;
    job.stop().await;
    house.exact(&[35, 0, 0]).await;
    assert_eq!(house.lake().watermark(TOPIC).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_not_reached_moves_nothing() {
    let house = House::new(1).await;
    house.create_topic("watermarks", 1).await;
    house.send_events(0, 10, "2027-01-01T09:00:00Z").await;
    house.state_progress("2027-01-01T10:00:00Z", &[10]).await;
    house.state_progress("2027-01-01T11:00:00Z", &[11]).await;
    let mut job = house.start(house.options());
    job.until("ten o'clock", |status| watermark(status) == Some(at("2027-01-01T10:00:00Z"))).await;
    house.send_events(0, 1, "2027-01-01T10:59:59Z").await;
    job.until("eleven o'clock", |status| watermark(status) == Some(at("2027-01-01T11:00:00Z"))).await;
    job.stop().await;
    house.exact(&[11]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watermarks_topic_that_comes_later_is_found() {
    let house = House::new(1).await;
    house.send_events(0, 3, "2027-01-01T09:00:00Z").await;
    let mut job = house.start(house.options());
    let status = job.consumed(&[3]).await;
    assert_eq!(watermark(&status), None, "nobody said anything");
    house.create_topic("watermarks", 1).await;
    house.state_progress("2027-01-01T10:00:00Z", &[3]).await;
    job.until("ten o'clock", |status| watermark(status) == Some(at("2027-01-01T10:00:00Z"))).await;
    job.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_topic_that_comes_later_is_found() {
    let house = House::new(1).await;
    let mut options = house.options();
    options.topics[0].name = "status_change_events".into();
    let mut job = house.start(options);
    job.until("waits for the topic", |status| {
        status.error.as_ref().is_some_and(|e| e.contains("does not exist"))
    })
    .await;
    house.create_topic("status_change_events", 1).await;
    house.send("status_change_events", 0, Some(support::event("2027-01-01T09:00:00Z").as_bytes())).await;
    let read =
        |status: &Status| status.topics["status_change_events"].buffered_rows == 1 && status.error.is_none();
    job.until("its record is read", read).await;
    job.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_row_goes_to_its_own_hour_and_is_counted() {
    let house = House::new(1).await;
    house.create_topic("watermarks", 1).await;
    house.send_events(0, 3, "2027-01-01T09:00:00Z").await;
    house.state_progress("2027-01-01T10:00:00Z", &[3]).await;
    let mut job = house.start(house.options());
    job.until("ten o'clock", |status| watermark(status) == Some(at("2027-01-01T10:00:00Z"))).await;
    let before = house.lake().hour(TOPIC, at("2027-01-01T09:00:00Z")).await.unwrap();
    house.send_events(0, 1, "2027-01-01T09:30:00Z").await;
    job.consumed(&[4]).await;
    let report = job.stop().await;
    assert_eq!(report.topics[TOPIC].late, 1);
    let after = house.lake().hour(TOPIC, at("2027-01-01T09:00:00Z")).await.unwrap();
    assert_eq!((before.rows, after.rows), (3, 4));
    assert_ne!(before.digest, after.digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_source_a_partition_read_to_its_end_is_complete_up_to_its_lateness() {
    let house = House::new(2).await;
    house.send_events(0, 3, "2027-01-01T09:00:00Z").await;
    let options = Options { watermarks_topic: None, ..house.options() };
    let mut job = house.start(options.clone());
    job.consumed(&[3, 0]).await;
    let idle =
        |status: &Status| status.topics[TOPIC].partitions.get(&1).and_then(|partition| partition.watermark);
    let lateness = TimeDelta::seconds(60);
    job.until("the empty one", |status| idle(status) == Some(at("2027-01-01T12:00:00Z") - lateness)).await;
    house.advance(TimeDelta::minutes(5));
    job.committed(&[3, 0]).await;
    let expected = Some(at("2027-01-01T12:05:00Z") - lateness);
    job.until("both", |status| watermark(status) == expected).await;
    job.stop().await;
    assert_eq!(house.lake().watermark(TOPIC).await.unwrap(), expected);

    // A clock that went back takes no watermark with it.
    house.advance(TimeDelta::hours(-3));
    let mut job = house.start(options);
    let status = job.until("assigned", |status| status.topics[TOPIC].partitions.len() == 2).await;
    assert_eq!(watermark(&status), expected);
    job.stop().await;
    assert_eq!(house.lake().watermark(TOPIC).await.unwrap(), expected);
}
