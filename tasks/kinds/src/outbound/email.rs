//! A notice as a plain e-mail by SMTP.

use crate::address;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use model::notify::Notice;
use std::time::Duration;

/// Of one step of the conversation.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// Of all of it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The mail server and who writes.
#[derive(Clone)]
pub struct SmtpSettings {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpSettings {
    /// `smtps://user:password@host`, `smtp://user:password@host:587?tls=required`, or `smtp://host:25` without encryption.
    ///
    /// # Errors
    /// Says which setting is wrong and how it is written; never holds the URL.
    pub fn new(url: &str, from: &str) -> Result<Self, String> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|error| {
            let why = address::chain(&error);
            format!("smtp_url: {why}; write smtps://user:password@host or smtp://user:password@host:587?tls=required")
        })?;
        let from = from.parse().map_err(|error| {
            format!("smtp_from = {from:?}: {error}; write Streamify <alerts@example.org>")
        })?;
        Ok(SmtpSettings { transport: builder.timeout(Some(STEP_TIMEOUT)).build(), from })
    }
}

pub async fn send(
    smtp: Option<&SmtpSettings>,
    notice: &Notice,
    to: &[String],
    subject: &str,
) -> Result<(), String> {
    let smtp = smtp.ok_or("e-mail is not set up: set smtp_url and smtp_from")?;
    let message = compose(smtp, notice, to, subject)?;
    match tokio::time::timeout(TIMEOUT, smtp.transport.send(message)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("e-mail: {}", address::chain(&error))),
        Err(_) => Err(format!("e-mail: the mail server did not finish within {} s", TIMEOUT.as_secs())),
    }
}

fn compose(smtp: &SmtpSettings, notice: &Notice, to: &[String], subject: &str) -> Result<Message, String> {
    let mut message = Message::builder()
        .from(smtp.from.clone())
        .subject(one_line(&if subject.is_empty() { default_subject(notice) } else { subject.to_string() }))
        // The same notice sent twice is one message to most readers.
        .message_id(Some(format!("<notice-{}@{}>", notice.id, smtp.from.email.domain())))
        .date(notice.at.into())
        .header(ContentType::TEXT_PLAIN);
    for recipient in to {
        let mailbox =
            recipient.parse().map_err(|error| format!("`{recipient}` is no e-mail address: {error}"))?;
        message = message.to(mailbox);
    }
    message.body(text(notice)).map_err(|error| format!("e-mail: {}", address::chain(&error)))
}

fn default_subject(notice: &Notice) -> String {
    let Notice { event, dag_id, run_id, .. } = notice;
    format!("[{}] {dag_id} {run_id}", event.as_str())
}

fn text(notice: &Notice) -> String {
    let task = notice.task_id.as_ref().map(|task| format!("task:  {task}\n")).unwrap_or_default();
    let url = notice.url.as_ref().map(|url| format!("page:  {url}\n")).unwrap_or_default();
    format!(
        "{}\n\nevent: {}\ndag:   {}\nrun:   {}\n{task}state: {}\nat:    {}\n{url}",
        notice.text,
        notice.event.as_str(),
        notice.dag_id,
        notice.run_id,
        notice.run_state,
        notice.at.to_rfc3339(),
    )
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
