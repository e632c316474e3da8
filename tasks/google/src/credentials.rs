//! Tokens, fetched when needed and kept until shortly before they expire.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::RequestBuilder;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::source::{AuthorizedUser, Source};
use crate::{Error, federation, service_account};

/// A token that ends sooner is fetched anew.
const MARGIN: TimeDelta = TimeDelta::minutes(3);
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct Token {
    pub value: String,
    pub expires: DateTime<Utc>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(expires {})", self.expires)
    }
}

/// Who this process is towards Google.
pub struct Credentials {
    source: Source,
    http: reqwest::Client,
    /// By scope.
    kept: Mutex<HashMap<String, Token>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// # Errors
    /// [`Error::File`] for a file that is named and cannot be used; nothing is contacted yet.
    pub fn from_environment() -> Result<Self, Error> {
        Self::found(|name| std::env::var(name).ok())
    }

    /// The same with variables of the caller's.
    ///
    /// # Errors
    /// As [`Self::from_environment`].
    pub fn found(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let source = Source::find(variable)?;
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        let http = http.map_err(|error| Error::None(error.to_string()))?;
        Ok(Self { source, http, kept: Mutex::new(HashMap::new()) })
    }

    /// A token for the scope that holds for a while yet.
    ///
    /// # Errors
    /// What the token's issuer said.
    pub async fn token(&self, scope: &str, now: DateTime<Utc>) -> Result<Token, Error> {
        let mut kept = self.kept.lock().await;
        if let Some(token) = kept.get(scope).filter(|token| token.expires - now > MARGIN) {
            return Ok(token.clone());
        }
        let token = self.fetch(scope, now).await?;
        kept.insert(scope.to_owned(), token.clone());
        Ok(token)
    }

    async fn fetch(&self, scope: &str, now: DateTime<Utc>) -> Result<Token, Error> {
        match &self.source {
            Source::ServiceAccount(account) => {
                let assertion = service_account::assertion(account, scope, now)?;
                let form = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion.as_str()),
                ];
                ask(self.http.post(&account.token_uri).form(&form), &account.token_uri, now).await
            }
            Source::AuthorizedUser(user) => {
                ask(self.http.post(&user.token_uri).form(&refresh(user)), &user.token_uri, now).await
            }
            Source::ExternalAccount(account) => federation::token(&self.http, account, scope, now).await,
            Source::Metadata { host } => {
                let url = format!(
                    "http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={scope}"
                );
                let asked = self.http.get(&url).header("Metadata-Flavor", "Google");
                ask(asked, &url, now).await.map_err(|error| match error {
                    Error::Refused { problem, retryable: true, .. } => Error::None(problem),
                    other => other,
                })
            }
        }
    }

    /// Whose tokens these are, for people; never a secret.
    pub async fn principal(&self) -> String {
        match &self.source {
            Source::ServiceAccount(account) => format!("{} (key file)", account.client_email),
            Source::AuthorizedUser(_) => "a person's login (gcloud)".to_owned(),
            Source::ExternalAccount(account) => match account.impersonated() {
                Some(email) => format!("{email} (workload identity federation)"),
                None => "workload identity federation".to_owned(),
            },
            Source::Metadata { .. } => match self.email().await {
                Some(email) => format!("{email} (metadata server)"),
                None => "the metadata server does not say".to_owned(),
            },
        }
    }

    /// The e-mail address that tokens stand for, where it can be known.
    pub async fn email(&self) -> Option<String> {
        match &self.source {
            Source::ServiceAccount(account) => Some(account.client_email.clone()),
            Source::ExternalAccount(account) => account.impersonated(),
            Source::AuthorizedUser(_) => None,
            Source::Metadata { host } => {
                let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/email");
                let asked = self.http.get(url).header("Metadata-Flavor", "Google").send().await.ok()?;
                let text = asked.error_for_status().ok()?.text().await.ok()?;
                Some(text.trim().to_owned()).filter(|email| email.contains('@'))
            }
        }
    }
}

fn refresh(user: &AuthorizedUser) -> [(&'static str, &str); 4] {
    [
        ("grant_type", "refresh_token"),
        ("client_id", &user.client_id),
        ("client_secret", &user.client_secret),
        ("refresh_token", &user.refresh_token),
    ]
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: i64,
}

/// Sends the request and reads OAuth's answer.
pub(crate) async fn ask(request: RequestBuilder, endpoint: &str, now: DateTime<Utc>) -> Result<Token, Error> {
    let text = send(request, endpoint).await?;
    let answer: Answer = serde_json::from_str(&text).map_err(|_| Error::Refused {
        endpoint: place(endpoint),
        problem: "its answer holds no access_token and expires_in".to_owned(),
        retryable: false,
    })?;
    Ok(Token { value: answer.access_token, expires: now + TimeDelta::seconds(answer.expires_in.max(0)) })
}

pub(crate) async fn send(request: RequestBuilder, endpoint: &str) -> Result<String, Error> {
    let refused =
        |problem: String, retryable| Error::Refused { endpoint: place(endpoint), problem, retryable };
    let response = request.send().await.map_err(|error| refused(error.without_url().to_string(), true))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| refused(error.without_url().to_string(), true))?;
    if status.is_success() {
        return Ok(text);
    }
    let said = serde_json::from_str::<serde_json::Value>(&text).ok();
    let said = said.as_ref().and_then(|body| {
        let error = &body["error"];
        body["error_description"].as_str().or(error["message"].as_str()).or(error.as_str())
    });
    let problem = format!("{status}: {}", said.unwrap_or("no reason given"));
    Err(refused(problem, status.is_server_error() || status.as_u16() == 429))
}

/// Without its query, which may hold more than an address.
fn place(endpoint: &str) -> String {
    endpoint.split('?').next().unwrap_or_default().to_owned()
}
