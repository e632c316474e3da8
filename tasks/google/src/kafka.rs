//! The form in which Managed Service for Apache Kafka takes an access token by SASL/OAUTHBEARER.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::Token;

/// Header, claims and the access token itself, each in base64url, with dots between: it looks like a JWT, but is not signed.
#[must_use]
pub fn kafka_token(token: &Token, subject: &str, now: DateTime<Utc>) -> String {
    let header = json!({ "typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN" });
    let claims = json!({
        "exp": token.expires.timestamp(),
        "iat": now.timestamp(),
        "iss": "Google",
        "scope": "kafka",
        "sub": subject,
    });
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    [encode(header.to_string()), encode(claims.to_string()), encode(token.value.clone())].join(".")
}
