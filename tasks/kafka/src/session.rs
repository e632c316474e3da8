//! What librdkafka and one of our clients tell each other besides records: log lines, errors, tokens.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Utc;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use crate::Trouble;
use crate::login::Login;

/// A context for clients that need no more than this; those that do have one inside and hand on.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    login: Option<Arc<Login>>,
    mechanism: Option<&'static str>,
    trouble: Mutex<Option<Trouble>>,
    /// Whether there is one: acknowledgements come in hundreds of thousands, troubles hardly ever.
    is_troubled: AtomicBool,
}

impl Session {
    pub(crate) fn new(login: Option<Arc<Login>>, mechanism: Option<&'static str>) -> Self {
        Self(Arc::new(Inner {
            login,
            mechanism,
            trouble: Mutex::default(),
            is_troubled: AtomicBool::default(),
        }))
    }

    /// What was wrong last, until [`Self::is_well`].
    pub fn trouble(&self) -> Option<Trouble> {
        self.lock().clone()
    }

    /// The brokers have served us.
    pub fn is_well(&self) {
        if self.0.is_troubled.load(Ordering::Acquire) {
            *self.lock() = None;
            self.0.is_troubled.store(false, Ordering::Release);
        }
    }

    fn note(&self, trouble: Trouble) {
        let mut known = self.lock();
        if known.as_ref().is_some_and(|known| known.outweighs(&trouble)) {
            return;
        }
        // Its words may have changed a little, such as a time in them.
        let is_news = known.as_ref().map(|known| known.cause) != Some(trouble.cause);
        if is_news && trouble.is_refusal() {
            tracing::warn!("Kafka: {trouble}; trying again");
        }
        *known = Some(trouble);
        self.0.is_troubled.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Session {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, "{message}");
            }
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        self.note(Trouble::new(&error, reason, self.0.mechanism));
    }

    /// Asked for at the start and at four fifths of a token's life; after a failure again ten seconds later.
    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn StdError>> {
        let Some(login) = &self.0.login else { return Err("this client has no login by token".into()) };
        // The wall clock: librdkafka and the brokers compare with theirs.
        login.token(Utc::now()).map_err(|error| {
            self.note(Trouble::token(&error.to_string()));
            error.into()
        })
    }
}

impl ConsumerContext for Session {}

impl ProducerContext for Session {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.note(Trouble::new(error, &error.to_string(), self.0.mechanism));
        }
    }
}
