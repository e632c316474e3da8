//! `/metrics`: the format of Prometheus, who may read it, and what it counts.

use crate::seed::{self, Seed};
use crate::world::{World, empty, now, seeded};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use std::sync::Arc;
use store::auth::Role;
use store::retention::{Mode, Policy, Position, Pruned};
use tokio_util::sync::CancellationToken;
use web::{Web, WebConfig};

async fn text(world: &World) -> String {
    let answer = world.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(
        answer.headers[header::CONTENT_TYPE].to_str().expect("text").starts_with("text/plain; version=0.0.4")
    );
    answer.text
}

#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no series {series} in\n{text}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[tokio::test]
async fn every_sample_belongs_to_a_family_with_help_and_type_and_no_series_comes_twice() {
    let world = seeded(Some(Role::Viewer)).await;
    let text = text(&world).await;
    let mut seen = std::collections::BTreeSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.starts_with(family) && family.starts_with("streamify_"), "{line} after {family}");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            assert!(seen.insert(series), "{series} twice");
        }
    }
    assert!(seen.len() > 25, "{text}");
}

#[tokio::test]
async fn runs_queues_services_and_the_engine_are_counted() {
    let world = seeded(Some(Role::Viewer)).await;
    let text = text(&world).await;
    assert_eq!(value(&text, r#"streamify_runs{state="running"}"#), 2.0);
    assert_eq!(value(&text, r#"streamify_attempts{queue="default",class="service",state="running"}"#), 2.0);
    assert_eq!(value(&text, r#"streamify_task_instances{state="running"}"#), 6.0);
    assert_eq!(value(&text, r#"streamify_service_ready{dag="ingest",task="generator",map_index="-1"}"#), 1.0);
    assert_eq!(value(&text, r#"streamify_service_ready{dag="ingest",task="stream",map_index="-1"}"#), 0.0);
    assert_eq!(value(&text, r#"streamify_service_lag{dag="ingest",task="stream",map_index="-1"}"#), 212.0);
    assert_eq!(
        value(&text, r#"streamify_invariant_violations{invariant="running_runs_without_open_instances"}"#),
        0.0
    );
    assert_eq!(value(&text, r#"streamify_attempts_ended_total{ending="done"}"#), 7.0);
    assert_eq!(value(&text, r#"streamify_loop_rounds_total{loop="planner"}"#), 3.0);
    assert_eq!(value(&text, r#"streamify_node_heartbeat_age_seconds{node="laptop"}"#), 0.0);
    assert_eq!(value(&text, r#"streamify_node_slots{node="laptop",class="task"}"#), 16.0);
    assert_eq!(value(&text, r#"streamify_node_slots{node="laptop",class="service"}"#), 8.0);
    assert_eq!(value(&text, r#"streamify_loop_busy_seconds_total{loop="planner"}"#), 0.0015);
    assert_eq!(value(&text, r#"streamify_duty_lease_seconds{duty="planner"}"#), 30.0);
    assert_eq!(value(&text, "streamify_dag_problems"), 1.0);
    assert_eq!(value(&text, "streamify_run_queue_oldest_age_seconds"), 0.0);
    assert!(value(&text, r#"streamify_database_connections{state="idle"}"#) <= 5.0);
    assert_eq!(value(&text, "streamify_database_connections_limit"), 5.0);
}

#[tokio::test]
async fn calls_of_the_store_are_a_histogram_with_their_errors() {
    let world = empty(Some(Role::Viewer)).await;
    let text = text(&world).await;
    let of = |suffix: &str| value(&text, &format!("streamify_store_call_duration_seconds_{suffix}"));
    assert_eq!(of(r#"bucket{call="claim",le="0.0005"}"#), 1.0);
    assert_eq!(of(r#"bucket{call="claim",le="1"}"#), 2.0);
    assert_eq!(of(r#"bucket{call="claim",le="+Inf"}"#), 3.0);
    assert_eq!((of(r#"count{call="claim"}"#), of(r#"sum{call="claim"}"#)), (3.0, 2.6));
    assert_eq!(value(&text, r#"streamify_store_call_errors_total{call="claim"}"#), 1.0);
}

#[tokio::test]
async fn a_dag_is_failing_while_its_newest_ended_run_failed_and_it_is_not_paused() {
    let world = empty(Some(Role::Viewer)).await;
    let seed = Seed::begin(world.store.clone(), now()).await;
    let dag = seed::hourly();
    let version = seed.register(&dag, seed::SOURCE, now() - chrono::TimeDelta::hours(4)).await;
    let failing = r#"streamify_dag_failing{dag="hourly"} 1"#;
    for (back, ending) in
        [(3, model::Ending::Done), (2, model::Ending::FailedForGood), (1, model::Ending::Done)]
    {
        let tick = now() - chrono::TimeDelta::hours(back);
        seed.tick(&dag, version, tick).await;
        seed.play(tick, |_| Some(seed::Play { seconds: 1, ending: ending.clone(), lines: Vec::new() })).await;
        assert_eq!(text(&world).await.contains(failing), ending != model::Ending::Done, "{back} hours ago");
    }
}

/// Three runs of a dag end, and but the newest go.
pub async fn prune_two_runs(world: &World) {
    let seed = Seed::begin(world.store.clone(), now()).await;
    let dag = seed::dag("old", model::dag::Schedule::Manual, vec![seed::task("only", "process", &[])]);
    let version = seed.register(&dag, seed::SOURCE, now() - chrono::TimeDelta::hours(4)).await;
    for back in [3, 2, 1] {
        let tick = now() - chrono::TimeDelta::hours(back);
        seed.tick(&dag, version, tick).await;
        let done = || seed::Play { seconds: 1, ending: model::Ending::Done, lines: Vec::new() };
        seed.play(tick, |claimed| (claimed.dag_id == "old").then(done)).await;
    }
    let policy = Policy { runs_per_dag: 1, ..Policy::never() };
    let mut at = Some(Position::default());
    while let Some(position) = at {
        at = world.store.prune_step(&policy, &position, Mode::Remove, now()).await.expect("a step").next;
    }
    world.store.end_prune("retention", &Pruned::new(), now()).await.expect("counts");
}

#[tokio::test]
async fn what_went_for_its_age_is_counted_with_the_time_of_the_last_pass() {
    let world = empty(Some(Role::Viewer)).await;
    assert!(
        !text(&world).await.contains("\nstreamify_prune_last_pass_timestamp_seconds"),
        "there was no pass"
    );
    prune_two_runs(&world).await;
    let text = text(&world).await;
    for what in ["runs", "task_instances", "attempts"] {
        assert_eq!(value(&text, &format!(r#"streamify_pruned_rows_total{{what="{what}"}}"#)), 2.0, "{what}");
    }
    let last = value(&text, "streamify_prune_last_pass_timestamp_seconds");
    assert_eq!(last, now().timestamp() as f64);
    assert!(!text.contains(r#"what="passes""#), "{text}");
}

#[tokio::test]
async fn requests_are_counted_by_route_not_by_address() {
    let world = seeded(Some(Role::Viewer)).await;
    for path in ["/dags/hourly", "/dags/ingest", "/dags/none", "/nowhere"] {
        world.get(path).await;
    }
    let text = text(&world).await;
    let of = |route: &str, status: &str| {
        value(
            &text,
            &format!(r#"streamify_http_requests_total{{route="{route}",method="GET",status="{status}"}}"#),
        )
    };
    assert_eq!((of("/dags/{dag}", "200"), of("/dags/{dag}", "404")), (2.0, 1.0));
    assert_eq!(of("unmatched", "404"), 1.0);
    let of_requests = text.lines().filter(|line| line.starts_with("streamify_http_"));
    assert!(of_requests.clone().count() > 5 && of_requests.clone().all(|line| !line.contains("hourly")));
    let series =
        r#"streamify_http_request_duration_seconds_bucket{route="/dags/{dag}",method="GET",le="+Inf"}"#;
    assert_eq!(value(&text, series), 3.0);
}

#[tokio::test]
async fn whoever_may_not_look_at_pages_needs_a_token_for_metrics() {
    let world = empty(None).await;
    assert_eq!(world.get("/metrics").await.status, StatusCode::UNAUTHORIZED);
    let token = world.token(Role::Viewer).await;
    let asked = Request::get("/metrics")
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    assert_eq!(world.send(asked, Body::empty()).await.status, StatusCode::OK);
    let open = empty(Some(Role::Viewer)).await;
    let rebound =
        open.send(Request::get("/metrics").header(header::HOST, "evil.example"), Body::empty()).await;
    assert_eq!(rebound.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_node_without_pages_tells_metrics_and_health_and_nothing_else() {
    let world = seeded(Some(Role::Viewer)).await;
    let config = WebConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        anonymous: Some(Role::Viewer),
        title: "Streamify".into(),
        project_dashboard_dir: None,
    };
    let figures = Arc::new(|| serde_json::Value::Null);
    let monitor = Web::new(world.store.clone(), Arc::new(|| None), world.clock.clone(), config, figures);
    let listener = monitor.bind().await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let server = tokio::spawn(monitor.serve_monitor(listener, stop.clone()));
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.expect("answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let (status, text) = get("/metrics").await;
    assert_eq!((status, value(&text, r#"streamify_node_slots{node="laptop",class="task"}"#)), (200, 16.0));
    assert_eq!(get("/api/v2/monitor/health").await.0, 200);
    for path in ["/", "/dags", "/api/v2/dags", "/login"] {
        assert_eq!(get(path).await.0, 404, "{path}");
    }
    stop.cancel();
    server.await.expect("does not panic").expect("ends well");
}

#[tokio::test]
async fn the_cost_of_metrics_does_not_grow_with_history() {
    let world = empty(Some(Role::Viewer)).await;
    let seed = Seed::begin(world.store.clone(), now()).await;
    let dag = seed::hourly();
    let version = seed.register(&dag, seed::SOURCE, now()).await;
    let few = crate::queries::counted(world.get("/metrics")).await.1;
    assert!(few > 0, "queries are counted");
    for back in 0..5 {
        let tick = now() - chrono::TimeDelta::hours(back);
        seed.tick(&dag, version, tick).await;
        seed.play(tick, |_| Some(seed::Play { seconds: 1, ending: model::Ending::Done, lines: Vec::new() }))
            .await;
    }
    let many = crate::queries::counted(world.get("/metrics")).await.1;
    assert_eq!(many, few, "the same queries, however much has happened");
}
