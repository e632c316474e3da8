//! Users, roles, API tokens and login links. Only hashes are stored.

use crate::rows::{clean, parse};
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

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [Role::Viewer, Role::Operator, Role::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("'{text}' is no role (viewer, operator, admin)"))
    }
}

impl TokenKind {
    fn as_str(self) -> &'static str {
        match self {
            TokenKind::Session => "session",
            TokenKind::Api => "api",
            TokenKind::LoginLink => "login_link",
        }
    }
}

impl Store {
    /// Creates the user or changes its role; the password hash (argon2, made by the caller) is kept if `None`.
    pub async fn put_user(
        &self,
        name: &str,
        role: Role,
        password_hash: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<User> {
        let id = sqlx::query_scalar::<_, i64>(
            "insert into users (name, role, password_hash, created_at, changed_at) values ($1, $2, $3, $4, $4)
             on conflict (name) do update set
                role = excluded.role, password_hash = coalesce(excluded.password_hash, users.password_hash), changed_at = $4
             returning id",
        )
        .bind(name)
        .bind(role.as_str())
        .bind(password_hash)
        .bind(now)
        .fetch_one(&self.pool)
        .await?;
        Ok(User { id, name: name.to_owned(), role })
    }

    /// The user and its password hash, for a login.
    pub async fn user(&self, name: &str) -> Result<Option<(User, Option<String>)>> {
        let row = sqlx::query_as::<_, (i64, String, String, Option<String>)>(
            "select id, name, role, password_hash from users where name = $1",
        )
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|(id, name, role, hash)| Ok((user(id, name, &role)?, hash))).transpose()
    }

    /// Stores the SHA-256 of a token that the caller made at random.
    pub async fn put_token(
        &self,
        user: i64,
        kind: TokenKind,
        sha256: &[u8; 32],
        label: &str,
        expires_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        // Dead tokens of the same user go as new ones come, so that the table stays small.
        sqlx::query(
            "with dead as (
                delete from tokens where user_id = $2 and (expires_at <= $6 or used_at is not null)
             )
             insert into tokens (sha256, user_id, kind, label, created_at, expires_at) values ($1, $2, $3, $4, $6, $5)",
        )
        .bind(&sha256[..])
        .bind(user)
        .bind(kind.as_str())
        .bind(clean(label))
        .bind(expires_at)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whose token it is, if it is live. A login link is used up by this.
    pub async fn token_user(
        &self,
        kind: TokenKind,
        sha256: &[u8; 32],
        now: DateTime<Utc>,
    ) -> Result<Option<User>> {
        let query = match kind {
            TokenKind::LoginLink => {
                "update tokens t set used_at = $3 from users u
                 where u.id = t.user_id and t.sha256 = $1 and t.kind = $2 and t.used_at is null
                    and (t.expires_at is null or t.expires_at > $3)
                 returning u.id, u.name, u.role"
            }
            TokenKind::Session | TokenKind::Api => {
                "select u.id, u.name, u.role from tokens t join users u on u.id = t.user_id
                 where t.sha256 = $1 and t.kind = $2 and (t.expires_at is null or t.expires_at > $3)"
            }
        };
        let row = sqlx::query_as::<_, (i64, String, String)>(query)
            .bind(&sha256[..])
            .bind(kind.as_str())
            .bind(now)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|(id, name, role)| user(id, name, &role)).transpose()
    }

    pub async fn revoke_token(&self, sha256: &[u8; 32]) -> Result<()> {
        sqlx::query("delete from tokens where sha256 = $1").bind(&sha256[..]).execute(&self.pool).await?;
        Ok(())
    }
}

fn user(id: i64, name: String, role: &str) -> Result<User> {
    Ok(User { id, name, role: parse("users", "role", id, role)? })
}
