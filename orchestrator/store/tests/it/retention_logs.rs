//! Old log lines: in files of the archive, still read, and none lost or doubled wherever it is broken off.

use crate::retention::pass;
use crate::support::{World, now, world};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use model::archive::Archive;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use store::logs::LogLine;
use store::retention::{Mode, Policy, Position};
use store::{Error, Store};

/// Files in memory. After so many calls, none is answered any more: the process is dead.
struct Files {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    calls_left: AtomicI64,
    /// Whether the last call before the end still takes effect.
    late: bool,
}

impl Files {
    fn new() -> Arc<Files> {
        Arc::new(Files { files: Mutex::default(), calls_left: AtomicI64::new(i64::MAX), late: false })
    }

    /// `true`: this call is the last one, and its answer is lost.
    fn call(&self) -> Result<bool, String> {
        let left = self.calls_left.fetch_sub(1, Ordering::SeqCst);
        if left <= 0 { Err("no answer".into()) } else { Ok(left == 1) }
    }

    fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }
}

#[async_trait]
impl Archive for Files {
    fn root(&self) -> &str {
        "memory://test"
    }

    async fn put(&self, name: &str, content: Vec<u8>) -> Result<(), String> {
        let last = self.call()?;
        if !last || self.late {
            self.files.lock().unwrap().insert(name.into(), content);
        }
        if last { Err("no answer".into()) } else { Ok(()) }
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if self.call()? { Err("no answer".into()) } else { Ok(self.files.lock().unwrap().get(name).cloned()) }
    }

    async fn delete(&self, name: &str) -> Result<(), String> {
        self.call()?;
        self.files.lock().unwrap().remove(name);
        Ok(())
    }
}

fn policy() -> Policy {
    Policy { logs_days: 30, log_archive_days: 365, ..Policy::never() }
}

fn lines(attempt_id: i64, seqs: std::ops::Range<i32>, at: DateTime<Utc>) -> Vec<LogLine> {
    let line = |seq| LogLine {
        attempt_id,
        seq,
        at: at + TimeDelta::seconds(i64::from(seq % 60)),
        stream: "stdout",
        line: format!("line {seq} of {attempt_id} ✓"),
    };
    seqs.map(line).collect()
}

/// Two old days and today; attempt 1 begins in the first and ends today.
async fn written(world: &World) {
    let (first, second) = (now() - TimeDelta::days(40), now() - TimeDelta::days(35));
    for batch in [
        lines(1, 0..100, first),
        lines(2, 0..10, first),
        lines(1, 100..200, second),
        lines(3, 0..7, second),
        lines(1, 200..250, now()),
        lines(4, 0..3, now()),
    ] {
        world.store.append_logs(&batch).await.unwrap();
    }
}

async fn days(world: &World) -> i64 {
    world.count("select count(*) from pg_inherits where inhparent = 'logs'::regclass").await
}

/// Every line once, in order, also when read page by page and from the end.
async fn assert_whole(store: &Store) {
    for (attempt, count) in [(1, 250), (2, 10), (3, 7), (4, 3)] {
        let mut seqs = Vec::new();
        let mut after = -1;
        loop {
            let page = store.read_logs(attempt, after, 33).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 33);
            after = last.seq;
            assert!(page.iter().all(|line| line.line == format!("line {} of {attempt} ✓", line.seq)));
            seqs.extend(page.iter().map(|line| line.seq));
        }
        assert_eq!(seqs, (0..count).collect::<Vec<_>>(), "attempt {attempt}");
        let tail = store.log_tail(attempt, 60).await.unwrap();
        let from = (count - 60).max(0);
        assert_eq!(
            tail.iter().map(|line| line.seq).collect::<Vec<_>>(),
            (from..count).collect::<Vec<_>>(),
            "tail of {attempt}"
        );
    }
    assert!(store.read_logs(99, -1, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn old_days_are_dropped_and_their_lines_still_read() {
    let mut world = world().await;
    let files = Files::new();
    world.store = world.store.clone().with_archive(files.clone());
    written(&world).await;
    let before = days(&world).await;
    let (would, _) = pass(&world, &policy(), Mode::Count).await;
    // Each day has a spare one after it.
    assert_eq!((would["log_days"], would["log_lines"]), (4, 217));
    assert_eq!(days(&world).await, before);
    let (pruned, _) = pass(&world, &policy(), Mode::Remove).await;
    assert_eq!((pruned["log_days"], pruned["log_lines"], pruned["log_files_written"]), (4, 217, 2));
    assert_eq!(days(&world).await, 2, "today and tomorrow");
    assert_eq!(world.count("select count(*) from logs").await, 53);
    assert_whole(&world.store).await;
    let (again, _) = pass(&world, &policy(), Mode::Remove).await;
    assert!(again.is_empty(), "{again:?}");

    // A file is gzip of JSON lines, named by its day.
    let name = &files.names()[0];
    assert!(name.starts_with("2026/01/20/00001-") && name.ends_with(".jsonl.gz"), "{name}");
    // A process without the archive says where the lines are; so does one that has another one, or finds the file changed.
    let bare = Store::connect(world.database.url(), 2).await.unwrap();
    let said = bare.read_logs(2, -1, 10).await.unwrap_err().to_string();
    assert!(said.contains("memory://test") && said.contains("log_archive"), "{said}");
    let said = bare.clone().with_archive(Files::new()).read_logs(2, -1, 10).await.unwrap_err().to_string();
    assert!(said.contains(name.as_str()) && said.contains("set log_archive"), "{said}");
    files.files.lock().unwrap().get_mut(name).unwrap()[20] ^= 1;
    let said = bare.with_archive(files.clone()).read_logs(2, -1, 10).await.unwrap_err().to_string();
    assert!(said.contains("changed"), "{said}");
}

#[tokio::test]
async fn wherever_it_is_killed_no_line_is_lost_or_doubled() {
    for late in [false, true] {
        for calls in 1..=5 {
            let mut world = world().await;
            let files = Arc::new(Files { files: Mutex::default(), calls_left: AtomicI64::new(calls), late });
            let store = world.store.clone();
            written(&world).await;
            world.store = store.clone().with_archive(files.clone());
            let mut at = Some(Position::default());
            // Until the archive dies; then nothing more is done here.
            while let Some(position) = at {
                let step = world.store.prune_step(&policy(), &position, Mode::Remove, now()).await.unwrap();
                at = if step.left.is_some() { None } else { step.next };
            }
            files.calls_left.store(i64::MAX, Ordering::SeqCst);
            // A new process finds everything, and goes on.
            let fresh = store.clone().with_archive(files.clone());
            assert_whole(&fresh).await;
            world.store = fresh;
            pass(&world, &policy(), Mode::Remove).await;
            assert_whole(&world.store).await;
            assert_eq!(days(&world).await, 2, "late {late}, {calls} calls");
        }
    }
}

#[tokio::test]
async fn a_pass_may_end_after_any_step() {
    let mut world = world().await;
    world.store = world.store.clone().with_archive(Files::new());
    written(&world).await;
    let mut steps = 0;
    loop {
        let mut at = Position::default();
        let step = loop {
            let step = world.store.prune_step(&policy(), &at, Mode::Remove, now()).await.unwrap();
            match step.next.clone() {
                Some(next) if step.pruned.is_empty() => at = next,
                _ => break step,
            }
        };
        assert_whole(&world.store).await;
        if step.pruned.is_empty() {
            break;
        }
        steps += 1;
    }
    assert_eq!(steps, 6, "two files, four days");
}

#[tokio::test]
async fn lines_that_come_late_are_archived_too() {
    let mut world = world().await;
    world.store = world.store.clone().with_archive(Files::new());
    written(&world).await;
    let mut at = Position::default();
    loop {
        let step = world.store.prune_step(&policy(), &at, Mode::Remove, now()).await.unwrap();
        at = step.next.expect("a file is written first");
        if step.pruned.contains_key("log_files_written") {
            break;
        }
    }
    // Its day was written; a node that was cut off sends the rest. It sorts before what was written.
    let early = LogLine {
        attempt_id: 0,
        seq: 0,
        at: now() - TimeDelta::days(40),
        stream: "system",
        line: "late".into(),
    };
    world.store.append_logs(&[early]).await.unwrap();
    pass(&world, &policy(), Mode::Remove).await;
    assert_whole(&world.store).await;
    assert_eq!(world.store.read_logs(0, -1, 9).await.unwrap().len(), 1);
    assert_eq!(days(&world).await, 2);
}

#[tokio::test]
async fn long_days_become_several_files_of_bounded_size() {
    let mut world = world().await;
    let files = Files::new();
    world.store = world.store.clone().with_archive(files.clone());
    let day = now() - TimeDelta::days(40);
    // 30 lines of 1 MiB each, and one attempt over several files.
    for seq in 0..30 {
        let line = LogLine { attempt_id: 5, seq, at: day, stream: "stdout", line: "x".repeat(1 << 20) };
        world.store.append_logs(&[line]).await.unwrap();
    }
    let (pruned, _) = pass(&world, &policy(), Mode::Remove).await;
    assert_eq!((pruned["log_files_written"], pruned["log_lines"]), (5, 30));
    let seqs: Vec<i32> = world.store.read_logs(5, 3, 20).await.unwrap().iter().map(|line| line.seq).collect();
    assert_eq!(seqs, (4..24).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_an_archive_old_lines_go_and_the_archive_forgets_as_well() {
    let mut world = world().await;
    let bare = world.store.clone();
    let files = Files::new();
    world.store = bare.clone().with_archive(files.clone());
    written(&world).await;
    pass(&world, &policy(), Mode::Remove).await;
    assert_eq!(files.names().len(), 2);
    let (pruned, _) = pass(&world, &Policy { log_archive_days: 37, ..policy() }, Mode::Remove).await;
    assert_eq!(pruned["log_files"], 1);
    assert_eq!(files.names().len(), 1);
    assert!(world.store.read_logs(2, -1, 9).await.unwrap().is_empty());
    assert_eq!(world.store.read_logs(3, -1, 9).await.unwrap().len(), 7);

    world.store = bare;
    world.store.append_logs(&lines(9, 0..5, now() - TimeDelta::days(31))).await.unwrap();
    let (pruned, _) = pass(&world, &policy(), Mode::Remove).await;
    assert_eq!((pruned["log_days"], pruned["log_lines"]), (1, 5));
    assert!(world.store.read_logs(9, -1, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_reader_in_the_way_is_not_waited_for() {
    let world = world().await;
    written(&world).await;
    let mut tx = world.pool.begin().await.unwrap();
    sqlx::query("select count(*) from logs").execute(&mut *tx).await.unwrap();
    let mut at = Position::default();
    let left = loop {
        let step = world.store.prune_step(&policy(), &at, Mode::Remove, now()).await.unwrap();
        match (step.left, step.next) {
            (Some(left), _) => break left,
            (None, Some(next)) => at = next,
            (None, None) => panic!("nothing was in the way"),
        }
    };
    assert!(left.contains("2026-01-20"), "{left}");
    tx.rollback().await.unwrap();
    pass(&world, &policy(), Mode::Remove).await;
    assert_eq!(days(&world).await, 2);
}

#[tokio::test]
async fn an_archive_that_does_not_answer_stops_nothing_else() {
    let mut world = world().await;
    let files = Arc::new(Files { files: Mutex::default(), calls_left: AtomicI64::new(0), late: false });
    world.store = world.store.clone().with_archive(files);
    written(&world).await;
    let mut at = Some(Position::default());
    let mut left = Vec::new();
    while let Some(position) = at {
        let step = world.store.prune_step(&policy(), &position, Mode::Remove, now()).await.unwrap();
        left.extend(step.left);
        at = step.next;
    }
    assert_eq!(left.len(), 1);
    assert!(left[0].contains("no answer"), "{left:?}");
    assert_eq!(world.count("select count(*) from logs").await, 270);
    assert!(matches!(world.store.read_logs(1, -1, 1).await, Ok(lines) if lines.len() == 1));
    assert!(!matches!(world.store.health(now()).await, Err(Error::Archive { .. })));
}
