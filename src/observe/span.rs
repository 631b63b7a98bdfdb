//! Owns the span of a call: what an exporter of traces will tell of it.

use tracing::{Metadata, Span};

use crate::model::RequestId;

/// What the spans of calls say they come from.
const TARGET: &str = "signet::call";

/// The span of one call of `method`: it tells the method and the id of the request, and nothing that was sent. As long as nobody keeps
/// spans, this builds none.
pub(crate) fn call_span(method: &str, request_id: Option<&RequestId>) -> Span {
    tracing::info_span!(target: TARGET, "call", method, request_id = request_id.map(RequestId::as_str))
}

/// Whether a line or span is no span of a call. The log has no use for those: a line has the id without them (docs/adr/0043).
pub(super) fn is_of_no_call(metadata: &Metadata<'_>) -> bool {
    metadata.target() != TARGET
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{
        Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id},
    };
    use tracing_subscriber::{
        Layer, filter::filter_fn, layer::Context, layer::SubscriberExt, registry, registry::LookupSpan,
    };

    use super::*;

    /// Keeps what spans tell, as an exporter would.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Kept {
        fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            self.0.lock().unwrap().push(attributes.metadata().name().to_owned());
            attributes.record(&mut self.clone());
        }
    }

    impl Visit for Kept {
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.lock().unwrap().push(format!("{}={value}", field.name()));
        }

        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.lock().unwrap().push(format!("{}={value:?}", field.name()));
        }
    }

    #[test]
    fn a_span_tells_method_and_id_to_who_keeps_spans_and_is_not_built_for_the_log() {
        let id = RequestId::parse(b"abc").unwrap();
        let kept = Kept::default();
        tracing::subscriber::with_default(registry().with(kept.clone()), || {
            assert!(!call_span("/a/B", Some(&id)).is_disabled());
            call_span("/a/B", None);
        });
        let told = ["call", "method=/a/B", "request_id=abc", "call", "method=/a/B"];
        assert_eq!(*kept.0.lock().unwrap(), told);

        let log = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        tracing::subscriber::with_default(registry().with(filter_fn(is_of_no_call)).with(log), || {
            assert!(call_span("/a/B", Some(&id)).is_disabled());
        });
    }
}
