//! Workload identity federation: a foreign token is exchanged for Google's, then, if so configured, for a service account's.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::credentials::{ask, send};
use crate::source::{CredentialSource, ExternalAccount};
use crate::{CLOUD_PLATFORM, Error, Token};

pub(crate) async fn token(
    http: &reqwest::Client,
    account: &ExternalAccount,
    scope: &str,
    now: DateTime<Utc>,
) -> Result<Token, Error> {
    let foreign = subject_token(http, &account.credential_source).await?;
    // A token that only impersonates needs the wide scope; what it becomes gets the one asked for.
    let first = if account.service_account_impersonation_url.is_some() { CLOUD_PLATFORM } else { scope };
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", account.audience.as_str()),
        ("scope", first),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", account.subject_token_type.as_str()),
        ("subject_token", foreign.as_str()),
    ];
    let token = ask(http.post(&account.token_url).form(&form), &account.token_url, now).await?;
    match &account.service_account_impersonation_url {
        Some(url) => impersonate(http, url, &token, scope).await,
        None => Ok(token),
    }
}

async fn subject_token(http: &reqwest::Client, source: &CredentialSource) -> Result<String, Error> {
    let (place, text) = match (&source.file, &source.url) {
        (Some(file), _) => {
            let place = file.display().to_string();
            let read = tokio::fs::read_to_string(file).await;
            let text =
                read.map_err(|error| Error::File { file: place.clone(), problem: error.to_string() })?;
            (place, text)
        }
        (None, Some(url)) => {
            let request = source
                .headers
                .iter()
                .fold(http.get(url), |request, (name, value)| request.header(name, value));
            (url.clone(), send(request, url).await?)
        }
        (None, None) => {
            let problem = "credential_source needs `file` or `url`".to_owned();
            return Err(Error::File { file: "the external_account credentials".to_owned(), problem });
        }
    };
    let Some(field) = &source.format.subject_token_field_name else { return Ok(text.trim().to_owned()) };
    let found = serde_json::from_str::<Value>(&text).ok();
    found
        .as_ref()
        .and_then(|body| body[field.as_str()].as_str())
        .map(str::to_owned)
        .ok_or_else(|| Error::File { file: place, problem: format!("no JSON with a text `{field}`") })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: DateTime<Utc>,
}

async fn impersonate(http: &reqwest::Client, url: &str, token: &Token, scope: &str) -> Result<Token, Error> {
    let body = serde_json::json!({ "scope": [scope] });
    let text = send(http.post(url).bearer_auth(&token.value).json(&body), url).await?;
    let answer: Impersonated = serde_json::from_str(&text).map_err(|_| Error::Refused {
        endpoint: url.to_owned(),
        problem: "its answer holds no accessToken and expireTime".to_owned(),
        retryable: false,
    })?;
    Ok(Token { value: answer.access_token, expires: answer.expire_time })
}

impl ExternalAccount {
    /// `..../serviceAccounts/name@project.iam.gserviceaccount.com:generateAccessToken`
    pub(crate) fn impersonated(&self) -> Option<String> {
        let url = self.service_account_impersonation_url.as_deref()?;
        let name = url.rsplit('/').next()?.split(':').next()?;
        name.contains('@').then(|| name.to_owned())
    }
}
