//! Who may look, who may write, and what a write must show.

use crate::world::{empty, now, seeded};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use chrono::TimeDelta;
use serde_json::json;
use store::auth::Role;

#[tokio::test]
async fn without_a_session_and_without_anonymous_access_pages_lead_to_the_sign_in() {
    let world = empty(None).await;
    let page = world.get("/dags/hourly?x=1").await;
    assert_eq!(
        (page.status, page.location()),
        (StatusCode::SEE_OTHER, "/login?next=%2Fdags%2Fhourly%3Fx%3D1")
    );
    let api = world.get("/api/v2/dags").await;
    assert_eq!(api.status, StatusCode::UNAUTHORIZED);
    assert!(api.json()["detail"].as_str().unwrap().contains("token"));
    assert_eq!(world.get("/login").await.status, StatusCode::OK);
    assert_eq!(world.get("/api/v2/monitor/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_foreign_name_that_points_here_reads_nothing() {
    let world = empty(Some(Role::Viewer)).await;
    assert_eq!(world.get("/").await.status, StatusCode::OK);
    let rebound = world.send(Request::get("/").header(header::HOST, "evil.example"), Body::empty()).await;
    assert_eq!(rebound.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_login_link_signs_in_once() {
    let world = empty(None).await;
    let link = web::login_link(&world.store, "http://localhost/", now()).await.unwrap();
    let path = link.strip_prefix("http://localhost").unwrap();
    let first = world.get(path).await;
    assert_eq!((first.status, first.location()), (StatusCode::SEE_OTHER, "/"));
    let set = first.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    assert_eq!(world.get_as("/", &first.cookie()).await.status, StatusCode::OK);
    let second = world.get(path).await;
    assert_eq!(second.status, StatusCode::UNAUTHORIZED);
    assert!(second.headers.get(header::SET_COOKIE).is_none() && second.text.contains("used already"));
}

#[tokio::test]
async fn a_login_link_is_worth_nothing_after_a_day() {
    let world = empty(None).await;
    let link = web::login_link(&world.store, "", now()).await.unwrap();
    world.clock.advance(TimeDelta::days(1) + TimeDelta::seconds(1));
    assert_eq!(world.get(&link).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_password_signs_in_and_signing_out_ends_the_session() {
    let world = empty(None).await;
    let hash = web::hash_password("s3cret".into()).await;
    world.store.put_user("eva", Role::Viewer, Some(&hash), now()).await.unwrap();
    let wrong = world.post("/login", "", "name=eva&password=nope&next=%2Fchecks").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let right = world.post("/login", "", "name=eva&password=s3cret&next=%2Fchecks").await;
    assert_eq!((right.status, right.location()), (StatusCode::SEE_OTHER, "/checks"));
    let cookie = right.cookie();
    let page = world.get_as("/", &cookie).await;
    assert_eq!(page.status, StatusCode::OK);
    let out = world.post("/logout", &cookie, &format!("csrf={}", page.csrf())).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert_eq!(world.get_as("/", &cookie).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guessing_a_password_must_wait() {
    let world = empty(None).await;
    for _ in 0..5 {
        assert_eq!(
            world.post("/login", "", "name=eva&password=x&next=").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(
        world.post("/login", "", "name=eva&password=x&next=").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn a_form_needs_the_role_and_the_token_of_its_own_session() {
    let world = seeded(Some(Role::Viewer)).await;
    let anonymous = world.post("/dags/hourly/pause", "", "csrf=x&paused=true&next=/").await;
    assert_eq!(anonymous.status, StatusCode::FORBIDDEN);
    let cookie = world.sign_in().await;
    let without = world.post("/dags/hourly/pause", &cookie, "csrf=x&paused=true&next=/").await;
    assert_eq!(without.status, StatusCode::FORBIDDEN);
    let other = world.get_as("/", &world.sign_in().await).await.csrf();
    let foreign =
        world.post("/dags/hourly/pause", &cookie, &format!("csrf={other}&paused=true&next=/")).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(!world.store.dag_row("hourly").await.unwrap().unwrap().paused);
    let own = world.get_as("/", &cookie).await.csrf();
    let done = world
        .post("/dags/hourly/pause", &cookie, &format!("csrf={own}&paused=true&next=//evil.example"))
        .await;
    assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/"));
    assert!(world.store.dag_row("hourly").await.unwrap().unwrap().paused);
}

#[tokio::test]
async fn an_api_write_needs_a_bearer_token_of_an_operator() {
    let world = seeded(Some(Role::Admin)).await;
    let body = json!({ "is_paused": true });
    assert_eq!(world.call("PATCH", "/api/v2/dags/hourly", "", &body).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        world.call("PATCH", "/api/v2/dags/hourly", "wrong", &body).await.status,
        StatusCode::UNAUTHORIZED
    );
    let viewer = world.token(Role::Viewer).await;
    assert_eq!(world.call("GET", "/api/v2/dags", &viewer, &json!(null)).await.status, StatusCode::OK);
    assert_eq!(
        world.call("PATCH", "/api/v2/dags/hourly", &viewer, &body).await.status,
        StatusCode::FORBIDDEN
    );
    let operator = world.token(Role::Operator).await;
    let done = world.call("PATCH", "/api/v2/dags/hourly", &operator, &body).await;
    assert_eq!((done.status, done.json()["is_paused"].clone()), (StatusCode::OK, json!(true)));
    let query = json!({ "sql": "select 1" });
    assert_eq!(
        world.call("POST", "/api/v2/warehouse/query", &operator, &query).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let world = empty(Some(Role::Viewer)).await;
    for path in ["/", "/api/v2/version", "/nowhere", "/assets/app.css"] {
        let answer = world.get(path).await;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains("script-src 'self'")
                && policy.contains("frame-ancestors 'none'")
                && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
    }
}
