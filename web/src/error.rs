//! What can go wrong with serving, and how a failure looks as a page. The API's errors are in `api::error`.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use std::net::SocketAddr;

/// What keeps the server from running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("port {} of {} is in use by another program; stop it, or choose another address with --listen", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    #[error("cannot listen on {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("the web server stopped: {0}")]
    Serve(std::io::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why a page cannot be shown.
#[derive(Debug)]
pub(crate) enum PageError {
    NotFound(String),
    /// Signed in, but the role does not allow it.
    Forbidden(String),
    /// Nobody is signed in; afterwards the person comes back to this path.
    SignIn {
        next: String,
    },
    Conflict(String),
    Store(store::Error),
    Render(askama::Error),
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        PageError::Render(error)
    }
}

impl From<store::Error> for PageError {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        match error {
            E::NotFound { .. } => PageError::NotFound(error.to_string()),
            E::Duplicate { .. } | E::Refused { .. } | E::Stale { .. } => {
                PageError::Conflict(error.to_string())
            }
            other => PageError::Store(other),
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    version: &'a str,
    status: u16,
    title: &'a str,
    message: &'a str,
    hint: &'a str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, message, hint) = match self {
            PageError::SignIn { next } => {
                return Redirect::to(&format!("/login?next={}", crate::ui::enc(&next))).into_response();
            }
            PageError::NotFound(m) => {
                (StatusCode::NOT_FOUND, "Not here", m, "It may have been removed, or the address has a typo.")
            }
            PageError::Forbidden(m) => (
                StatusCode::FORBIDDEN,
                "Not allowed",
                m,
                "Sign in as somebody who may, or ask an administrator.",
            ),
            PageError::Conflict(m) => (
                StatusCode::CONFLICT,
                "That is not possible now",
                m,
                "Go back, and look at the newest state.",
            ),
            PageError::Store(error @ store::Error::Archive { .. }) => {
                tracing::error!(%error, "old log lines could not be read");
                let hint = "Newer lines are in the database and are shown without it.";
                (StatusCode::SERVICE_UNAVAILABLE, "The log archive does not answer", error.to_string(), hint)
            }
            PageError::Store(error) => {
                tracing::error!(%error, "a page could not be read from the store");
                let hint = "The page works again as soon as the database answers. See the Health page and the server's log.";
                (StatusCode::SERVICE_UNAVAILABLE, "The database does not answer", error.to_string(), hint)
            }
            PageError::Render(error) => {
                tracing::error!(%error, "a page could not be rendered");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "A defect of ours",
                    "The page could not be drawn.".into(),
                    "It is in the server's log.",
                )
            }
        };
        let page = ErrorPage {
            version: &crate::assets::VERSION,
            status: status.as_u16(),
            title,
            message: &message,
            hint,
        };
        match page.render() {
            Ok(html) => (status, axum::response::Html(html)).into_response(),
            Err(_) => (status, message).into_response(),
        }
    }
}
