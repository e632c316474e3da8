//! Google's access tokens in the form that Managed Kafka takes, for callers that block.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use chrono::{DateTime, Utc};
use google::{CLOUD_PLATFORM, Credentials, kafka_token};
use rdkafka::client::OAuthToken;
use tokio::runtime::{Builder, Runtime};

use crate::Error;

/// Credentials have time-outs of their own, shorter than this.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Login {
    credentials: Arc<Credentials>,
    subject: Option<String>,
    /// Of its own: librdkafka asks on whatever thread polls, which may be one of an asynchronous runtime. None only while dropped.
    runtime: Option<Runtime>,
}

impl Login {
    pub(crate) fn new(credentials: Credentials, subject: Option<String>) -> Result<Self, Error> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("kafka-login").enable_all().build();
        Ok(Self {
            credentials: Arc::new(credentials),
            subject,
            runtime: Some(runtime.map_err(Error::Thread)?),
        })
    }

    /// Blocks until there is one, for as long as the credentials are patient.
    pub(crate) fn token(&self, now: DateTime<Utc>) -> Result<OAuthToken, google::Error> {
        let (answer, answered) = mpsc::sync_channel(1);
        let (credentials, subject) = (Arc::clone(&self.credentials), self.subject.clone());
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // Whoever asked may have given up.
                let _ = answer.send(fetch(&credentials, subject, now).await);
            });
        }
        answered.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            Err(google::Error::None(format!("no answer within {} s", PATIENCE.as_secs())))
        })
    }

    pub(crate) async fn principal(&self) -> Result<String, google::Error> {
        Ok(self.credentials.principal().await)
    }
}

async fn fetch(
    credentials: &Credentials,
    subject: Option<String>,
    now: DateTime<Utc>,
) -> Result<OAuthToken, google::Error> {
    let token = credentials.token(CLOUD_PLATFORM, now).await?;
    let subject = match subject {
        Some(subject) => subject,
        None => credentials.email().await.ok_or_else(|| {
            google::Error::None("these credentials do not say whose they are: set KAFKA_SASL_USERNAME to the account's e-mail address".to_owned())
        })?,
    };
    Ok(OAuthToken {
        token: kafka_token(&token, &subject, now),
        principal_name: subject,
        lifetime_ms: token.expires.timestamp_millis(),
    })
}

impl Drop for Login {
    fn drop(&mut self) {
        // The last clone may go on a thread that must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
