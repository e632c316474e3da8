//! `POST /auth/token`: a bearer token for a password, as Airflow's simple auth manager gives it.

use super::ApiError;
use super::body::Body;
use crate::app::Shared;
use crate::auth::{self, API_TOKEN_LENGTH, Checked};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use store::auth::TokenKind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    username: String,
    password: String,
}

pub async fn token(
    State(app): State<Shared>,
    Body(given): Body<Credentials>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let user = match auth::check_password(&app, &given.username, given.password).await? {
        Checked::Right(user) => user,
        Checked::Wrong => return Err(ApiError::Unauthorized("Invalid credentials".into())),
        Checked::Wait => {
            return Err(ApiError::TooMany("too many attempts for this user; wait a minute".into()));
        }
    };
    let now = app.clock.now();
    let token = auth::new_token();
    app.store
        .put_token(
            user.id,
            TokenKind::Api,
            &auth::digest(&token),
            "POST /auth/token",
            Some(now + API_TOKEN_LENGTH),
            now,
        )
        .await?;
    app.store.audit(&user.name, "user.token", &user.name, json!({}), now).await?;
    Ok((StatusCode::CREATED, Json(json!({ "access_token": token }))))
}
