//! Errors as Airflow's clients expect them: a status and `{"detail": ..}`.

use crate::trigger::Refusal;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

#[derive(Debug)]
pub enum ApiError {
    Unauthorized(String),
    Forbidden(String),
    NotFound(String),
    Conflict(String),
    /// The request cannot be understood or is not allowed as it is.
    Unprocessable(String),
    TooMany(String),
    Store(store::Error),
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        match error {
            E::NotFound { .. } => ApiError::NotFound(error.to_string()),
            E::Duplicate { .. } | E::Refused { .. } | E::Stale { .. } => {
                ApiError::Conflict(error.to_string())
            }
            other => ApiError::Store(other),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoDag(_) => ApiError::NotFound(refusal.to_string()),
            Refusal::Invalid(_) => ApiError::Unprocessable(refusal.to_string()),
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        ApiError::Unprocessable(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        ApiError::Unprocessable(rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            ApiError::Unauthorized(detail) => (StatusCode::UNAUTHORIZED, detail),
            ApiError::Forbidden(detail) => (StatusCode::FORBIDDEN, detail),
            ApiError::NotFound(detail) => (StatusCode::NOT_FOUND, detail),
            ApiError::Conflict(detail) => (StatusCode::CONFLICT, detail),
            ApiError::Unprocessable(detail) => (StatusCode::UNPROCESSABLE_ENTITY, detail),
            ApiError::TooMany(detail) => (StatusCode::TOO_MANY_REQUESTS, detail),
            ApiError::Store(error @ store::Error::Archive { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            ApiError::Store(error) => {
                tracing::error!(%error, "an API request failed in the store");
                (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer; see the server's log".into())
            }
        };
        let mut response = (status, Json(serde_json::json!({ "detail": detail }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
