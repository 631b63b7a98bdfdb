//! Owns telling in each line of the log which request has caused it.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::model::{RequestId, current_request};

/// The lines of `Inner`; those that a request has caused have its id at their end.
///
/// By the task that works for the request, and not by a span, which would be built for each call, though few calls cause a line
/// (docs/adr/0043).
pub(super) struct RequestLines<Inner> {
    inner: Inner,
    is_json: bool,
}

impl<Inner> RequestLines<Inner> {
    /// Of JSON, if `is_json`.
    pub(super) const fn new(inner: Inner, is_json: bool) -> Self {
        Self { inner, is_json }
    }
}

impl<S, N, Inner> FormatEvent<S, N> for RequestLines<Inner>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Inner: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = current_request() else { return self.inner.format_event(context, writer, event) };
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&with_id(line, &id, self.is_json))
    }
}

/// `line`, with the id at its end. An id needs no escape.
fn with_id(line: String, id: &RequestId, is_json: bool) -> String {
    if is_json {
        line.strip_suffix("}\n").map(|object| format!("{object},\"request_id\":\"{id}\"}}\n")).unwrap_or(line)
    } else {
        format!("{} request_id={id}\n", line.trim_end_matches('\n'))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt, layer::SubscriberExt, registry};

    use super::*;
    use crate::model::for_request;

    /// Where the lines go.
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// One line that a request has caused, and one that none has.
    fn say() {
        let id = RequestId::parse(b"a-1").unwrap();
        let said = async { tracing::warn!(number = 7, "said") };
        futures_util::FutureExt::now_or_never(for_request(id, said)).unwrap();
        tracing::warn!("alone");
    }

    #[test]
    fn the_lines_of_a_request_have_its_id_and_others_have_none() {
        let said = Said::default();
        let writer = || {
            let said = said.clone();
            move || said.clone()
        };
        let text = fmt::layer().with_writer(writer()).with_ansi(false);
        let text = text.map_event_format(|format| RequestLines::new(format.without_time(), false));
        tracing::subscriber::with_default(registry().with(text), say);
        let json = fmt::layer().with_writer(writer()).json().flatten_event(true);
        let json = json.map_event_format(|format| RequestLines::new(format, true));
        tracing::subscriber::with_default(registry().with(json), say);

        let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
        let [text, text_alone, json, json_alone] = said.lines().collect::<Vec<_>>()[..] else {
            panic!("{said}")
        };
        assert!(text.ends_with(": said number=7 request_id=a-1"), "{text}");
        assert!(text_alone.ends_with(": alone"), "{text_alone}");
        let object = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let json = object(json);
        assert_eq!(
            (&json["request_id"], &json["number"], &json["message"]),
            (&"a-1".into(), &7.into(), &"said".into())
        );
        assert!(object(json_alone).get("request_id").is_none());
    }
}
