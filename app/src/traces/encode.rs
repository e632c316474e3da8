//! Spans as the messages of OTLP.

use chrono::{DateTime, Utc};
use model::RunState;
use model::trace::{Span, Traces, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status};
use prost::Message;
use store::runs::Run;

pub fn resource(attributes: &[(String, String)]) -> Resource {
    let attributes = attributes.iter().map(|(name, value)| pair(name, &Value::Text(value.clone()))).collect();
    Resource { attributes, ..Resource::default() }
}

/// The body of one request.
pub fn request(resource: &Resource, spans: Vec<Span>) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: "streamify".to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        ..InstrumentationScope::default()
    };
    let spans = spans.into_iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let of_resource =
        ResourceSpans { resource: Some(resource.clone()), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec()
}

/// The root of a run's trace.
pub fn run(traces: &Traces, run: &Run) -> Span {
    let mut attributes = vec![
        ("streamify.dag_id", Value::Text(run.dag_id.clone())),
        ("streamify.run_id", Value::Text(run.run_id.clone())),
        ("streamify.run_type", run.run_type.as_str().into()),
        ("streamify.outcome", run.state.as_str().into()),
        ("streamify.dag_version", run.version_id.into()),
    ];
    if let Some(window) = &run.window {
        attributes.push(("streamify.window_start", Value::Text(window.start.to_rfc3339())));
        attributes.push(("streamify.window_end", Value::Text(window.end.to_rfc3339())));
    }
    let start = run.started_at.unwrap_or(run.queued_at);
    Span {
        place: traces.run(run.id),
        parent: None,
        name: format!("run {}", run.dag_id),
        start,
        end: run.ended_at.unwrap_or(start),
        attributes,
        error: (run.state == RunState::Failed).then(|| "a task of it failed".to_string()),
    }
}

fn span(span: Span) -> otlp::Span {
    const IS_SAMPLED: u32 = 1;
    let status = span.error.map(|message| Status { message, code: StatusCode::Error.into() });
    otlp::Span {
        trace_id: span.place.trace.to_vec(),
        span_id: span.place.span.to_vec(),
        parent_span_id: span.parent.map(|id| id.to_vec()).unwrap_or_default(),
        flags: IS_SAMPLED,
        name: span.name,
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end.max(span.start)),
        attributes: span.attributes.iter().map(|(name, value)| pair(name, value)).collect(),
        status,
        ..otlp::Span::default()
    }
}

fn pair(name: &str, value: &Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text.clone()),
        Value::Number(number) => any_value::Value::IntValue(*number),
    };
    KeyValue { key: name.to_string(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(instant: DateTime<Utc>) -> u64 {
    instant.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0)
}
