//! Lines of attempts on their way to the store, in batches, while the attempts run.
//!
//! A line is kept until the store has it. When there are too many (the store is away, or a task writes faster than it can take), the
//! newest are dropped and counted, and a line in the log says how many. All lines of an attempt are stored before its end is reported.

use crate::Result;
use crate::bell::Bell;
use crate::mask::{Mask, cut, without_nul};
use crate::node::Node;
use crate::rounds::{Again, Round};
use crate::rows::Rows;
use crate::stats::Stats;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::Clock;
use model::task::Stream;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::logs::LogLine;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;
const BATCH_LINES: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
/// A batch that is not full waits so long for more.
const LINGER: Duration = Duration::from_millis(100);
/// Of one attempt, waiting for the store.
const ATTEMPT_LINES_MAX: usize = 20_000;
const ATTEMPT_BYTES_MAX: usize = 16 << 20;
/// Of all attempts together.
const NODE_BYTES_MAX: usize = 64 << 20;
/// A single line that the store refuses so often, while it takes other things, is given up.
const REFUSALS_MAX: u32 = 20;

#[derive(Clone)]
pub(crate) struct LogShip(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
    mask: Mask,
    bell: Bell,
    queue: Mutex<Queue>,
    /// Rung for all who wait for a flush.
    shipped: Notify,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<LogLine>,
    bytes: usize,
    attempts: HashMap<i64, Waiting>,
    /// When the first of `lines` came; somebody waiting for a flush sets it back.
    due: Option<Instant>,
}

/// One attempt's part in the queue.
#[derive(Default)]
struct Waiting {
    next_seq: i32,
    lines: usize,
    bytes: usize,
    /// Since the last note about it.
    dropped: u64,
    /// It has ended: forgotten when its last line is stored.
    closed: bool,
}

impl LogShip {
    pub fn new(clock: Arc<dyn Clock>, stats: Arc<Stats>, mask: Mask, bell: Bell) -> Self {
        let (queue, shipped) = (Mutex::default(), Notify::new());
        LogShip(Arc::new(Inner { clock, stats, mask, bell, queue, shipped }))
    }

    pub fn open(&self, attempt_id: i64) {
        self.queue().attempts.entry(attempt_id).or_default();
    }

    /// What is written from now on (by a thread that did not stop) is counted and dropped.
    pub fn close(&self, attempt_id: i64) {
        let mut queue = self.queue();
        if let Some(waiting) = queue.attempts.get_mut(&attempt_id) {
            waiting.closed = true;
            if waiting.lines == 0 {
                queue.attempts.remove(&attempt_id);
            }
        }
    }

    pub fn log(&self, attempt_id: i64, stream: Stream, text: String) {
        let at = self.0.clock.now();
        let text = self.masked(text);
        let mut queue = self.queue();
        let mut dropped = 0;
        for line in text.split('\n') {
            let line = cut(line.trim_end_matches('\r').to_owned(), LINE_BYTES_MAX);
            dropped += u64::from(!queue.push(attempt_id, at, stream, line));
        }
        let first = queue.due.is_none() && !queue.lines.is_empty();
        if first {
            queue.due = Some(Instant::now() + LINGER);
        }
        let full = queue.lines.len() == BATCH_LINES;
        drop(queue);
        self.0.stats.lines_dropped.fetch_add(dropped, Relaxed);
        if first || full {
            self.0.bell.ring();
        }
    }

    /// Hides secrets and what Postgres does not store.
    pub fn masked(&self, text: String) -> String {
        self.0.mask.apply(without_nul(text))
    }

    /// Waits until the store has all lines of the attempt.
    pub async fn flush(&self, attempt_id: i64) {
        loop {
            let shipped = self.0.shipped.notified();
            tokio::pin!(shipped);
            shipped.as_mut().enable();
            {
                let mut queue = self.queue();
                let at = self.0.clock.now();
                queue.note_dropped(attempt_id, at);
                if queue.attempts.get(&attempt_id).is_none_or(|waiting| waiting.lines == 0) {
                    return;
                }
                queue.due = Some(Instant::now());
            }
            self.0.bell.ring();
            shipped.await;
        }
    }

    /// Waits until nothing is left to ship.
    pub async fn flush_all(&self) {
        loop {
            let shipped = self.0.shipped.notified();
            tokio::pin!(shipped);
            shipped.as_mut().enable();
            {
                let mut queue = self.queue();
                if queue.lines.is_empty() {
                    return;
                }
                queue.due = Some(Instant::now());
            }
            self.0.bell.ring();
            shipped.await;
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.queue.lock().expect("no holder panics")
    }
}

impl Queue {
    /// `false`: dropped.
    fn push(&mut self, attempt_id: i64, at: DateTime<Utc>, stream: Stream, line: String) -> bool {
        let node_full = self.bytes + line.len() > NODE_BYTES_MAX;
        let Some(waiting) = self.attempts.get_mut(&attempt_id).filter(|waiting| !waiting.closed) else {
            return false;
        };
        let attempt_full = waiting.lines >= ATTEMPT_LINES_MAX
            || waiting.bytes + line.len() > ATTEMPT_BYTES_MAX
            || waiting.next_seq == i32::MAX;
        if node_full || attempt_full {
            waiting.dropped += 1;
            return false;
        }
        self.note_dropped(attempt_id, at);
        self.append(attempt_id, at, stream, line);
        true
    }

    fn append(&mut self, attempt_id: i64, at: DateTime<Utc>, stream: Stream, line: String) {
        let Some(waiting) = self.attempts.get_mut(&attempt_id) else { return };
        let seq = waiting.next_seq;
        waiting.next_seq = waiting.next_seq.saturating_add(1);
        waiting.lines += 1;
        waiting.bytes += line.len();
        self.bytes += line.len();
        self.lines.push_back(LogLine { attempt_id, seq, at, stream: name_of(stream), line });
    }

    /// Says in the log itself what is missing from it.
    fn note_dropped(&mut self, attempt_id: i64, at: DateTime<Utc>) {
        let Some(waiting) = self.attempts.get_mut(&attempt_id) else { return };
        let dropped = std::mem::take(&mut waiting.dropped);
        if dropped > 0 {
            let lines = if dropped == 1 { "line" } else { "lines" };
            let note = format!("{dropped} {lines} dropped: written faster than they could be stored");
            self.append(attempt_id, at, Stream::System, note);
        }
    }

    fn batch(&self, lines_max: usize) -> Vec<LogLine> {
        let mut bytes = 0;
        let fits = |line: &&LogLine| {
            bytes += line.line.len();
            bytes <= BATCH_BYTES.max(line.line.len())
        };
        self.lines.iter().take(lines_max).take_while(fits).cloned().collect()
    }

    /// Forgets the first `count` lines, which the store has now, or never will.
    fn advance(&mut self, count: usize) {
        for line in self.lines.drain(..count) {
            self.bytes -= line.line.len();
            if let Some(waiting) = self.attempts.get_mut(&line.attempt_id) {
                waiting.lines -= 1;
                waiting.bytes -= line.line.len();
                if waiting.closed && waiting.lines == 0 {
                    self.attempts.remove(&line.attempt_id);
                }
            }
        }
        self.due = (!self.lines.is_empty()).then(|| self.due.unwrap_or_else(Instant::now));
    }
}

fn name_of(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::System => "system",
    }
}

/// Takes batches from the queue to the store, one at a time.
pub(crate) struct Shipping {
    ship: LogShip,
    store: Arc<dyn Rows>,
    node: Arc<Node>,
    /// Halved with each refusal, so that one bad line does not hold up the others for ever.
    lines_max: usize,
    refused: Option<(u32, DateTime<Utc>)>,
}

impl Shipping {
    pub fn new(ship: LogShip, store: Arc<dyn Rows>, node: Arc<Node>) -> Self {
        Shipping { ship, store, node, lines_max: BATCH_LINES, refused: None }
    }

    fn stored(&mut self, count: usize) {
        self.lines_max = BATCH_LINES;
        self.refused = None;
        self.ship.0.stats.lines_shipped.fetch_add(count as u64, Relaxed);
        self.ship.queue().advance(count);
        self.ship.0.shipped.notify_waiters();
    }

    /// Drops the line in front if it is the line's fault: alone refused again and again while the store answers heartbeats.
    fn refused(&mut self, count: usize) {
        self.lines_max = (count / 2).max(1);
        let (times, since) = self.refused.unwrap_or((0, self.ship.0.clock.now()));
        self.refused = Some((times + 1, since));
        if count == 1 && times + 1 >= REFUSALS_MAX && self.node.confirmed_since(since) {
            self.refused = None;
            self.ship.0.stats.lines_dropped.fetch_add(1, Relaxed);
            let mut queue = self.ship.queue();
            let line = queue.lines.front().map(|line| (line.attempt_id, line.seq));
            if let Some((attempt_id, seq)) = line {
                warn!(attempt_id, seq, "the store refuses this log line; it is dropped");
                queue.attempts.get_mut(&attempt_id).into_iter().for_each(|waiting| waiting.dropped += 1);
            }
            queue.advance(1);
            drop(queue);
            self.ship.0.shipped.notify_waiters();
        }
    }
}

#[async_trait]
impl Round for Shipping {
    const NAME: &'static str = "logship";

    async fn tick(&mut self) -> Result<Again> {
        let batch = {
            let queue = self.ship.queue();
            let wait = queue.due.map(|due| due.saturating_duration_since(Instant::now()));
            match wait {
                None => return Ok(Again::Later),
                Some(wait) if !wait.is_zero() && queue.lines.len() < BATCH_LINES => {
                    return Ok(Again::In(wait));
                }
                Some(_) => queue.batch(self.lines_max),
            }
        };
        match self.store.append_logs(&batch).await {
            Ok(()) => {
                self.stored(batch.len());
                Ok(Again::Now)
            }
            Err(error) => {
                self.refused(batch.len());
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::FixedClock;

    fn ship() -> LogShip {
        let clock = Arc::new(FixedClock::at(DateTime::UNIX_EPOCH));
        LogShip::new(
            clock,
            Arc::default(),
            Mask::of(&[("a".into(), "s3cret".into())].into()),
            Bell::default(),
        )
    }

    fn shown(ship: &LogShip) -> Vec<(i32, String)> {
        ship.queue().lines.iter().map(|line| (line.seq, line.line.clone())).collect()
    }

    #[test]
    fn text_becomes_numbered_lines_without_secrets() {
        let ship = ship();
        ship.open(1);
        ship.log(1, Stream::Stdout, "a\r\nthe s3cret".into());
        ship.log(1, Stream::Stdout, "nul\0".into());
        let expected =
            [(0, "a"), (1, "the ***"), (2, "nul\u{fffd}")].map(|(seq, text)| (seq, text.to_owned()));
        assert_eq!(shown(&ship), expected);
    }

    #[test]
    fn too_long_a_line_is_cut_with_a_note() {
        let ship = ship();
        ship.open(1);
        ship.log(1, Stream::Stdout, "x".repeat(LINE_BYTES_MAX + 5));
        assert!(shown(&ship)[0].1.ends_with("x ... [5 bytes cut]"));
    }

    #[test]
    fn lines_beyond_the_bound_are_counted_and_the_log_says_so() {
        let ship = ship();
        ship.open(1);
        ship.open(2);
        for _ in 0..ATTEMPT_LINES_MAX + 3 {
            ship.log(1, Stream::Stdout, "x".into());
        }
        ship.log(2, Stream::Stdout, "the other attempt is not touched".into());
        assert_eq!(ship.0.stats.snapshot().lines_dropped, 3);
        ship.queue().advance(10);
        ship.log(1, Stream::Stdout, "again".into());
        let lines = shown(&ship);
        let last: Vec<&str> = lines[lines.len() - 2..].iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(last, ["3 lines dropped: written faster than they could be stored", "again"]);
    }

    #[test]
    fn a_closed_attempt_takes_no_more_lines_and_is_forgotten_when_shipped() {
        let ship = ship();
        ship.open(1);
        ship.log(1, Stream::Stdout, "in time".into());
        ship.close(1);
        ship.log(1, Stream::Stdout, "late".into());
        assert_eq!(shown(&ship), [(0, "in time".to_owned())]);
        assert_eq!(ship.0.stats.snapshot().lines_dropped, 1);
        ship.queue().advance(1);
        assert!(ship.queue().attempts.is_empty());
    }

    #[tokio::test]
    async fn a_flush_without_lines_does_not_wait() {
        let ship = ship();
        ship.open(1);
        ship.flush(1).await;
        ship.flush_all().await;
    }
}
