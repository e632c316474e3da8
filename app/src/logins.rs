//! How this process logs in: to Kafka and to Postgres, as the settings say, with Google's credentials where they say so.

use crate::config::Config;
use crate::node::CONNECTIONS;
use anyhow::{Context, Result, bail};
use chrono::{TimeDelta, Utc};
use google::{CLOUD_PLATFORM, Credentials, SQL_LOGIN};
use kafka::{Access, Security};
use std::sync::Arc;
use std::time::Duration;
use store::{Password, Passwords, Store};
use url::Url;

/// A token is renewed so long before its end.
const AHEAD: TimeDelta = TimeDelta::minutes(2);
const RENEW_MIN: Duration = Duration::from_secs(1);

/// Kafka, if brokers are named.
pub fn kafka(config: &Config) -> Result<Option<Access>> {
    let security = Security::read(|variable| config.variable(variable))?;
    let Some(brokers) = config.optional("kafka_bootstrap_servers") else {
        if security != Security::default() {
            bail!(
                "KAFKA_SECURITY_PROTOCOL is {security}, but KAFKA_BOOTSTRAP_SERVERS is not set: the embedded broker knows no logins"
            );
        }
        return Ok(None);
    };
    Ok(Some(Access::new(brokers, security, Credentials::from_environment)?))
}

/// How the store logs in, for people.
pub fn database_login(config: &Config) -> &'static str {
    if is_by_token(config) {
        "a token of the Google credentials (DATABASE_LOGIN=google)"
    } else {
        "the password of its URL"
    }
}

fn is_by_token(config: &Config) -> bool {
    config.text("database_login") == "google" && config.optional("database_url").is_some()
}

/// The store at this URL.
pub async fn store(config: &Config, url: &str) -> Result<Store> {
    match config.text("database_login") {
        "google" if is_by_token(config) => {
            by_token(url, Credentials::from_environment().context("DATABASE_LOGIN=google")?).await
        }
        // The embedded server has a password of its own.
        "google" | "password" => Ok(Store::connect(url, CONNECTIONS).await?),
        other => bail!("DATABASE_LOGIN = {other:?}: password or google"),
    }
}

async fn by_token(url: &str, credentials: Credentials) -> Result<Store> {
    let mut url = checked(url)?;
    if url.username().is_empty() {
        let email = credentials.email().await;
        let Some(email) = email else {
            bail!(
                "DATABASE_LOGIN=google: the credentials do not say whose they are: put the database user into DATABASE_URL"
            );
        };
        if url.set_username(database_user(&email)).is_err() {
            bail!("DATABASE_URL: names no host to log in to as {email}");
        }
    }
    Ok(Store::connect_with(url.as_str(), CONNECTIONS, passwords(credentials)).await?)
}

/// Cloud SQL knows a service account without the end of its address, and a person by the whole of it.
fn database_user(email: &str) -> &str {
    email.strip_suffix(".gserviceaccount.com").unwrap_or(email)
}

/// A URL that a token may be sent to.
fn checked(url: &str) -> Result<Url> {
    // What the parser says might quote parts of it.
    let Ok(url) = Url::parse(url) else {
        bail!("DATABASE_URL cannot be read (expected postgres://host:5432/database?sslmode=verify-ca&..)")
    };
    if url.password().is_some() {
        bail!(
            "DATABASE_LOGIN=google logs in with tokens, but DATABASE_URL has a password: take it out, or set DATABASE_LOGIN=password"
        );
    }
    let is_encrypted = url
        .query_pairs()
        .any(|(name, value)| name == "sslmode" && matches!(&*value, "require" | "verify-ca" | "verify-full"));
    // Cloud SQL's own proxy listens on loopback, and encrypts from there on.
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if !is_encrypted && !is_local {
        bail!(
            "DATABASE_LOGIN=google: a token must not cross the network in the clear: add ?sslmode=verify-ca&sslrootcert=server-ca.pem to DATABASE_URL"
        );
    }
    Ok(url)
}

fn passwords(credentials: Credentials) -> Passwords {
    let credentials = Arc::new(credentials);
    Arc::new(move || {
        let credentials = Arc::clone(&credentials);
        Box::pin(async move {
            let now = Utc::now();
            let token = credentials.token(SQL_LOGIN, now).await.map_err(|error| error.to_string())?;
            let renew_in = (token.expires - now - AHEAD).to_std().unwrap_or_default().max(RENEW_MIN);
            Ok(Password { value: token.value, renew_in })
        })
    })
}

/// What of this configuration needs Google's credentials.
pub fn google_users(config: &Config, kafka: Option<&Access>) -> Vec<&'static str> {
    let lake = crate::node::lake_url(config);
    let emulated = std::env::var("STORAGE_EMULATOR_HOST").is_ok_and(|host| !host.is_empty())
        || lake.contains("endpoint=http:");
    let warehouse = crate::node::warehouse_url(config);
    let users = [
        (lake.starts_with("gs://") && !emulated, "Cloud Storage"),
        (warehouse.starts_with("bigquery:") && !warehouse.contains("endpoint=http:"), "BigQuery"),
        (kafka.is_some_and(|kafka| !kafka.can_create_topics()), "Kafka"),
        (is_by_token(config), "Postgres"),
    ];
    users.into_iter().filter(|(is_used, _)| *is_used).map(|(_, user)| user).collect()
}

/// Who we are to Google, proven by a token.
pub async fn google_identity() -> Result<String> {
    let credentials = Credentials::from_environment()?;
    credentials.token(CLOUD_PLATFORM, Utc::now()).await?;
    Ok(credentials.principal().await)
}

#[cfg(test)]
#[path = "logins_tests.rs"]
mod tests;
