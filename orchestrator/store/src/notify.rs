//! LISTEN and NOTIFY: hints that something may be there to do.

use crate::connect::note_refusal;
use crate::{Result, Store};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ring {
    /// Attempts were queued.
    Work,
    /// A run was created or wants a look (cancel, clear).
    Runs,
    /// An asset was written.
    Assets,
    /// There is something to tell people.
    Notify,
    /// Runs with deadlines have begun.
    Deadlines,
    /// A dag changed (version, pause).
    Dags,
    /// An attempt has new log lines.
    Log(i64),
    /// An attempt of this node may have been asked to stop.
    Stop,
    /// The connection was lost and is back: anything may have happened meanwhile.
    Reconnected,
}

/// The one channel; what is meant is said by the payload.
const CHANNEL: &str = "streamify";
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A LISTEN connection of its own, which reconnects by itself.
pub struct Listener {
    /// Knows how to log in at the moment.
    pool: PgPool,
    /// `None` while the connection is lost.
    inner: Option<PgListener>,
}

impl Store {
    pub async fn listen(&self) -> Result<Listener> {
        let inner = Some(connect(&self.pool.connect_options()).await?);
        Ok(Listener { pool: self.pool.clone(), inner })
    }
}

impl Listener {
    /// The next ring. Never ends by itself; errors of the connection become `Ring::Reconnected` once it is back.
    pub async fn next(&mut self) -> Ring {
        loop {
            let Some(inner) = &mut self.inner else {
                self.inner = Some(reconnect(&self.pool).await);
                return Ring::Reconnected;
            };
            match inner.try_recv().await {
                Ok(Some(notification)) => match parse(notification.payload()) {
                    Some(ring) => return ring,
                    None => tracing::debug!(payload = notification.payload(), "unknown ring left alone"),
                },
                Ok(None) => self.inner = None,
                Err(error) => {
                    tracing::warn!(%error, "listening connection lost");
                    self.inner = None;
                }
            }
        }
    }
}

fn parse(payload: &str) -> Option<Ring> {
    match payload {
        "work" => Some(Ring::Work),
        "runs" => Some(Ring::Runs),
        "dags" => Some(Ring::Dags),
        "assets" => Some(Ring::Assets),
        "notify" => Some(Ring::Notify),
        "deadlines" => Some(Ring::Deadlines),
        "stop" => Some(Ring::Stop),
        other => other.strip_prefix("log:")?.parse().ok().map(Ring::Log),
    }
}

async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    // A pool of its own, so that a waiting listener takes no connection from those who work.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(BACKOFF_MAX)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    // What was lost is told by `Ring::Reconnected`, and only once the connection is back.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

async fn reconnect(pool: &PgPool) -> PgListener {
    let mut backoff = BACKOFF_MIN;
    loop {
        match connect(&pool.connect_options()).await {
            Ok(listener) => return listener,
            Err(error) => {
                note_refusal(&error);
                tracing::debug!(%error, "listening connection is not back yet");
            }
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}
