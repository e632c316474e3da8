//! The generator against a real broker: exactly once through crashes, one plan, one writer, live without a gap.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use generator::{Ending, Options, Phase, Progress, Topic, count_for_brokers, run, write_files};
use tokio_util::sync::CancellationToken;

use support::{FakeClock, Kafka, Random, Record, at};

const START: &str = "2026-11-16T00:00:00Z";

fn options(prefix: &str, users: u32) -> Options {
    Options {
        users: Some(users),
        seed: Some(42),
        from: Some(at(START)),
        to: Some(at("2026-11-17T12:00:00Z")),
        topic_prefix: prefix.to_owned(),
        ..Options::default()
    }
}

async fn complete(options: &Options, kafka: &Kafka) -> Result<generator::Report, generator::Error> {
    let clock = FakeClock::at("2026-11-20T00:00:00Z");
    run(options.clone(), &kafka.brokers, clock, |_| {}, CancellationToken::new()).await
}

/// Every partition of the four topics, in order.
async fn logs(kafka: &Kafka, prefix: &str) -> Vec<Vec<Record>> {
    let name = |topic: Topic| format!("{prefix}{}", topic.name());
    let places =
        Topic::ALL.into_iter().flat_map(|topic| (0..3).map(move |partition| (name(topic), partition)));
    kafka.read_all(places.collect()).await
}

fn json(record: &Record) -> serde_json::Value {
    serde_json::from_slice(&record.value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_in_kafka_once_keyed_stamped_and_counted() {
    let kafka = Kafka::start().await;
    let options = options("", 2_000);
    let report = complete(&options, &kafka).await.unwrap();
    assert_eq!(
        (report.ending, report.progress.state, report.watermark),
        (Ending::Complete, Phase::Done, options.to)
    );

    let folder = tempfile::tempdir().unwrap();
    write_files(&options, folder.path(), at(START), CancellationToken::new()).await.unwrap();
    let counts = count_for_brokers(&kafka.brokers, &Options::default(), options.to.unwrap()).await.unwrap();
    let logs = logs(&kafka, "").await;
    for (topic, logs) in Topic::ALL.into_iter().zip(logs.chunks(3)) {
        let mut in_kafka: Vec<String> =
            logs.iter().flatten().map(|record| String::from_utf8(record.value.clone()).unwrap()).collect();
        let file = std::fs::read_to_string(folder.path().join(format!("{}.json", topic.name()))).unwrap();
        let mut in_file: Vec<String> = file.lines().map(str::to_owned).collect();
        assert!(!in_file.is_empty(), "{topic:?}");
        in_kafka.sort_unstable();
        in_file.sort_unstable();
        assert!(in_kafka == in_file, "{topic:?}: Kafka and the files hold the same records");
        assert_eq!(report.progress.topics[topic.name()].sent, in_file.len() as u64);

        let mut hours: BTreeMap<DateTime<Utc>, u64> = BTreeMap::new();
        for record in logs.iter().flatten() {
            let event = json(record);
            assert_eq!(event["ts"], record.timestamp);
            let key = event.get("userId").unwrap_or(&event["sessionId"]).to_string();
            assert_eq!(record.key, key.into_bytes());
            let hour = record.timestamp / 3_600_000 * 3_600;
            *hours.entry(DateTime::from_timestamp(hour, 0).unwrap()).or_default() += 1;
        }
        assert_eq!(counts.topics[&topic], hours, "{topic:?}: counted by regeneration");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watermarks_never_go_back_and_cover_what_they_promise() {
    let kafka = Kafka::start().await;
    let options = options("w.", 300);
    complete(&options, &kafka).await.unwrap();
    complete(&Options { to: Some(at("2026-11-18T00:00:00Z")), ..options.clone() }, &kafka).await.unwrap();
    let logs = logs(&kafka, "w.").await;
    let marks = kafka.read("w.watermarks", 0).await;
    assert!(marks.len() >= 36 + 12, "one an hour at least: {}", marks.len());
    let mut last = None;
    for mark in &marks {
        assert_eq!(mark.key, b"generator");
        let mark = json(mark);
        let until: DateTime<Utc> = mark["at"].as_str().unwrap().parse().unwrap();
        assert!(last.is_none_or(|last| until > last), "{until} after {last:?}");
        last = Some(until);
        for (topic, logs) in Topic::ALL.into_iter().zip(logs.chunks(3)) {
            for (partition, log) in logs.iter().enumerate() {
                let end =
                    mark["offsets"][format!("w.{}", topic.name())][partition].as_u64().unwrap() as usize;
                let later = log[end..].iter().all(|record| record.timestamp >= until.timestamp_millis());
                assert!(later, "{topic:?} {partition}: an event before {until} lies at or after {end}");
            }
        }
    }
    assert_eq!(last, Some(at("2026-11-18T00:00:00Z")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_at_any_record_is_continued_byte_for_byte() {
    let kafka = Kafka::start().await;
    complete(&options("whole.", 40), &kafka).await.unwrap();
    let whole = logs(&kafka, "whole.").await;
    let plan = kafka.read("whole.generator_plan", 0).await;
    let records: usize = whole.iter().map(Vec::len).sum();
    assert!(records > 150, "{records}");
    let mut random = Random(2026);
    for case in 0..10 {
        // What a crash leaves is some beginning of each partition, each for itself.
        let prefix = format!("cut{case}.");
        kafka.write(&format!("{prefix}generator_plan"), 1, 0, &plan).await;
        for (i, log) in whole.iter().enumerate() {
            let topic = format!("{prefix}{}", Topic::ALL[i / 3].name());
            let kept = if case == 0 { log.len() } else { random.below(log.len() + 1) };
            kafka.write(&topic, 3, (i % 3) as i32, &log[..kept]).await;
        }
        let resumed = Options { topic_prefix: prefix.clone(), to: options("", 1).to, ..Options::default() };
        let report = complete(&resumed, &kafka).await.unwrap();
        assert!(logs(&kafka, &prefix).await == whole, "case {case}, seed 2026: {report:?}");
        let counted: u64 = report.progress.topics.values().map(|topic| topic.replayed + topic.sent).sum();
        assert_eq!(counted, records as u64, "case {case}, seed 2026");
        assert_eq!(report.progress.events, counted, "case {case}: events are those of all topics");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_cancelled_or_dropped_on_the_way_lose_and_double_nothing() {
    let kafka = Kafka::start().await;
    let long = |prefix: &str| Options { users: Some(3_000), ..options(prefix, 0) };
    complete(&long("whole."), &kafka).await.unwrap();
    let mut cancelled = 0;
    for stop_after in [1_024, 3_072, 7_168] {
        let clock = FakeClock::at("2026-11-20T00:00:00Z").ticking();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let progress = move |progress: Progress| {
            if progress.state == Phase::History && progress.page_views >= stop_after {
                stop.cancel();
            }
        };
        let report = run(long("stop."), &kafka.brokers, clock, progress, cancel).await.unwrap();
        cancelled += u32::from(report.ending == Ending::Cancelled);
        assert!(report.watermark.is_some_and(|at| Some(at) < long("").to), "{:?}", report.watermark);
    }
    assert_eq!(cancelled, 3);
    complete(&long("stop."), &kafka).await.unwrap();
    assert!(logs(&kafka, "stop.").await == logs(&kafka, "whole.").await);

    let (started, mut has_started) = tokio::sync::mpsc::channel(1);
    let progress = move |progress: Progress| {
        if progress.page_views >= 2_048 {
            let _ = started.try_send(());
        }
    };
    let clock = FakeClock::at("2026-11-20T00:00:00Z").ticking();
    tokio::select! {
        result = run(long("drop."), &kafka.brokers, clock, progress, CancellationToken::new()) => drop(result.unwrap()),
        _ = has_started.recv() => {}
    }
    // What was under way may still arrive while we look: then the run refuses, and the next try succeeds.
    let mut tries = 0;
    while let Err(error) = complete(&long("drop."), &kafka).await {
        tries += 1;
        assert!(tries < 50 && error.to_string().contains("still stopping"), "{error}");
    }
    assert!(logs(&kafka, "drop.").await == logs(&kafka, "whole.").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_mode_follows_the_clock_without_a_gap() {
    let kafka = Kafka::start().await;
    let live = Options { continuous: true, to: None, ..options("live.", 1_500) };
    for (begin, end) in
        [("2026-11-16T06:10:00Z", "2026-11-16T09:30:00Z"), ("2026-11-16T10:00:00Z", "2026-11-16T12:20:00Z")]
    {
        let cancel = CancellationToken::new();
        let clock = FakeClock::at(begin).jumping(Duration::from_secs(173)).until(end, cancel.clone());
        let phases = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&phases);
        let progress = move |progress: Progress| seen.lock().unwrap().push(progress.state);
        let report = run(live.clone(), &kafka.brokers, clock.clone(), progress, cancel).await.unwrap();
        assert_eq!(report.ending, Ending::Cancelled);
        assert!(phases.lock().unwrap().contains(&Phase::Live));
        let now = report.watermark.unwrap();
        assert!(
            now <= clock.time() && clock.time() - now < TimeDelta::seconds(400),
            "{now} at {}",
            clock.time()
        );

        let prefix = format!("upto{}.", now.timestamp());
        complete(&Options { to: Some(now), ..options(&prefix, 1_500) }, &kafka).await.unwrap();
        let (live, history) = (logs(&kafka, "live.").await, logs(&kafka, &prefix).await);
        for (live, history) in live.iter().zip(&history) {
            assert!(live.starts_with(history), "everything before the watermark is there");
            let limit = clock.time().timestamp_millis();
            assert!(live.iter().all(|record| record.timestamp <= limit), "nothing comes before its time");
        }
    }
    let marks = kafka.read("live.watermarks", 0).await;
    let times: Vec<i64> = marks.iter().map(|mark| mark.timestamp).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_found_before_it_does_harm() {
    let kafka = Kafka::start().await;
    let options = options("", 100);
    complete(&options, &kafka).await.unwrap();
    let foreign = Record { key: b"1".to_vec(), value: b"{}".to_vec(), timestamp: 1_800_000_000_000 };
    kafka.write("page_view_events", 3, 1, std::slice::from_ref(&foreign)).await;
    let later = Options { to: Some(at("2026-11-18T00:00:00Z")), ..options };
    let message = complete(&later, &kafka).await.unwrap_err().to_string();
    assert!(
        message.contains("holds other events than the plan makes") && message.contains("partition 1"),
        "{message}"
    );
    assert!(message.contains("stands {}") && message.contains("--topic-prefix"), "{message}");

    let live = Options { continuous: true, to: None, topic_prefix: "live.".to_owned(), ..later };
    let cancel = CancellationToken::new();
    let clock = FakeClock::at("2026-11-16T06:00:00Z")
        .jumping(Duration::from_secs(900))
        .until("2026-11-18T00:00:00Z", cancel.clone());
    let writer = kafka.clone();
    let mut written = false;
    let runtime = tokio::runtime::Handle::current();
    let progress = move |progress: Progress| {
        if progress.state == Phase::Live && !written {
            written = true;
            let foreign = foreign.clone();
            runtime.block_on(async { writer.write("live.listen_events", 3, 2, &[foreign]).await });
        }
    };
    let message = run(live, &kafka.brokers, clock, progress, cancel).await.unwrap_err().to_string();
    assert!(
        message.contains("listen_events partition 2") || message.contains("listen_events: partition 2"),
        "{message}"
    );
    assert!(message.contains("another program writes"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_continued_is_refused_with_a_remedy() {
    let kafka = Kafka::start().await;
    let first = Options { partitions: Some(2), ..options("", 20) };
    let report = complete(&first, &kafka).await.unwrap();
    assert_eq!(report.plan.partitions, 2);
    let kafka = &kafka;
    let refused = |options: Options| async move { complete(&options, kafka).await.unwrap_err().to_string() };

    let message = refused(Options { seed: Some(7), ..first.clone() }).await;
    assert!(message.contains("seed is 42 in the plan, but --seed 7 was given"), "{message}");
    let message = refused(Options { partitions: Some(3), ..first.clone() }).await;
    assert!(message.contains("partitions is 2 in the plan, but --partitions 3 was given"), "{message}");
    let message = refused(Options { to: Some(at(START)), ..first.clone() }).await;
    assert!(message.contains("is not after the beginning"), "{message}");

    let record = Record { key: vec![], value: b"{\"ts\":1}".to_vec(), timestamp: 1_800_000_000_000 };
    kafka.write("old.auth_events", 3, 0, std::slice::from_ref(&record)).await;
    let message = refused(Options { topic_prefix: "old.".to_owned(), ..first.clone() }).await;
    assert!(message.contains("topic old.auth_events") && message.contains("there is no plan"), "{message}");
    kafka.write("not.generator_plan", 1, 0, &[record]).await;
    let message = refused(Options { topic_prefix: "not.".to_owned(), ..first }).await;
    assert!(message.contains("its plan has version none"), "{message}");
    let message =
        count_for_brokers(&kafka.brokers, &options("none.", 1), at(START)).await.unwrap_err().to_string();
    assert!(message.contains("none.generator_plan: holds no plan"), "{message}");
}
