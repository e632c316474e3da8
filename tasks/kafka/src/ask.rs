//! Questions to the brokers about topics and offsets, with the reason when there is no answer. All of it blocks.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::{Access, Error, Session};

/// The first try; each further one has twice the time.
const FIRST_TRY: Duration = Duration::from_secs(2);
/// Events that are looked at between two requests.
const EVENTS: usize = 64;

/// A client that asks. It serves its own tokens and errors between requests, so nobody else need poll it.
pub struct Asker {
    consumer: BaseConsumer<Session>,
    session: Session,
    access: Access,
}

impl Asker {
    /// # Errors
    /// Properties that librdkafka refuses.
    pub fn new(access: &Access, client_id: &str) -> Result<Self, Error> {
        Self::with(access, access.config(client_id).set("allow.auto.create.topics", "false"))
    }

    /// The same with further properties, such as those of a group.
    ///
    /// # Errors
    /// Properties that librdkafka refuses.
    pub fn with(access: &Access, config: &ClientConfig) -> Result<Self, Error> {
        let session = access.session();
        let consumer = config.create_with_context(session.clone());
        let consumer = consumer.map_err(|source| failed(access, "make a client", None, source))?;
        Ok(Self { consumer, session, access: access.clone() })
    }

    pub fn consumer(&self) -> &BaseConsumer<Session> {
        &self.consumer
    }

    /// How many brokers there are; that they say so proves that we are let in.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn brokers(&self, patience: Duration) -> Result<usize, Error> {
        let topic = Some("watermarks");
        self.ask("ask for its brokers", patience, |consumer, time| {
            Ok(consumer.fetch_metadata(topic, time)?.brokers().len())
        })
    }

    /// Repeats a question that went unanswered until patience runs out, or until the brokers refuse us.
    ///
    /// # Errors
    /// Why, in the brokers' words, and what to do.
    pub fn ask<T>(
        &self,
        action: &str,
        patience: Duration,
        request: impl Fn(&BaseConsumer<Session>, Duration) -> KafkaResult<T>,
    ) -> Result<T, Error> {
        let until = Instant::now() + patience;
        let mut time = FIRST_TRY;
        loop {
            self.serve();
            let error = match request(&self.consumer, time.min(patience)) {
                Ok(answer) => {
                    self.session.is_well();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.serve();
            let trouble = self.session.trouble();
            let is_refused = trouble.as_ref().is_some_and(crate::Trouble::is_refusal);
            if is_refused || !may_pass(&error) || Instant::now() >= until {
                let reason = trouble.filter(|_| may_pass(&error)).map(|trouble| trouble.to_string());
                return Err(failed(&self.access, action, reason, error));
            }
            time = (time * 2).min(until.saturating_duration_since(Instant::now())).max(FIRST_TRY);
        }
    }

    /// Tokens are handed over and errors are heard only by whoever polls.
    fn serve(&self) {
        for _ in 0..EVENTS {
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                tracing::debug!(%error, "kafka client");
            }
        }
    }
}

fn may_pass(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
        )
    )
}

fn failed(access: &Access, action: &str, reason: Option<String>, source: KafkaError) -> Error {
    Error::Request {
        brokers: access.brokers().to_owned(),
        how: access.security().to_string(),
        action: action.to_owned(),
        reason: reason.unwrap_or_else(|| source.to_string()),
        source: Box::new(source),
    }
}
