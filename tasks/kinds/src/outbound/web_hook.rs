//! A notice as one POST of JSON.

use crate::address;
use model::notify::Notice;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
/// The same notice sent twice says so.
const KEY_HEADER: &str = "idempotency-key";

/// Errors name the server only: path, query and headers of a web hook may be its secret.
pub async fn post(
    client: &reqwest::Client,
    notice: &Notice,
    url: &str,
    headers: &BTreeMap<String, String>,
    json: &Value,
) -> Result<(), String> {
    let body = if json.is_null() { plain(notice)? } else { json.clone() };
    let key = format!("streamify-notice-{}", notice.id);
    let mut request = client.post(url).timeout(TIMEOUT).header(KEY_HEADER, key).json(&body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let shown = address::origin(url);
    let request = request.build().map_err(|error| format!("{shown}: {}", address::failure(error)))?;
    let answer =
        client.execute(request).await.map_err(|error| format!("{shown}: {}", address::failure(error)))?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("{shown} answered {status}")) }
}

/// The notice itself, without where it goes.
fn plain(notice: &Notice) -> Result<Value, String> {
    let mut body = serde_json::to_value(notice).map_err(|error| format!("the notice as JSON: {error}"))?;
    if let Some(body) = body.as_object_mut() {
        body.remove("target");
    }
    Ok(body)
}
