//! Traces by OTLP, through the real program to a real receiver.

use crate::node::{Node, Start};
use crate::support::text;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::sync::{Arc, Mutex};

const DAG: &str = r#"dag: traced
tasks:
  look:
    uses: process
    with: { command: [sh, -c, 'echo "parent $TRACEPARENT, headers ${OTEL_EXPORTER_OTLP_HEADERS:-none}"'] }
  broken:
    needs: [look]
    uses: process
    retries: { limit: 1, delay: 1s }
    with: { command: [sh, -c, "echo the s3cret-word >&2; exit 3"] }
"#;

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    resources: Vec<Resource>,
    keys: Vec<String>,
}

type Receiver = Arc<Mutex<Received>>;

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
    let mut received = receiver.lock().unwrap();
    received.keys.push(headers["api-key"].to_str().unwrap().to_string());
    for of_resource in request.resource_spans {
        received.resources.extend(of_resource.resource);
        received.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
}

async fn receiver() -> (Receiver, String) {
    let receiver = Receiver::default();
    let router = Router::new().route("/v1/traces", post(take)).with_state(receiver.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (receiver, url)
}

fn attribute(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|pair| pair.key == name);
    match found.and_then(|pair| pair.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn number(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {metrics}")).trim().parse().unwrap()
}

async fn start(url: &str) -> Node {
    let start = Start::with("traced.yaml", DAG).await;
    start
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hush-hush-hush")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .env("STREAMIFY_SECRET_WORD", "s3cret-word")
        .start()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_attempts_and_tasks_are_one_trace_that_goes_on_in_child_processes() {
    let (receiver, url) = receiver().await;
    let mut node = start(&url).await;
    let output = tokio::task::block_in_place(|| node.run("traced", "first"));
    assert!(!output.status.success(), "it fails: {}", text(&output));
    let log = node.log_with("traced", "first", "look", "parent ");
    // What has ended is sent before the node has stopped.
    node.signal(Signal::SIGTERM);
    assert!(tokio::task::block_in_place(|| node.ended()).success(), "{:?}", node.said());

    let received = receiver.lock().unwrap();
    let spans = &received.spans;
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(spans.len(), 7, "{names:?}");
    let [root] = named(spans, "run traced")[..] else { panic!("one root: {names:?}") };
    assert!(root.parent_span_id.is_empty() && root.end_time_unix_nano > root.start_time_unix_nano);
    assert_eq!(attribute(&root.attributes, "streamify.outcome"), "failed");
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id), "one trace");

    let [attempt] = named(spans, "attempt look")[..] else { panic!("{names:?}") };
    let [task] = named(spans, "process look")[..] else { panic!("{names:?}") };
    assert_eq!((&attempt.parent_span_id, &task.parent_span_id), (&root.span_id, &attempt.span_id));
    assert_eq!(attribute(&task.attributes, "streamify.dag_id"), "traced");
    assert_eq!(attribute(&task.attributes, "streamify.run_id"), "first");
    assert_eq!(attribute(&task.attributes, "streamify.map_index"), "-1");
    assert_eq!(attribute(&task.attributes, "streamify.outcome"), "done");
    assert!(task.status.is_none());
    let handed_on = format!("parent 00-{}-{}-01, headers none", hex(&root.trace_id), hex(&task.span_id));
    assert!(log.contains(&handed_on), "{handed_on} is not in {log}");

    let tries = named(spans, "attempt broken");
    let numbers: Vec<String> =
        tries.iter().map(|span| attribute(&span.attributes, "streamify.try_number")).collect();
    assert_eq!(numbers.len(), 2);
    assert!(numbers.contains(&"1".to_string()) && numbers.contains(&"2".to_string()), "{numbers:?}");
    for span in tries.into_iter().chain(named(spans, "process broken")) {
        let status = span.status.as_ref().expect("an error");
        assert!(status.code == 2 && status.message.contains("exit status 3"), "{status:?}");
        assert!(!status.message.contains("s3cret-word"), "{status:?}");
        assert_eq!(attribute(&span.attributes, "streamify.outcome"), "failed");
    }
    assert!(received.keys.iter().all(|key| key == "hush-hush-hush"));
    let resource = &received.resources[0].attributes;
    assert_eq!(attribute(resource, "service.name"), "streamify");
    assert_eq!(attribute(resource, "deployment.environment.name"), "test");
    let said = node.said().join("\n");
    assert!(!said.contains("hush-hush-hush"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_costs_spans_that_are_counted_and_nothing_else() {
    let node = start("http://127.0.0.1:1").await;
    let output = tokio::task::block_in_place(|| node.run("traced", "first"));
    assert!(text(&output).contains("failed"), "the run went its way: {}", text(&output));
    let line = node.wait_for("traces are not taken");
    assert!(line.contains("127.0.0.1:1"), "{line}");
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while number(&node.get("/metrics"), "streamify_node_spans_dropped_total") < 7.0 {
        assert!(std::time::Instant::now() < give_up, "{}", node.get("/metrics"));
    }
    assert_eq!(number(&node.get("/metrics"), "streamify_node_spans_exported_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_nothing_is_handed_on() {
    let start = Start::with("traced.yaml", DAG).await;
    let node = start.env("TRACEPARENT", "00-11111111111111111111111111111111-2222222222222222-01").start();
    node.run("traced", "first");
    let log = node.log_with("traced", "first", "look", "parent ");
    assert!(log.contains("parent , headers none"), "{log}");
}
