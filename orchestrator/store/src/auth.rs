//! Users, roles, API tokens and login links. Only hashes are stored.

use crate::{Result, Store};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Viewer,
    Operator,
    Admin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A browser session (cookie).
    Session,
    /// A bearer token for the API.
    Api,
    /// Works once, becomes a session.
    LoginLink,
}

impl Store {
    /// Creates the user or changes its role; the password hash (argon2, made by the caller) is kept if `None`.
    pub async fn put_user(&self, _name: &str, _role: Role, _password_hash: Option<&str>, _now: DateTime<Utc>) -> Result<User> {
        todo!()
    }

    /// The user and its password hash, for a login.
    pub async fn user(&self, _name: &str) -> Result<Option<(User, Option<String>)>> {
        todo!()
    }

    /// Stores the SHA-256 of a token that the caller made at random.
    pub async fn put_token(
        &self,
        _user: i64,
        _kind: TokenKind,
        _sha256: &[u8; 32],
        _label: &str,
        _expires_at: Option<DateTime<Utc>>,
        _now: DateTime<Utc>,
    ) -> Result<()> {
        todo!()
    }

    /// Whose token it is, if it is live. A login link is used up by this.
    pub async fn token_user(&self, _kind: TokenKind, _sha256: &[u8; 32], _now: DateTime<Utc>) -> Result<Option<User>> {
        todo!()
    }

    pub async fn revoke_token(&self, _sha256: &[u8; 32]) -> Result<()> {
        todo!()
    }
}
