//! Each kind of credentials gets its token the way its issuer wants, on a server that records.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use google::{CLOUD_PLATFORM, Credentials, Error, kafka_token};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::http::{Request, Response, Server};

struct Issuer {
    server: Server,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Issuer {
    async fn start(status: u16) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let answer = move |request: &Request| {
            seen.lock().unwrap().push(request.clone());
            let number = seen.lock().unwrap().len();
            let body = match request.path.as_str() {
                path if path.ends_with("/email") => {
                    return Response::text(200, "text/plain", "robot@p.iam.gserviceaccount.com\n");
                }
                path if path.ends_with(":generateAccessToken") => {
                    json!({ "accessToken": "final", "expireTime": "2026-11-22T11:00:00Z" })
                }
                _ if status == 200 => {
                    json!({ "access_token": format!("token-{number}"), "expires_in": 3600 })
                }
                _ => json!({ "error": "invalid_grant", "error_description": "Bad Request" }),
            };
            Response::text(status, "application/json", body.to_string())
        };
        Self { server: Server::start(Arc::new(answer)).await.unwrap(), asked }
    }

    fn body(&self, number: usize) -> String {
        String::from_utf8(self.asked.lock().unwrap()[number].body.clone()).unwrap()
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 10, 0, 0).unwrap()
}

/// Credentials out of a file with this content.
fn from_file(folder: &TempDir, content: &Value) -> Result<Credentials, Error> {
    let file = folder.path().join("credentials.json");
    std::fs::write(&file, content.to_string()).unwrap();
    let path = file.display().to_string();
    Credentials::found(move |name| (name == "GOOGLE_APPLICATION_CREDENTIALS").then(|| path.clone()))
}

fn login(issuer: &Issuer) -> Value {
    json!({
        "type": "authorized_user", "client_id": "client", "client_secret": "s3cret", "refresh_token": "r3fresh",
        "token_uri": format!("{}/token", issuer.server.url),
    })
}

#[tokio::test]
async fn a_login_is_refreshed_and_its_token_kept_until_it_ends() {
    let (issuer, folder) = (Issuer::start(200).await, TempDir::new().unwrap());
    let credentials = from_file(&folder, &login(&issuer)).unwrap();
    for _ in 0..3 {
        assert_eq!(credentials.token(CLOUD_PLATFORM, now()).await.unwrap().value, "token-1");
    }
    let later = now() + TimeDelta::minutes(58);
    assert_eq!(credentials.token(CLOUD_PLATFORM, later).await.unwrap().value, "token-2");
    assert!(
        issuer.body(0).contains("grant_type=refresh_token")
            && issuer.body(0).contains("refresh_token=r3fresh")
    );
    assert_eq!(issuer.count(), 2);
}

#[tokio::test]
async fn a_refusal_names_the_issuer_and_no_secret() {
    let (issuer, folder) = (Issuer::start(400).await, TempDir::new().unwrap());
    let credentials = from_file(&folder, &login(&issuer)).unwrap();
    let error = credentials.token(CLOUD_PLATFORM, now()).await.unwrap_err();
    let said = format!("{error} {error:?} {credentials:?}");
    assert!(said.contains("/token") && said.contains("Bad Request") && !error.is_retryable(), "{said}");
    assert!(!said.contains("s3cret") && !said.contains("r3fresh"), "{said}");
}

#[tokio::test]
async fn the_machines_own_identity_comes_from_the_metadata_server() {
    let issuer = Issuer::start(200).await;
    let host = issuer.server.url.trim_start_matches("http://").to_owned();
    let credentials =
        Credentials::found(move |name| (name == "GCE_METADATA_HOST").then(|| host.clone())).unwrap();
    assert_eq!(credentials.token(CLOUD_PLATFORM, now()).await.unwrap().value, "token-1");
    assert_eq!(issuer.asked.lock().unwrap()[0].headers["metadata-flavor"], "Google");
    assert_eq!(credentials.principal().await, "robot@p.iam.gserviceaccount.com (metadata server)");
}

#[tokio::test]
async fn a_foreign_token_is_exchanged_and_becomes_the_service_accounts() {
    let (issuer, folder) = (Issuer::start(200).await, TempDir::new().unwrap());
    let foreign = folder.path().join("token");
    std::fs::write(&foreign, r#"{"id": "f0reign"}"#).unwrap();
    let url = &issuer.server.url;
    let content = json!({
        "type": "external_account", "audience": "//iam.googleapis.com/x", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{url}/sts"),
        "credential_source": { "file": foreign, "format": { "type": "json", "subject_token_field_name": "id" } },
        "service_account_impersonation_url": format!("{url}/v1/projects/-/serviceAccounts/ci@p.iam.gserviceaccount.com:generateAccessToken"),
    });
    let credentials = from_file(&folder, &content).unwrap();
    let token = credentials.token(CLOUD_PLATFORM, now()).await.unwrap();
    assert_eq!((token.value.as_str(), token.expires), ("final", now() + TimeDelta::hours(1)));
    assert!(issuer.body(0).contains("subject_token=f0reign"));
    assert_eq!(issuer.asked.lock().unwrap()[1].headers["authorization"], "Bearer token-1");
    assert_eq!(credentials.email().await.unwrap(), "ci@p.iam.gserviceaccount.com");
}

#[tokio::test]
async fn a_key_file_signs_what_it_asks_with() {
    let Ok(made) = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
    else {
        testkit::skip("no openssl to make a key with", "apt-get install openssl");
        return;
    };
    let (issuer, folder) = (Issuer::start(200).await, TempDir::new().unwrap());
    let content = json!({
        "type": "service_account", "client_email": "robot@p.iam.gserviceaccount.com", "private_key_id": "k1",
        "private_key": String::from_utf8(made.stdout).unwrap(), "token_uri": format!("{}/token", issuer.server.url),
    });
    let credentials = from_file(&folder, &content).unwrap();
    assert_eq!(credentials.token(CLOUD_PLATFORM, now()).await.unwrap().value, "token-1");
    let body = issuer.body(0);
    let assertion = body.split("assertion=").nth(1).unwrap();
    assert_eq!(assertion.split('.').count(), 3, "{assertion}");
    // 2048 bits of signature in base64url.
    assert_eq!(assertion.split('.').next_back().unwrap().len(), 342);
}

#[test]
fn a_file_that_cannot_be_used_is_named_without_its_content() {
    let folder = TempDir::new().unwrap();
    let error = from_file(&folder, &json!({ "type": "service_account", "private_key": "s3cret" }))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("credentials.json")
            && error.contains("no complete credentials")
            && !error.contains("s3cret"),
        "{error}"
    );
    let missing =
        Credentials::found(|name| (name == "GOOGLE_APPLICATION_CREDENTIALS").then(|| "/nowhere".to_owned()));
    assert!(missing.unwrap_err().to_string().contains("/nowhere"));
}

#[tokio::test]
async fn kafka_takes_the_token_wrapped_with_who_and_how_long() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (issuer, folder) = (Issuer::start(200).await, TempDir::new().unwrap());
    let credentials = from_file(&folder, &login(&issuer)).unwrap();
    let token = credentials.token(CLOUD_PLATFORM, now()).await.unwrap();
    let wrapped = kafka_token(&token, "robot@p.iam.gserviceaccount.com", now());
    let parts: Vec<String> = wrapped
        .split('.')
        .map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    let [header, claims, access] = &parts[..] else { panic!("{wrapped}") };
    assert_eq!(
        serde_json::from_str::<Value>(header).unwrap(),
        json!({ "typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN" })
    );
    let claims: Value = serde_json::from_str(claims).unwrap();
    assert_eq!(claims["sub"], "robot@p.iam.gserviceaccount.com");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(access, "token-1");
}
