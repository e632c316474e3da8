//! Passwords that end are renewed in time: connections that are open stay, new ones log in with the newest.

use crate::connect::Passwords;
use sqlx::PgPool;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Rung when a login was refused: the password may have ended before its time.
static REFUSED: Notify = Notify::const_new();

pub(crate) fn hurry() {
    REFUSED.notify_waiters();
}

/// The duty of one pool; it ends when this is dropped.
pub(crate) struct Renewal(JoinHandle<()>);

impl Renewal {
    pub(crate) fn start(pool: PgPool, passwords: Passwords, renew_in: Duration) -> Renewal {
        Renewal(tokio::spawn(renew(pool, passwords, renew_in)))
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn renew(pool: PgPool, passwords: Passwords, mut wait: Duration) {
    let mut pause = PAUSE_MIN;
    loop {
        // Refusals come in crowds: one answer for all of a moment.
        tokio::time::sleep(PAUSE_MIN).await;
        tokio::select! {
            () = tokio::time::sleep(wait.saturating_sub(PAUSE_MIN)) => {}
            () = REFUSED.notified() => {}
        }
        match passwords().await {
            Ok(password) => {
                let options = (*pool.connect_options()).clone().password(&password.value);
                pool.set_connect_options(options);
                (wait, pause) = (password.renew_in.max(PAUSE_MIN), PAUSE_MIN);
            }
            Err(problem) => {
                tracing::warn!(
                    "no new password for the database: {problem}; trying again in {} s",
                    pause.as_secs()
                );
                (wait, pause) = (pause, (pause * 2).min(PAUSE_MAX));
            }
        }
    }
}
