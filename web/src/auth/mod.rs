//! Who asks, and what they may do. Tokens are 256 random bits, of which only the SHA-256 is stored.

mod attempts;
mod password;
mod viewer;

pub use attempts::Attempts;
pub use password::hash as hash_password;
pub use viewer::{Caller, Viewer, role_name, session_token};

use crate::app::App;
use chrono::{DateTime, TimeDelta, Utc};
use password::verify as verify_password;
use sha2::{Digest, Sha256};
use store::Store;
use store::auth::{Role, TokenKind, User};

pub const COOKIE: &str = "streamify_session";
pub const SESSION_LENGTH: TimeDelta = TimeDelta::days(14);
pub const API_TOKEN_LENGTH: TimeDelta = TimeDelta::days(1);
/// Long enough for one command.
const CLI_TOKEN_LENGTH: TimeDelta = TimeDelta::minutes(10);
const LINK_LENGTH: TimeDelta = TimeDelta::days(1);

/// A new secret, in hex. It is shown once; what is stored is [`digest`] of it.
pub fn new_token() -> String {
    hex(&rand::random::<[u8; 32]>())
}

pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What came of a password.
pub enum Checked {
    Right(User),
    Wrong,
    /// Too many guesses for this name.
    Wait,
}

pub async fn check_password(app: &App, name: &str, password: String) -> Result<Checked, store::Error> {
    if !app.attempts.begin(name, app.clock.now()) {
        return Ok(Checked::Wait);
    }
    let (user, hash) = app.store.user(name).await?.unzip();
    if !verify_password(password, hash.flatten()).await {
        return Ok(Checked::Wrong);
    }
    app.attempts.succeeded(name);
    Ok(user.map_or(Checked::Wrong, Checked::Right))
}

/// Makes sure that there is a local administrator, and gives a link that signs in as them, once, within a day.
///
/// # Errors
/// When the store cannot be written.
pub async fn login_link(store: &Store, base_url: &str, now: DateTime<Utc>) -> Result<String, crate::Error> {
    let user = store.put_user("admin", Role::Admin, None, now).await?;
    let token = new_token();
    store
        .put_token(user.id, TokenKind::LoginLink, &digest(&token), "login link", Some(now + LINK_LENGTH), now)
        .await?;
    Ok(format!("{}/login?token={token}", base_url.trim_end_matches('/')))
}

/// A bearer token for a command of ours that has the database and asks another node. Whoever has the database may do everything anyway.
///
/// # Errors
/// When the store cannot be written.
pub async fn cli_token(store: &Store, now: DateTime<Utc>) -> Result<String, crate::Error> {
    let user = store.put_user("cli", Role::Admin, None, now).await?;
    let token = new_token();
    store
        .put_token(
            user.id,
            TokenKind::Api,
            &digest(&token),
            "command line",
            Some(now + CLI_TOKEN_LENGTH),
            now,
        )
        .await?;
    Ok(token)
}
