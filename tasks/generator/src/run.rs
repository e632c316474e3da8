//! A run into Kafka: replay what is there, write the history, then go on with the clock.
//!
//! ```text
//! replaying -> history -> live -> done
//!      \-----------\--------\----> cancelled
//! ```
//! The work is one blocking thread: making events is computation, and librdkafka does its own input and output.

use std::sync::Arc;
use std::time::Duration;

use ::kafka::Access;
use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::Error;
use crate::event::Topic;
use crate::kafka::{Cluster, blocking};
use crate::model::{Model, instant, seconds};
use crate::options::Options;
use crate::plan;
use crate::plan_topic;
use crate::report::{Ending, Phase, Progress, Report};
use crate::simulate::Simulation;
use crate::sink::Sink;
use crate::watermark::{self, Watermark};

const HOUR: u32 = 3_600;
/// Events between two looks at clock and cancellation.
const BATCH: u64 = 1_024;
const PROGRESS_EVERY: chrono::TimeDelta = chrono::TimeDelta::milliseconds(500);
/// Longest wait in live mode: the watermark follows the clock this closely.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Writes the planned events into Kafka, exactly once however often it is stopped and started again.
///
/// Cancelling flushes, publishes the watermark and returns. Dropping the future stops the work without that.
///
/// # Errors
/// Wrong options or inputs, a plan or topics that are not ours, Kafka out of reach or refusing.
pub async fn run(
    options: Options,
    kafka: impl Into<Access>,
    clock: impl Clock,
    progress: impl FnMut(Progress) + Send + 'static,
    cancel: CancellationToken,
) -> Result<Report, Error> {
    let cluster = Arc::new(Cluster::connect(kafka.into())?);
    let started = clock.now();
    let (plan, inputs) = plan_topic::agree(&cluster, &options, started).await?;
    let to = plan::end(&options, &inputs, &plan, started)?;
    for topic in Topic::ALL {
        ensure(&cluster, &format!("{}{}", options.topic_prefix, topic.name()), plan.partitions, false)
            .await?;
    }
    ensure(&cluster, &watermark::name(&options.topic_prefix), 1, true).await?;

    let abandoned = CancellationToken::new();
    let _abandoned_when_dropped = abandoned.clone().drop_guard();
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let model = Arc::new(Model::new(&plan, inputs)?);
        let sink =
            Sink::open(Arc::clone(&cluster), Arc::clone(&model), &options.topic_prefix, plan.partitions)?;
        let watermark = Watermark::open(&cluster, &options.topic_prefix)?;
        let mut driver = Driver {
            next_hour: model.from - model.from % HOUR + HOUR,
            simulation: Simulation::new(model),
            sink,
            watermark,
            pace: Pace { since: started, events: 0, reported: started - PROGRESS_EVERY },
            now: started,
            phase: Phase::History,
            to: to.map(seconds),
            continuous: options.continuous,
            event_time: None,
            events: 0,
            clock,
            progress,
            cancel,
            abandoned,
            runtime,
        };
        let ending = driver.drive()?;
        if !driver.abandoned.is_cancelled() {
            driver.finish(ending)?;
        }
        driver.phase = Phase::Done;
        driver.now = driver.clock.now();
        driver.pace = Pace { since: started, events: 0, reported: started };
        let progress = driver.snapshot();
        (driver.progress)(progress.clone());
        Ok(Report { ending, plan, watermark: driver.watermark.last(), progress })
    })
    .await?
}

/// A topic with this many partitions, created if need be.
async fn ensure(cluster: &Arc<Cluster>, topic: &str, partitions: i32, compacted: bool) -> Result<(), Error> {
    let name = topic.to_owned();
    let look = move |cluster: &Cluster| cluster.partitions(&name);
    let mut found = blocking(cluster, look.clone()).await?;
    if found.is_none() {
        cluster.create(topic, partitions, compacted).await?;
        found = blocking(cluster, look).await?;
    }
    match found {
        Some(found) if found == partitions => Ok(()),
        found => Err(Error::Topic {
            topic: topic.to_owned(),
            problem: format!(
                "has {} partitions, but the plan was made for {partitions}, and a user's events must stay in one \
                 partition; use another --topic-prefix or start anew with `streamify up --fresh`",
                found.unwrap_or(0)
            ),
        }),
    }
}

/// For events per second over the last stretch.
struct Pace {
    since: DateTime<Utc>,
    events: u64,
    reported: DateTime<Utc>,
}

struct Driver<C, P> {
    simulation: Simulation,
    sink: Sink,
    watermark: Watermark,
    clock: C,
    progress: P,
    /// Stop, but leave everything in order.
    cancel: CancellationToken,
    /// Stop at once: nobody waits for the result any more.
    abandoned: CancellationToken,
    runtime: Handle,
    /// Exclusive; seconds since 1970.
    to: Option<u32>,
    continuous: bool,
    phase: Phase,
    now: DateTime<Utc>,
    next_hour: u32,
    event_time: Option<u32>,
    events: u64,
    pace: Pace,
}

impl<C: Clock, P: FnMut(Progress)> Driver<C, P> {
    fn drive(&mut self) -> Result<Ending, Error> {
        loop {
            if self.events.is_multiple_of(BATCH) {
                self.look_around()?;
                if self.is_stopped() {
                    return Ok(Ending::Cancelled);
                }
            }
            let next = self.simulation.peek();
            match (next, self.to) {
                (None, Some(_)) => return Ok(Ending::Complete),
                (Some(next), Some(to)) if next >= to => return Ok(Ending::Complete),
                _ => {}
            }
            if self.continuous && !self.sink.replaying() && self.is_ahead(next) {
                self.wait(next)?;
                if self.is_stopped() {
                    return Ok(Ending::Cancelled);
                }
                continue;
            }
            let Some(event) = self.simulation.next() else { continue };
            if event.at >= self.next_hour {
                self.checkpoint(event.at - event.at % HOUR)?;
            }
            self.sink.emit(&event)?;
            self.event_time = Some(event.at);
            self.events += 1;
        }
    }

    fn is_stopped(&self) -> bool {
        self.cancel.is_cancelled() || self.abandoned.is_cancelled()
    }

    /// Whether the clock has yet to reach the next event.
    fn is_ahead(&mut self, next: Option<u32>) -> bool {
        if next.is_some_and(|next| next <= seconds(self.now)) {
            return false;
        }
        self.now = self.clock.now();
        next.is_none_or(|next| next > seconds(self.now))
    }

    /// Every event up to the clock has been sent: says so, and waits for the next one or for the next second.
    fn wait(&mut self, next: Option<u32>) -> Result<(), Error> {
        self.phase = Phase::Live;
        let now = seconds(self.now);
        if now >= self.next_hour {
            self.checkpoint(now - now % HOUR)?;
        }
        self.mark(now)?;
        self.report();
        let goal = instant(next.unwrap_or(u32::MAX).min(self.next_hour));
        let pause = (goal - self.now).to_std().unwrap_or_default().min(PAUSE_MAX);
        let (clock, cancel, abandoned) = (&self.clock, &self.cancel, &self.abandoned);
        self.runtime.block_on(async {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = abandoned.cancelled() => {}
                () = clock.sleep(pause) => {}
            }
        });
        self.now = self.clock.now();
        self.sink.poll()
    }

    /// Clock, acknowledgements, progress; and in live mode the watermark when events come too thick for a pause.
    fn look_around(&mut self) -> Result<(), Error> {
        self.now = self.clock.now();
        self.sink.poll()?;
        self.phase = match self.phase {
            Phase::Live => Phase::Live,
            _ if self.sink.replaying() => Phase::Replaying,
            _ => Phase::History,
        };
        if self.phase == Phase::Live
            && let Some(next) = self.simulation.peek()
        {
            self.mark(next.min(seconds(self.now)))?;
        }
        self.report();
        Ok(())
    }

    /// Tells readers that all events before `at` are there.
    fn mark(&mut self, at: u32) -> Result<(), Error> {
        if !self.watermark.is_news(at) || self.sink.replaying() {
            return Ok(());
        }
        self.sink.flush()?;
        self.watermark.publish(at, &self.sink)
    }

    /// At an hour's boundary: besides the watermark, sees that nobody else writes.
    fn checkpoint(&mut self, hour: u32) -> Result<(), Error> {
        self.next_hour = hour + HOUR;
        if self.sink.replaying() {
            return Ok(());
        }
        self.sink.flush()?;
        self.sink.verify()?;
        self.mark(hour)
    }

    fn finish(&mut self, ending: Ending) -> Result<(), Error> {
        self.sink.flush()?;
        self.sink.verify()?;
        let next = self.simulation.peek();
        let reached = match ending {
            Ending::Complete => self.to,
            Ending::Cancelled if self.continuous => Some(next.unwrap_or(u32::MAX).min(seconds(self.now))),
            Ending::Cancelled => next.into_iter().chain(self.to).min(),
        };
        if let Some(at) = reached {
            self.mark(at)?;
        }
        self.sink.flush()
    }

    fn report(&mut self) {
        if self.now - self.pace.reported >= PROGRESS_EVERY {
            self.pace.reported = self.now;
            let snapshot = self.snapshot();
            (self.pace.since, self.pace.events) = (self.now, snapshot.events);
            (self.progress)(snapshot);
        }
    }

    fn snapshot(&self) -> Progress {
        let elapsed = (self.now - self.pace.since).num_milliseconds().max(1) as f64 / 1_000.0;
        let events = self.sink.made();
        Progress {
            state: self.phase,
            event_time: self.event_time.map(instant),
            topics: self.sink.counts().collect(),
            page_views: self.events,
            events,
            events_per_second: events.saturating_sub(self.pace.events) as f64 / elapsed,
            rejected: 0,
            error: self.sink.trouble(),
        }
    }
}
