//! What goes out of the house for the engine: notices by HTTP and e-mail, and the probes of services.
//!
//! Here a notice is sent once, as it is: its templates are rendered before. When to send and when to send again is the engine's matter.

mod email;
mod probe;
mod web_hook;

pub use email::SmtpSettings;

use async_trait::async_trait;
use model::notify::{Notice, Target};
use model::platform::Outbound;
use model::probe::Ask;
use std::time::Duration;

pub struct Client {
    http: reqwest::Client,
    smtp: Option<SmtpSettings>,
}

impl Client {
    /// Without settings for SMTP, e-mails are refused with words that name the settings.
    pub fn new(http: reqwest::Client, smtp: Option<SmtpSettings>) -> Self {
        Client { http, smtp }
    }
}

#[async_trait]
impl Outbound for Client {
    async fn send(&self, notice: &Notice) -> Result<(), String> {
        match &notice.target {
            Target::Http { url, headers, json } => {
                web_hook::post(&self.http, notice, url, headers, json).await
            }
            Target::Email { to, subject } => email::send(self.smtp.as_ref(), notice, to, subject).await,
        }
    }

    async fn probe(&self, ask: &Ask, timeout: Duration) -> Result<(), String> {
        probe::ask(&self.http, ask, timeout).await
    }
}
