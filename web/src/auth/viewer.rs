//! The person or program behind a request, from the session cookie, the bearer token, or the rule for those not signed in.

use super::{COOKIE, digest, hex};
use crate::api::ApiError;
use crate::app::{App, Shared};
use crate::error::PageError;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use store::auth::{Role, TokenKind};

/// Somebody who looks at a page.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub name: String,
    pub role: Role,
    pub signed_in: bool,
    /// To be sent back with each form.
    pub csrf: String,
}

impl Viewer {
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// The gate of every form: the right role, and a token that only our own pages know.
    pub fn check_write(&self, csrf: &str) -> Result<(), PageError> {
        if !self.may(Role::Operator) {
            return Err(PageError::Forbidden("This needs the role operator.".into()));
        }
        self.check_csrf(csrf)
    }

    /// The same for what only an admin may do.
    pub fn check_admin(&self, csrf: &str) -> Result<(), PageError> {
        if !self.may(Role::Admin) {
            return Err(PageError::Forbidden("This needs the role admin.".into()));
        }
        self.check_csrf(csrf)
    }

    pub fn check_csrf(&self, csrf: &str) -> Result<(), PageError> {
        // Compared as digests, so that the time it takes tells nothing.
        if digest(csrf) == digest(&self.csrf) {
            return Ok(());
        }
        Err(PageError::Forbidden(
            "The form is too old, or came from another site. Open the page again.".into(),
        ))
    }
}

/// The session token in the cookie header.
pub fn session_token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn csrf_of(secret: &[u8]) -> String {
    hex(&Sha256::new().chain_update(b"csrf:").chain_update(secret).finalize())
}

async fn find(app: &App, headers: &HeaderMap) -> Result<Option<Viewer>, store::Error> {
    if let Some(token) = session_token(headers) {
        let user = app.store.token_user(TokenKind::Session, &digest(token), app.clock.now()).await?;
        if let Some(user) = user {
            let csrf = csrf_of(token.as_bytes());
            return Ok(Some(Viewer { name: user.name, role: user.role, signed_in: true, csrf }));
        }
    }
    let anonymous = app.config.anonymous.filter(|_| names_this_machine(headers));
    Ok(anonymous.map(|role| Viewer {
        name: "anonymous".into(),
        role,
        signed_in: false,
        csrf: csrf_of(&app.secret),
    }))
}

/// `localhost` or an IP address. Another name means that somebody else's page may be asking through the visitor's browser.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

impl FromRequestParts<Shared> for Viewer {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, PageError> {
        let next = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_string();
        find(app, &parts.headers).await?.ok_or(PageError::SignIn { next })
    }
}

/// A program that calls the API (or a page's script, with the session).
#[derive(Debug, Clone)]
pub struct Caller {
    pub name: String,
    role: Role,
    /// It proved that it is not another site's form: a bearer token, or the session's CSRF token in a header.
    may_write: bool,
}

impl Caller {
    /// The gate of every write of the API.
    pub fn check_write(&self, role: Role) -> Result<(), ApiError> {
        if !self.may_write {
            return Err(ApiError::Unauthorized(
                "a bearer token is needed to change something; get one from POST /auth/token".into(),
            ));
        }
        if self.role < role {
            return Err(ApiError::Forbidden(format!("this needs the role {}", role_name(role))));
        }
        Ok(())
    }
}

pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
            let token = token.ok_or_else(|| {
                ApiError::Unauthorized("the Authorization header is not 'Bearer <token>'".into())
            })?;
            let user = app.store.token_user(TokenKind::Api, &digest(token.trim()), app.clock.now()).await?;
            let user =
                user.ok_or_else(|| ApiError::Unauthorized("the token is unknown or has expired".into()))?;
            return Ok(Caller { name: user.name, role: user.role, may_write: true });
        }
        let Some(viewer) = find(app, &parts.headers).await? else {
            return Err(ApiError::Unauthorized(
                "not signed in: send a bearer token from POST /auth/token".into(),
            ));
        };
        let shown = parts.headers.get("x-csrf-token").and_then(|value| value.to_str().ok());
        let may_write = viewer.signed_in && shown.is_some_and(|csrf| viewer.check_csrf(csrf).is_ok());
        Ok(Caller { name: viewer.name, role: viewer.role, may_write })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(value: &str) -> bool {
        names_this_machine(&HeaderMap::from_iter([(header::HOST, value.parse().unwrap())]))
    }

    #[test]
    fn only_addresses_and_localhost_name_this_machine() {
        assert!(host("localhost:8080") && host("127.0.0.1:8080") && host("[::1]:8080") && host("10.0.0.7"));
        assert!(!host("evil.example:8080") && !host("localhost.evil.example") && !host(""));
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let headers =
            HeaderMap::from_iter([(header::COOKIE, "a=b; streamify_session=abc; c=d".parse().unwrap())]);
        assert_eq!(session_token(&headers), Some("abc"));
    }
}
