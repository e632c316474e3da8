//! Notices by HTTP and SMTP, and probes, against servers on loopback.

use crate::smtp_server::SmtpServer;
use crate::support::noon;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use kinds::outbound::{Client, SmtpSettings};
use model::notify::{Event, Notice, Target};
use model::platform::Outbound;
use model::probe::Ask;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

fn notice(target: Target) -> Notice {
    Notice {
        id: 41,
        event: Event::Failure,
        dag_id: "hourly".to_string(),
        run_id: "r1".to_string(),
        task_id: None,
        run_state: "failed".to_string(),
        at: noon(),
        text: "hourly failed: load ended with exit status 3 – Größe".to_string(),
        failed: Vec::new(),
        url: Some("http://127.0.0.1:8080/dags/hourly/runs/r1".to_string()),
        target,
    }
}

fn hook(url: String, json: Value) -> Target {
    let headers = BTreeMap::from([("x-key".to_string(), "hush".to_string())]);
    Target::Http { url, headers, json }
}

fn email(to: &[&str], subject: &str) -> Target {
    Target::Email { to: to.iter().map(ToString::to_string).collect(), subject: subject.to_string() }
}

fn client(smtp: Option<&SmtpServer>) -> Client {
    let settings =
        smtp.map(|server| SmtpSettings::new(&server.url, "Streamify <alerts@example.org>").unwrap());
    Client::new(reqwest::Client::new(), settings)
}

type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

async fn server() -> (String, Seen) {
    let seen = Seen::default();
    let kept = seen.clone();
    let take = move |headers: HeaderMap, body: axum::Json<Value>| async move {
        kept.lock().unwrap().push((headers, body.0));
        StatusCode::ACCEPTED
    };
    let router = Router::new()
        .route("/hook", post(take))
        .route("/refuses", post(|| async { (StatusCode::FORBIDDEN, "no, hush") }))
        .route("/silent", get(std::future::pending::<()>))
        .route("/fine", get(|| async { "ok" }))
        .route("/ill", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), seen)
}

#[tokio::test]
async fn a_notice_is_posted_with_its_headers_and_body() {
    let (server, seen) = server().await;
    let target = hook(format!("{server}/hook"), json!({"text": "it failed"}));
    client(None).send(&notice(target)).await.unwrap();
    let (headers, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(body, json!({"text": "it failed"}));
    assert_eq!(headers["x-key"], "hush");
    assert_eq!(headers["idempotency-key"], "streamify-notice-41");
}

#[tokio::test]
async fn without_a_body_the_notice_itself_is_posted_but_not_where_it_goes() {
    let (server, seen) = server().await;
    client(None).send(&notice(hook(format!("{server}/hook?token=hush"), Value::Null))).await.unwrap();
    let (_, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(
        (&body["event"], &body["dag_id"], &body["run_state"]),
        (&json!("failure"), &json!("hourly"), &json!("failed"))
    );
    assert!(!body.to_string().contains("hush"), "{body}");
}

#[tokio::test]
async fn what_goes_wrong_with_a_hook_is_told_without_its_secrets() {
    let (server, _) = server().await;
    let tell = async |url: String| client(None).send(&notice(hook(url, Value::Null))).await.unwrap_err();
    let refused = tell(format!("{server}/refuses?token=hush")).await;
    assert!(refused.contains("403") && !refused.contains("hush"), "{refused}");
    let unreachable = tell("http://127.0.0.1:1/hush?token=hush".to_string()).await;
    assert!(unreachable.contains("http://127.0.0.1:1") && !unreachable.contains("hush"), "{unreachable}");
    let no_url = tell("hush".to_string()).await;
    assert!(no_url.starts_with("the URL: ") && !no_url.contains("hush"), "{no_url}");
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_refused_without_its_value() {
    let (server, _) = server().await;
    let headers = BTreeMap::from([("x-key".to_string(), "hush\nhush".to_string())]);
    let target = Target::Http { url: format!("{server}/hook"), headers, json: Value::Null };
    let error = client(None).send(&notice(target)).await.unwrap_err();
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test]
async fn an_email_reaches_all_recipients_as_utf8_text() {
    let server = SmtpServer::start(&[]).await;
    let target = email(&["ann@example.org", "Bob <bob@example.org>"], "hourly\nis broken");
    client(Some(&server)).send(&notice(target)).await.unwrap();
    let mail = server.mail();
    assert_eq!(mail.from, "alerts@example.org");
    assert_eq!(mail.to, ["ann@example.org", "bob@example.org"]);
    assert!(mail.has_line("Subject: hourly is broken"), "{}", mail.data);
    assert!(mail.has_line("Message-ID: <notice-41@example.org>"), "{}", mail.data);
    assert!(mail.has_line("From: Streamify <alerts@example.org>"), "{}", mail.data);
    let body = mail.body();
    assert!(body.contains("Größe") && body.contains("run:   r1"), "{body}");
}

#[tokio::test]
async fn a_subject_that_is_not_given_says_event_dag_and_run() {
    let server = SmtpServer::start(&[]).await;
    client(Some(&server)).send(&notice(email(&["ann@example.org"], ""))).await.unwrap();
    assert!(server.mail().has_line("Subject: [failure] hourly r1"));
}

#[tokio::test]
async fn a_refused_recipient_is_an_error_with_the_servers_words() {
    let server = SmtpServer::start(&["bob@example.org"]).await;
    let error = client(Some(&server)).send(&notice(email(&["bob@example.org"], ""))).await.unwrap_err();
    assert!(error.contains("550") && error.contains("no such user"), "{error}");
    let no_address = client(Some(&server)).send(&notice(email(&["bob"], ""))).await.unwrap_err();
    assert!(no_address.contains("`bob` is no e-mail address"), "{no_address}");
}

#[tokio::test]
async fn without_settings_an_email_names_them_and_wrong_ones_never_show_the_password() {
    let error = client(None).send(&notice(email(&["ann@example.org"], ""))).await.unwrap_err();
    assert!(error.contains("smtp_url") && error.contains("smtp_from"), "{error}");
    for (url, from, named) in [
        ("smpt://me:hush@example.org", "a@example.org", "smtp_url"),
        ("not a url with hush", "a@example.org", "smtp_url"),
        ("smtp://me:hush@example.org", "nobody", "smtp_from"),
    ] {
        let Err(error) = SmtpSettings::new(url, from) else { panic!("{url} {from} is taken") };
        assert!(error.starts_with(named) && !error.contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn probes_ask_by_http_and_tcp_and_do_not_wait_for_ever() {
    let (server, _) = server().await;
    let client = client(None);
    let probe = async |ask: Ask, timeout| client.probe(&ask, Duration::from_millis(timeout)).await;
    let get = |page: &str| Ask::Http(format!("{server}{page}?token=hush"));
    assert_eq!(probe(get("/fine"), 5000).await, Ok(()));
    let ill = probe(get("/ill"), 5000).await.unwrap_err();
    assert!(ill.contains("/ill answered 503") && !ill.contains("hush"), "{ill}");
    let silent = probe(get("/silent"), 20).await.unwrap_err();
    assert!(silent.contains("did not answer within 20ms"), "{silent}");
    let place = server.strip_prefix("http://").unwrap().to_string();
    assert_eq!(probe(Ask::Tcp(place), 5000).await, Ok(()));
    assert!(probe(Ask::Tcp("127.0.0.1:1".to_string()), 5000).await.is_err());
    assert!(probe(Ask::Lag(1), 5000).await.is_err());
}
