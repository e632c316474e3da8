//! One request, tried again a few times where that may help.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{StatusCode, Url};
use std::time::Duration;

const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

pub struct Sender {
    pub http: reqwest::Client,
    pub url: Url,
    pub headers: HeaderMap,
    pub timeout: Duration,
}

impl Sender {
    /// # Errors
    /// Why the last try failed, without what was sent.
    pub async fn send(&self, body: Vec<u8>) -> Result<(), String> {
        let mut tries = 1;
        loop {
            let (why, may_pass) = match self.once(body.clone()).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) => (format!("{} answered {status}", self.shown()), may_pass(status)),
                Err(error) => (format!("{}: {}", self.shown(), reason(&error)), true),
            };
            if !may_pass || tries == TRIES {
                return Err(why);
            }
            tokio::time::sleep(PAUSE * tries).await;
            tries += 1;
        }
    }

    async fn once(&self, body: Vec<u8>) -> reqwest::Result<StatusCode> {
        let request = self.http.post(self.url.clone()).headers(self.headers.clone()).timeout(self.timeout);
        let answer = request.header(CONTENT_TYPE, "application/x-protobuf").body(body).send().await?;
        Ok(answer.status())
    }

    /// Path and query may hold a key.
    fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// Those of the OTLP specification.
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "nobody answers there"
    } else {
        "the request failed"
    }
}
