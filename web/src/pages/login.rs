//! Signing in, by password or by a link that works once, and out.

use super::shell::Shell;
use super::show;
use crate::app::{App, Shared};
use crate::auth::{self, COOKIE, SESSION_LENGTH, Viewer, digest};
use crate::error::PageError;
use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use store::auth::{Role, TokenKind, User};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    shell: Shell,
    problem: Option<String>,
    next: String,
    name: String,
}

#[derive(Deserialize)]
pub struct Asked {
    token: Option<String>,
    #[serde(default)]
    next: String,
}

/// A path of ours to go to; anything else leads home, so that no link of ours can lead elsewhere.
pub fn local_path(next: &str) -> String {
    let ours = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if ours { next.to_string() } else { "/".into() }
}

pub async fn page(
    State(app): State<Shared>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let Some(token) = asked.token else { return form(&app, &asked.next, "", None) };
    match app.store.token_user(TokenKind::LoginLink, &digest(&token), app.clock.now()).await? {
        Some(user) => signed_in(&app, &headers, &user, &asked.next).await,
        None => {
            let problem = "This link has been used already, or is too old. Start the server again, or run its login command, for a new one.";
            Ok((StatusCode::UNAUTHORIZED, form(&app, &asked.next, "", Some(problem.into()))?).into_response())
        }
    }
}

fn form(app: &App, next: &str, name: &str, problem: Option<String>) -> Result<Response, PageError> {
    let nobody = Viewer {
        name: String::new(),
        role: app.config.anonymous.unwrap_or(Role::Viewer),
        signed_in: false,
        csrf: String::new(),
    };
    let shell = Shell::new(app, nobody, "login", "Sign in", "/");
    show(&LoginPage { shell, problem, next: local_path(next), name: name.into() })
}

#[derive(Deserialize)]
pub struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

pub async fn submit(
    State(app): State<Shared>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Result<Response, PageError> {
    // Another site must not be able to sign a visitor in as somebody else.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(PageError::Forbidden("The form came from another site.".into()));
    }
    match auth::check_password(&app, &given.name, given.password).await? {
        auth::Checked::Right(user) => signed_in(&app, &headers, &user, &given.next).await,
        auth::Checked::Wrong => {
            let page = form(&app, &given.next, &given.name, Some("User and password do not fit.".into()))?;
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
        auth::Checked::Wait => {
            let page =
                form(&app, &given.next, &given.name, Some("Too many attempts; wait a minute.".into()))?;
            Ok((StatusCode::TOO_MANY_REQUESTS, page).into_response())
        }
    }
}

async fn signed_in(app: &App, headers: &HeaderMap, user: &User, next: &str) -> Result<Response, PageError> {
    let now = app.clock.now();
    let token = auth::new_token();
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("browser");
    let label: String = agent.chars().take(120).collect();
    app.store
        .put_token(user.id, TokenKind::Session, &digest(&token), &label, Some(now + SESSION_LENGTH), now)
        .await?;
    app.store.audit(&user.name, "user.login", &user.name, serde_json::json!({ "agent": label }), now).await?;
    let secure = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let mut response = Redirect::to(&local_path(next)).into_response();
    set_cookie(&mut response, &token, SESSION_LENGTH.num_seconds(), secure);
    Ok(response)
}

fn set_cookie(response: &mut Response, token: &str, seconds: i64, secure: bool) {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let value = HeaderValue::from_str(&cookie).expect("a hex token is a valid header value");
    response.headers_mut().append(header::SET_COOKIE, value);
}

#[derive(Deserialize)]
pub struct Logout {
    csrf: String,
}

pub async fn logout(
    State(app): State<Shared>,
    viewer: Viewer,
    headers: HeaderMap,
    Form(form): Form<Logout>,
) -> Result<Response, PageError> {
    viewer.check_csrf(&form.csrf)?;
    if let Some(token) = auth::session_token(&headers) {
        app.store.revoke_token(&digest(token)).await?;
    }
    let mut response = Redirect::to("/").into_response();
    set_cookie(&mut response, "", 0, false);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_never_leads_to_another_site() {
        assert_eq!(local_path("/dags/hourly?x=1"), "/dags/hourly?x=1");
        for bad in [
            "//evil.example",
            "https://evil.example",
            "",
            "/\\evil.example",
            "javascript:1",
            "/a\r\nSet-Cookie: x",
        ] {
            assert_eq!(local_path(bad), "/", "{bad}");
        }
    }
}
