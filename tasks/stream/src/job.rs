//! The loop: read a batch, follow rebalances, write what is due, say how it stands. One thread owns it all.

use std::time::Duration;

use ::kafka::Asker;
use chrono::{DateTime, Utc};
use lake::Lake;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::buffer::{Record, Rules};
use crate::chunk::Gate;
use crate::kafka::{self, CLIENT_ID, Context, Rebalance, StatementReader};
use crate::options::{Clock, Options};
use crate::partition::Topic;
use crate::status::{PartitionStatus, Report, State, Status, TopicReport, TopicStatus};

/// Records and bytes read before anything else is looked at.
const BATCH_RECORDS: usize = 8192;
const BATCH_BYTES: usize = 16 << 20;
const POLL: Duration = Duration::from_millis(100);

pub(crate) struct Job {
    pub options: Options,
    pub clock: Clock,
    pub lake: Lake,
    pub runtime: Handle,
    pub stop: CancellationToken,
    pub consumer: BaseConsumer<Context>,
    /// A client of its own: whoever polls the consumer for its tokens may be handed records.
    pub asker: Asker,
    pub statements: Option<StatementReader>,
    pub topics: Vec<Topic>,
    pub gate: Gate,
    pub paused: bool,
    /// What is being retried.
    pub obstacle: Option<String>,
    pub last_commit_at: Option<DateTime<Utc>>,
    pub watermark_retry_at: Option<DateTime<Utc>>,
    /// Something happened that the next status must not keep waiting.
    pub news: bool,
    rules: Rules,
    kafka_trouble: Option<KafkaTrouble>,
    beats: u64,
    state: State,
    status: watch::Sender<Status>,
}

struct KafkaTrouble {
    text: String,
    /// Goes away with the connection's return; else with the next record or assignment.
    connection: bool,
}

/// Runs until cancelled, or until something fails that waiting cannot mend. `status` gets the newest state of affairs, not each one.
/// Dropping the future stops the job in the same way, in the background.
pub async fn run(
    options: Options,
    clock: Clock,
    mut status: impl FnMut(Status),
    cancel: CancellationToken,
) -> Result<Report, Error> {
    options.check()?;
    let stop = cancel.child_token();
    let _stop_when_dropped = stop.clone().drop_guard();
    let (sender, mut statuses) = watch::channel(Status::default());
    let runtime = Handle::current();
    let thread = tokio::task::spawn_blocking(move || Job::open(options, clock, runtime, stop, sender)?.run());
    while statuses.changed().await.is_ok() {
        let newest = statuses.borrow_and_update().clone();
        status(newest);
    }
    thread.await.map_err(|error| Error::Thread(error.to_string()))?
}

impl Job {
    fn open(
        options: Options,
        clock: Clock,
        runtime: Handle,
        stop: CancellationToken,
        status: watch::Sender<Status>,
    ) -> Result<Self, Error> {
        let lake = Lake::open(&options.lake_url)?;
        let statements = match &options.watermarks_topic {
            Some(topic) => Some(StatementReader::new(&options, topic)?),
            None => None,
        };
        let topics = options.topics.iter().map(|config| Topic {
            kafka_name: options.kafka_name(&config.name),
            config: config.clone(),
            totals: TopicReport::default(),
            partitions: Default::default(),
        });
        Ok(Self {
            topics: topics.collect(),
            consumer: kafka::consumer(&options)?,
            asker: Asker::new(&options.kafka, CLIENT_ID)?,
            rules: Rules::new(&options),
            gate: Gate(options.before_step.clone()),
            options,
            clock,
            lake,
            runtime,
            stop,
            statements,
            paused: false,
            obstacle: None,
            kafka_trouble: None,
            last_commit_at: None,
            watermark_retry_at: None,
            news: true,
            beats: 0,
            state: State::Starting,
            status,
        })
    }

    fn run(mut self) -> Result<Report, Error> {
        let outcome = self.work();
        // Whatever ended the work: the consumer is closed next, and waits for an answer to each rebalance.
        self.consumer.context().close();
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            let answered = match rebalance {
                Rebalance::Assign(partitions) => kafka::assign(&self.consumer, &partitions),
                Rebalance::Revoke(partitions) => kafka::unassign(&self.consumer, &partitions),
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "closing the consumer");
            }
        }
        outcome
    }

    fn work(&mut self) -> Result<Report, Error> {
        self.publish();
        while !self.stop.is_cancelled() {
            let idle = self.consume()?;
            self.follow_rebalances()?;
            if let Some(statements) = &mut self.statements {
                statements.read();
            }
            self.flush_due(idle)?;
            self.put_watermarks()?;
            self.press_back();
            if self.news || idle || self.beats != self.consumer.context().beats() {
                self.publish();
            }
        }
        self.state = State::Stopping;
        self.publish();
        self.flush_all()?;
        self.put_watermarks()?;
        self.state = State::Stopped;
        self.publish();
        Ok(self.report())
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Reads a batch into the buffers; true if everything that had arrived was read.
    fn consume(&mut self) -> Result<bool, Error> {
        let now = self.now();
        let (mut records, mut bytes) = (0, 0);
        while records < BATCH_RECORDS && bytes < BATCH_BYTES {
            let timeout = if records == 0 { POLL } else { Duration::ZERO };
            let message = match self.consumer.poll(timeout) {
                None => return Ok(true),
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    self.kafka_error(error)?;
                    return Ok(false);
                }
            };
            records += 1;
            bytes += message.payload_len();
            self.kafka_trouble = None;
            let held = accept(&mut self.topics, &self.rules, &message, now);
            if held >= self.options.roll.max_rows || self.consumer.context().rebalance_waits() {
                break;
            }
        }
        Ok(false)
    }

    fn kafka_error(&mut self, error: KafkaError) -> Result<(), Error> {
        let code = match &error {
            KafkaError::PartitionEOF(_) => return Ok(()),
            KafkaError::MessageConsumption(code) => *code,
            _ => return Err(self.failed("read", error)),
        };
        match code {
            RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset => {
                tracing::warn!(%error, "a position is not in Kafka any more");
                return self.check_positions();
            }
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                let text =
                    "a topic does not exist yet: it is read as soon as a producer creates it".to_owned();
                self.trouble(text, false);
            }
            _ => {
                let connection = matches!(
                    code,
                    RDKafkaErrorCode::BrokerTransportFailure
                        | RDKafkaErrorCode::AllBrokersDown
                        | RDKafkaErrorCode::Resolve
                        | RDKafkaErrorCode::OperationTimedOut
                        | RDKafkaErrorCode::Authentication
                        | RDKafkaErrorCode::SSL
                );
                let told = self.consumer.context().session.trouble().filter(|_| connection);
                let why = told.map_or_else(|| error.to_string(), |trouble| trouble.to_string());
                self.trouble(format!("kafka at {}: {why}", self.options.kafka.brokers()), connection);
            }
        }
        Ok(())
    }

    fn trouble(&mut self, text: String, connection: bool) {
        tracing::debug!(text, "kafka");
        self.news |= self.kafka_trouble.is_none();
        self.kafka_trouble = Some(KafkaTrouble { text, connection });
    }

    pub fn kafka_is_well(&mut self) {
        self.kafka_trouble = None;
    }

    pub fn failed(&self, action: &'static str, source: KafkaError) -> Error {
        Error::Kafka { action, brokers: self.options.kafka.brokers().to_owned(), source }
    }

    /// Repeats what needs Kafka or the lake until it succeeds; None if the job was stopped meanwhile.
    pub fn persist<T>(&mut self, what: impl Fn(&Self) -> Result<T, Error>) -> Result<Option<T>, Error> {
        let mut delay = Duration::from_millis(200);
        while !self.stop.is_cancelled() {
            match what(self) {
                Ok(value) => {
                    self.obstacle = None;
                    return Ok(Some(value));
                }
                Err(error) if may_pass(&error) => self.obstacle = Some(error.to_string()),
                Err(error) => return Err(error),
            }
            self.publish();
            let stopped = self.stop.clone();
            let _ = self.runtime.block_on(async { tokio::time::timeout(delay, stopped.cancelled()).await });
            delay = (delay * 2).min(Duration::from_secs(5));
        }
        Ok(None)
    }

    /// Buffers are bounded: what cannot be written stops being read.
    fn press_back(&mut self) {
        let partitions = || self.topics.iter().flat_map(|topic| topic.partitions.values());
        let stuck = partitions().any(|partition| partition.pending.is_some());
        let full = self.buffered_bytes() > self.options.memory_limit_bytes;
        let pause = stuck && full;
        if pause == self.paused
            || (self.paused && stuck && self.buffered_bytes() > self.options.memory_limit_bytes / 2)
        {
            return;
        }
        let changed = self.consumer.assignment().and_then(|assigned| match pause {
            true => self.consumer.pause(&assigned),
            false => self.consumer.resume(&assigned),
        });
        match changed {
            Ok(()) => (self.paused, self.news) = (pause, true),
            Err(error) => tracing::warn!(%error, pause, "cannot pause or resume reading"),
        }
    }

    pub fn buffered_bytes(&self) -> usize {
        self.topics
            .iter()
            .flat_map(|topic| topic.partitions.values())
            .map(|partition| partition.bytes())
            .sum()
    }

    pub fn publish(&mut self) {
        self.news = false;
        self.beats = self.consumer.context().beats();
        if self.consumer.context().connected()
            && self.kafka_trouble.as_ref().is_some_and(|trouble| trouble.connection)
        {
            self.kafka_trouble = None;
        }
        let error =
            self.obstacle.clone().or_else(|| self.kafka_trouble.as_ref().map(|trouble| trouble.text.clone()));
        let working = self.topics.iter().any(|topic| !topic.partitions.is_empty());
        self.state = match self.state {
            State::Stopping | State::Stopped => self.state,
            _ if error.is_some() => State::Degraded,
            State::Starting if !working => State::Starting,
            _ => State::Running,
        };
        let status = Status {
            state: self.state,
            error,
            topics: self
                .topics
                .iter()
                .map(|topic| (topic.config.name.clone(), self.topic_status(topic)))
                .collect(),
            buffered_bytes: self.buffered_bytes() as u64,
            paused: self.paused,
            last_commit_at: self.last_commit_at,
        };
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }

    fn topic_status(&self, topic: &Topic) -> TopicStatus {
        let mut status =
            TopicStatus { committed: topic.totals.clone(), lag: Some(0), ..TopicStatus::default() };
        for (&number, partition) in &topic.partitions {
            let end = self.consumer.context().end(&topic.kafka_name, number);
            let behind = end.map(|end| u64::try_from(end - partition.committed()).unwrap_or(0));
            status.lag = status.lag.zip(behind).map(|(sum, behind)| sum + behind);
            status.buffered_rows +=
                partition.buffer.rows as u64 + partition.pending.as_ref().map_or(0, |chunk| chunk.rows);
            let partition = PartitionStatus {
                committed_offset: partition.committed(),
                consumed_offset: partition.buffer.next,
                end_offset: end,
                watermark: partition.watermark,
            };
            status.partitions.insert(number, partition);
        }
        let watermarks = status.partitions.values().map(|partition| partition.watermark);
        status.watermark = watermarks.min().flatten();
        status
    }

    fn report(&self) -> Report {
        let partitions = self.topics.iter().flat_map(|topic| topic.partitions.values());
        Report {
            topics: self
                .topics
                .iter()
                .map(|topic| (topic.config.name.clone(), topic.totals.clone()))
                .collect(),
            uncommitted: partitions
                .map(|partition| partition.buffer.next.abs_diff(partition.committed()))
                .sum(),
            error: self.obstacle.clone(),
        }
    }
}

/// Takes a record into its buffer; how many the buffer then holds.
fn accept(topics: &mut [Topic], rules: &Rules, message: &BorrowedMessage<'_>, now: DateTime<Utc>) -> usize {
    let Some(topic) = topics.iter_mut().find(|topic| topic.kafka_name == message.topic()) else { return 0 };
    let Some(partition) = topic.partitions.get_mut(&message.partition()) else { return 0 };
    if partition.rewinding {
        return 0;
    }
    let record = Record {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key(),
        payload: message.payload(),
    };
    partition.buffer.push(&topic.config.schema, rules, &record, partition.watermark, now);
    partition.buffer.records()
}

/// Whether waiting may mend it.
pub(crate) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Lake(error) => error.may_pass(),
        Error::Access(_) => true,
        Error::Kafka { source, .. } => !matches!(source, KafkaError::MessageConsumptionFatal(_)),
        _ => false,
    }
}
