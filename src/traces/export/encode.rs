//! Owns what traces are in the messages of OTLP.

use crate::{
    base::{AttributeValue, FinishedTrace, Span, SpanId, SpanKind, Timestamp, TraceId},
    proto::opentelemetry::proto::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
        resource::v1,
        trace::v1::{
            ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span::SpanKind as OtlpKind,
            status::StatusCode,
        },
    },
    traces::Resource,
};

/// The attribute of a request's span that says how many spans of its trace found no room.
const LEFT_OUT: &str = "signet.spans_left_out";

/// The request that tells of `traces`, which are of `resource`.
pub(super) fn request(resource: &Resource, traces: Vec<FinishedTrace>) -> ExportTraceServiceRequest {
    let attributes = resource.0.iter().map(|(name, value)| text(name, value.clone())).collect();
    let scope = InstrumentationScope {
        name: "signet".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = traces.into_iter().flat_map(spans).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(v1::Resource { attributes, ..v1::Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn spans(trace: FinishedTrace) -> impl Iterator<Item = OtlpSpan> {
    let FinishedTrace { id, parent, spans, left_out } = trace;
    let own = spans.first().map(|span| span.id);
    spans.into_iter().enumerate().map(move |(at, span)| {
        let mut encoded = encoded(id, if at == 0 { parent } else { own }, span);
        if at == 0 && left_out > 0 {
            encoded.attributes.push(number(LEFT_OUT, left_out.into()));
        }
        encoded
    })
}

fn encoded(trace_id: TraceId, parent: Option<SpanId>, span: Span) -> OtlpSpan {
    let Span { id, begun_at, took, done } = span;
    let kind = match done.kind {
        SpanKind::Server => OtlpKind::Server,
        SpanKind::Client => OtlpKind::Client,
        SpanKind::Internal => OtlpKind::Internal,
    };
    let code = if done.is_error { StatusCode::Error } else { StatusCode::Unset };
    let attributes = done.attributes.into_iter().map(|(name, value)| match value {
        AttributeValue::Text(value) => text(name, value.into_owned()),
        AttributeValue::Number(value) => number(name, value),
    });
    let begun = nanos(begun_at);
    OtlpSpan {
        trace_id: trace_id.to_vec(),
        span_id: id.to_vec(),
        parent_span_id: parent.map_or_else(Vec::new, |parent| parent.to_vec()),
        name: done.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: begun,
        end_time_unix_nano: begun.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
        attributes: attributes.collect(),
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..OtlpSpan::default()
    }
}

fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or_default().saturating_mul(1_000)
}

fn text(name: &str, value: String) -> KeyValue {
    attribute(name, Value::StringValue(value))
}

fn number(name: &str, value: i64) -> KeyValue {
    attribute(name, Value::IntValue(value))
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
