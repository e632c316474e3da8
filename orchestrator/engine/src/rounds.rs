//! How every loop turns: tick, then wait for its bell, its next instant or the end. Panics and errors cost a pause, never the loop.
//!
//! Not here: what a tick does. A tick has no input and may be repeated at any time.

use crate::Result;
use crate::bell::Bell;
use crate::realm::within;
use crate::stats::Stats;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::Clock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{error, warn};

#[async_trait]
pub(crate) trait Round: Send + 'static {
    const NAME: &'static str;

    /// Does all that is due now, within limits.
    async fn tick(&mut self) -> Result<Again>;
}

/// When a loop must turn again if nobody rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// A limit was reached and there is more to do.
    Now,
    At(DateTime<Utc>),
    /// Pure waiting, in which no decision hides.
    In(Duration),
    /// Nothing is known to come.
    Later,
}

impl Again {
    pub fn at(instant: Option<DateTime<Utc>>) -> Self {
        instant.map_or(Again::Later, Again::At)
    }
}

/// What surrounds each loop.
#[derive(Clone)]
pub(crate) struct Frame {
    pub clock: Arc<dyn Clock>,
    pub stats: Arc<Stats>,
    pub cancel: CancellationToken,
}

/// The longest pause of any loop, should bell and timer both be silent.
const PAUSE_MAX: Duration = Duration::from_secs(30);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Doubles from 50 ms to five seconds.
pub(crate) fn backoff(failures: u32) -> Duration {
    Duration::from_millis(50 << failures.saturating_sub(1).min(7)).min(BACKOFF_MAX)
}

async fn turn<R: Round>(mut round: R, bell: Bell, frame: Frame) {
    let mut failures = 0;
    while !frame.cancel.is_cancelled() {
        let begun = Instant::now();
        let turned = round.tick().await;
        frame.stats.turned(R::NAME, begun.elapsed());
        let pause = match turned {
            Ok(again) => {
                failures = 0;
                let now = frame.clock.now();
                frame.stats.ticked(R::NAME, now);
                match again {
                    Again::Now => Duration::ZERO,
                    Again::At(at) => (at - now).to_std().unwrap_or_default().min(PAUSE_MAX),
                    Again::In(pause) => pause.min(PAUSE_MAX),
                    Again::Later => PAUSE_MAX,
                }
            }
            Err(error) => {
                failures += 1;
                frame.stats.failed(R::NAME);
                frame.stats.failed_because(R::NAME, &error);
                warn!(loop_name = R::NAME, failures, %error, "a round failed and will be repeated");
                // Rings do not shorten this pause: what failed would only fail more often.
                tokio::select! {
                    biased;
                    () = frame.cancel.cancelled() => return,
                    () = tokio::time::sleep(backoff(failures)) => continue,
                }
            }
        };
        if pause.is_zero() {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            biased;
            () = frame.cancel.cancelled() => return,
            () = bell.rung() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Keeps a loop turning until `frame.cancel`; after a panic a new one is made.
pub(crate) fn supervise<R: Round>(
    tracker: &TaskTracker,
    bell: &Bell,
    frame: &Frame,
    make: impl Fn() -> R + Send + 'static,
) {
    let (bell, frame) = (bell.clone(), frame.clone());
    tracker.spawn(within(async move {
        let mut panics = 0;
        loop {
            let turning =
                AbortOnDropHandle::new(tokio::spawn(within(turn(make(), bell.clone(), frame.clone()))));
            let Err(end) = turning.await else { return };
            panics += 1;
            frame.stats.restarted(R::NAME);
            error!(loop_name = R::NAME, panics, error = %end, "a loop broke and is started again");
            tokio::select! {
                biased;
                () = frame.cancel.cancelled() => return,
                () = tokio::time::sleep(backoff(panics)) => {}
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use model::FixedClock;
    use tokio::sync::mpsc;

    #[test]
    fn backoff_doubles_and_stops_at_five_seconds() {
        assert_eq!(backoff(1), Duration::from_millis(50));
        assert_eq!(backoff(2), Duration::from_millis(100));
        assert_eq!(backoff(1_000), BACKOFF_MAX);
    }

    struct Fragile {
        told: mpsc::Sender<u32>,
        count: Arc<std::sync::atomic::AtomicU32>,
    }

    #[async_trait]
    impl Round for Fragile {
        const NAME: &'static str = "fragile";

        async fn tick(&mut self) -> Result<Again> {
            let count = self.count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            assert!(count != 1, "the second round breaks");
            self.told.send(count).await.ok();
            match count {
                2 => Err(crate::Error::Interrupted("the third round")),
                0 | 3 => Ok(Again::Now),
                _ => Ok(Again::Later),
            }
        }
    }

    #[tokio::test]
    async fn a_loop_survives_panics_and_errors_and_ends_when_told() {
        let frame = Frame {
            clock: Arc::new(FixedClock::at(DateTime::UNIX_EPOCH)),
            stats: Arc::default(),
            cancel: CancellationToken::new(),
        };
        let (told, mut hear) = mpsc::channel(8);
        let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let tracker = TaskTracker::new();
        let bell = Bell::default();
        supervise(&tracker, &bell, &frame, move || Fragile { told: told.clone(), count: count.clone() });
        for expected in [0, 2, 3, 4] {
            assert_eq!(hear.recv().await, Some(expected));
        }
        bell.ring();
        assert_eq!(hear.recv().await, Some(5));
        frame.cancel.cancel();
        tracker.close();
        tracker.wait().await;
        let figures = frame.stats.snapshot().loops["fragile"].clone();
        assert_eq!((figures.restarts, figures.errors), (1, 1));
        assert_eq!(figures.last_tick_at, Some(DateTime::UNIX_EPOCH));
    }
}
