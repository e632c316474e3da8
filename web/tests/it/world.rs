//! A database with a few runs, the router over it, and requests.

use crate::seed::{self, Play, Seed};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use engine::{Bound, CallFigures, LoopFigures, StatsSnapshot};
use model::{CheckStatus, Dag, Ending, FixedClock};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use store::auth::Role;
use testkit::Database;
use tower::ServiceExt;
use warehouse::Warehouse;
use web::{Web, WebConfig};

pub struct World {
    pub store: Store,
    pub clock: Arc<FixedClock>,
    pub router: Router,
    /// The scheduled runs of `hourly`, oldest first: one that succeeded, one that failed, one that has begun.
    pub runs: Vec<String>,
    _database: Database,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    pub fn location(&self) -> &str {
        self.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The session cookie that the answer sets.
    pub fn cookie(&self) -> String {
        let set = self
            .headers
            .get(header::SET_COOKIE)
            .and_then(|value| value.to_str().ok())
            .expect("a cookie is set");
        set.split(';').next().unwrap_or_default().to_string()
    }

    pub fn csrf(&self) -> String {
        let at = self.text.find(r#"name="csrf" value=""#).expect("the page has a form") + 19;
        self.text[at..].split('"').next().unwrap_or_default().to_string()
    }
}

pub fn now() -> DateTime<Utc> {
    "2026-11-22T13:30:00Z".parse().expect("a valid instant")
}

pub async fn empty(anonymous: Option<Role>) -> World {
    world(anonymous, None, None).await
}

pub async fn world(
    anonymous: Option<Role>,
    warehouse: Option<Arc<dyn Warehouse>>,
    panels: Option<PathBuf>,
) -> World {
    let database = Database::fresh().await;
    let store = Store::connect(database.url(), 5).await.expect("connects");
    store.migrate().await.expect("migrates");
    let clock = Arc::new(FixedClock::at(now()));
    let config = WebConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        anonymous,
        title: "Streamify".into(),
        project_dashboard_dir: panels,
    };
    let stats = Arc::new(|| serde_json::to_value(counted()).expect("figures are JSON"));
    let router =
        Web::new(store.clone(), Arc::new(move || warehouse.clone()), clock.clone(), config, stats).router();
    World { store, clock, router, runs: Vec::new(), _database: database }
}

/// What an engine counts, in its own words.
fn counted() -> StatsSnapshot {
    let planner =
        LoopFigures { ticks: 3, busy_micros: 1_500, last_tick_at: Some(now()), ..LoopFigures::default() };
    let within = [(500, 1), (1_000_000, 2)].map(|(micros, count)| Bound { micros, count }).to_vec();
    let claim = CallFigures { count: 3, errors: 1, micros: 2_600_000, within };
    StatsSnapshot {
        loops: BTreeMap::from([("planner", planner)]),
        endings: BTreeMap::from([("done", 7)]),
        calls: BTreeMap::from([("claim", claim)]),
        attempts_started: 9,
        ..StatsSnapshot::default()
    }
}

/// With dags, three hourly runs, services, checks and a problem.
pub async fn seeded(anonymous: Option<Role>) -> World {
    let mut world = empty(anonymous).await;
    world.fill().await;
    world
}

impl World {
    pub async fn fill(&mut self) {
        let seed = Seed::begin(self.store.clone(), now()).await;
        let dag = seed::hourly();
        let version = seed.register(&dag, seed::SOURCE, now() - TimeDelta::hours(4)).await;
        for (back, fails) in [(3, false), (2, true), (1, false)] {
            let tick = now() - TimeDelta::hours(back) - TimeDelta::minutes(25);
            self.runs.push(seed.tick(&dag, version, tick).await);
            let at_work = back == 1;
            seed.play(tick, |claimed| {
                let id = &claimed.dag.tasks[claimed.task].id;
                let ending =
                    if fails && id == "models.dim_users" { Ending::FailedForGood } else { Ending::Done };
                (!at_work || id == "watermark").then(|| Play { seconds: 2, ending, lines: lines() })
            })
            .await;
        }
        let checked = self.attempt(&dag, 0, "reconcile", -1).await;
        seed.check(checked, "unique_dim_users_userKey", "dim_users", 0.0, CheckStatus::Pass, now()).await;
        seed.check(checked, "no_missing_hour", "fact_streams", 2.0, CheckStatus::Fail, now()).await;
        seed.services(now()).await;
        seed.problem(now()).await;
    }

    /// The newest attempt of a task in one of the runs.
    pub async fn attempt(&self, dag: &Dag, run: usize, task: &str, map_index: i32) -> i64 {
        let found = self.store.instance(&dag.id, &self.runs[run], task, map_index).await.expect("reads");
        found.and_then(|instance| instance.attempt_id).expect("it ran")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).header(header::HOST, "localhost"), Body::empty()).await
    }

    pub async fn get_as(&self, path: &str, cookie: &str) -> Answer {
        self.send(
            Request::get(path).header(header::HOST, "localhost").header(header::COOKIE, cookie),
            Body::empty(),
        )
        .await
    }

    /// A form, as a page sends it.
    pub async fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        let request = Request::post(path)
            .header(header::HOST, "localhost")
            .header(header::COOKIE, cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(form.to_string())).await
    }

    /// An API call; an empty token sends none.
    pub async fn call(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.send(request, Body::from(body.to_string())).await
    }

    pub async fn send(&self, request: axum::http::request::Builder, body: Body) -> Answer {
        let response =
            self.router.clone().oneshot(request.body(body).expect("a request")).await.expect("answers");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 32 << 20).await.expect("a body");
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// A signed-in browser's cookie.
    pub async fn sign_in(&self) -> String {
        let link = web::login_link(&self.store, "http://localhost", now()).await.expect("a link");
        self.get(link.strip_prefix("http://localhost").expect("ours")).await.cookie()
    }

    /// A bearer token of a user with this role.
    pub async fn token(&self, role: Role) -> String {
        let password = "correct horse battery staple";
        let hash = web::hash_password(password.into()).await;
        let name = format!("{role:?}").to_lowercase();
        self.store.put_user(&name, role, Some(&hash), now()).await.expect("puts");
        let body = serde_json::json!({ "username": name, "password": password });
        let answer = self.call("POST", "/auth/token", "", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["access_token"].as_str().expect("a token").to_string()
    }
}

fn lines() -> Vec<(&'static str, String)> {
    vec![
        ("system", "begins".into()),
        ("stdout", "\u{1b}[32m12,804\u{1b}[0m rows <script>alert(1)</script>".into()),
    ]
}
