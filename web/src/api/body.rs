//! JSON bodies and queries whose errors are ours.

use super::ApiError;
use axum::extract::{FromRequest, FromRequestParts};

/// A JSON body; what does not fit is 422 with the reason.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Body<T>(pub T);

/// Query parameters; what does not fit is 422 with the reason.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);
