//! Connecting to Postgres, with errors that say where, why, and what to do. The password is in none of them.

use crate::renewal::{self, Renewal};
use crate::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const TESTED_AFTER_IDLE: Duration = Duration::from_millis(500);

/// What a login lasts: an access token of a cloud, say.
pub struct Password {
    pub value: String,
    /// It is to be renewed then, at the latest.
    pub renew_in: Duration,
}

pub type PasswordFuture = Pin<Box<dyn Future<Output = std::result::Result<Password, String>> + Send>>;

/// The newest password, or why there is none.
pub type Passwords = Arc<dyn Fn() -> PasswordFuture + Send + Sync>;

pub(crate) async fn pool(
    url: &str,
    connections: u32,
    passwords: Option<Passwords>,
) -> Result<(PgPool, Option<Renewal>)> {
    let mut options = options(url)?;
    let mut renewed = None;
    if let Some(passwords) = passwords {
        let password = passwords().await.map_err(|problem| Error::Connect {
            message: format!("no password for {}: {problem}", place(&options)),
        })?;
        options = options.password(&password.value);
        renewed = Some((passwords, password.renew_in));
    }
    // One connection by hand first: the pool would wait for a server that refuses, and a person wants to know at once.
    let place = place(&options);
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Err(_) => {
            let message = format!(
                "no answer from {place} within {} s: check the host, the port and the firewall",
                CONNECT_TIMEOUT.as_secs()
            );
            return Err(Error::Connect { message });
        }
        Ok(Err(error)) => {
            let message = explain(&options, &place, &error, renewed.is_some());
            return Err(Error::Connect { message });
        }
        Ok(Ok(connection)) => connection.close().await?,
    }
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A round trip before each transaction would cost more than the rare repeat (`tx`); after a pause it costs nothing that counts,
        // and a restarted server is not met with a pool of dead connections.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for >= TESTED_AFTER_IDLE {
                    connection.ping().await?;
                }
                takes_writes(connection).await
            })
        })
        .connect_lazy_with(options);
    let renewal = renewed.map(|(passwords, renew_in)| Renewal::start(pool.clone(), passwords, renew_in));
    Ok((pool, renewal))
}

/// Sessions still to be looked at since the server refused a write.
static SUSPECTS: AtomicU32 = AtomicU32::new(0);
/// More than any pool of ours has.
const SUSPECTS_AFTER_REFUSAL: u32 = 128;

/// Whoever sees an error of the server tells it here.
pub(crate) fn note_refusal(error: &sqlx::Error) {
    const READ_ONLY: &str = "25006";
    const LOGIN: [&str; 2] = ["28P01", "28000"];
    let sqlx::Error::Database(db) = error else { return };
    match db.code().as_deref() {
        Some(READ_ONLY) => SUSPECTS.store(SUSPECTS_AFTER_REFUSAL, Relaxed),
        Some(code) if LOGIN.contains(&code) => renewal::hurry(),
        _ => {}
    }
}

/// A session keeps the default that it began with: one that began while the database was set to read-only would stay so for ever. It is
/// given up for a new one.
async fn takes_writes(connection: &mut PgConnection) -> std::result::Result<bool, sqlx::Error> {
    let one_less = |left: u32| left.checked_sub(1);
    if SUSPECTS.fetch_update(Relaxed, Relaxed, one_less).is_err() {
        return Ok(true);
    }
    let read_only: bool = sqlx::query_scalar("select current_setting('default_transaction_read_only')::bool")
        .fetch_one(connection)
        .await?;
    if read_only {
        SUSPECTS.store(SUSPECTS_AFTER_REFUSAL, Relaxed);
    }
    Ok(!read_only)
}

fn options(url: &str) -> Result<PgConnectOptions> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        let message = "the database URL does not begin with postgres:// \
            (expected postgres://user:password@host:5432/database)"
            .to_owned();
        return Err(Error::Connect { message });
    }
    // What the parser says may quote parts of the URL, so it is not repeated.
    let options = PgConnectOptions::from_str(url).map_err(|_| Error::Connect {
        message: "the database URL cannot be read (expected postgres://user:password@host:5432/database; \
            write special characters of the password as %XX)"
            .to_owned(),
    })?;
    Ok(options
        .application_name("streamify")
        // Compiling a plan costs more than any of our queries.
        .options([("jit", "off"), ("timezone", "UTC"), ("idle_in_transaction_session_timeout", "60s")]))
}

fn place(options: &PgConnectOptions) -> String {
    let server = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("{server} (database {}, user {})", database(options), options.get_username())
}

fn database(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or(options.get_username())
}

fn explain(options: &PgConnectOptions, place: &str, error: &sqlx::Error, is_by_token: bool) -> String {
    let (reason, remedy) = match error {
        sqlx::Error::Io(io) => match io.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                ("connection refused".to_owned(), "is Postgres running there, on that port?".to_owned())
            }
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => (
                "the server closed the connection".to_owned(),
                "is it Postgres that listens on that port, and has it a free connection?".to_owned(),
            ),
            _ => (io.to_string(), "check the host name and the network".to_owned()),
        },
        sqlx::Error::Database(db) => {
            let code = db.code().unwrap_or_default().into_owned();
            let remedy = match code.as_str() {
                "28P01" | "28000" if is_by_token => format!(
                    "is {0} a user of the instance for logins by IAM (a service account without .gserviceaccount.com), and has it \
                     roles/cloudsql.instanceUser?",
                    options.get_username()
                ),
                "28P01" | "28000" => {
                    format!("check the password of user {} in the URL", options.get_username())
                }
                "3D000" => format!("create it: createdb {}", database(options)),
                "53300" => "the server has no free connection: raise max_connections or stop other clients"
                    .to_owned(),
                "57P03" => "the server is starting or stopping: try again in a moment".to_owned(),
                _ => "see the server's log".to_owned(),
            };
            (db.message().to_owned(), remedy)
        }
        sqlx::Error::Tls(_) => (error.to_string(), "check sslmode in the URL".to_owned()),
        _ => (error.to_string(), "is it Postgres that listens there?".to_owned()),
    };
    format!("cannot connect to {place}: {reason}; {remedy}")
}
