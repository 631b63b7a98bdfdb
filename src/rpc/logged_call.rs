//! Owns what the request log tells of a call.

use std::{net::IpAddr, time::Duration};

use http::{HeaderMap, Request};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    auth::CallerSlot,
    identity::clients::ClientSlot,
    metrics::code_name,
    model::RequestId,
    observe::{ReceivedBytes, RequestLine, RequestLog},
    peer::PeerAddress,
};

/// A call that the request log is to tell of at its end.
#[derive(Debug)]
pub(super) struct LoggedCall {
    log: RequestLog,
    peer: Option<IpAddr>,
    received: ReceivedBytes,
    caller: CallerSlot,
    client: ClientSlot,
    reason: Option<String>,
    sent_bytes: u64,
}

impl LoggedCall {
    /// `request`, of which `log` is to tell; the layers further in say what they find of it.
    pub(super) fn begin<B>(log: &RequestLog, request: &mut Request<B>) -> Self {
        let extensions = request.extensions_mut();
        let peer = extensions.get::<PeerAddress>().map(|peer| peer.ip());
        let (received, caller) = (ReceivedBytes::default(), CallerSlot::default());
        let client = ClientSlot::default();
        extensions.insert(received.clone());
        extensions.insert(caller.clone());
        extensions.insert(client.clone());
        let log = log.clone();
        Self { log, peer, received, caller, client, reason: None, sent_bytes: 0 }
    }

    /// The call ends with these `headers` or trailers.
    pub(super) fn ends_with(&mut self, headers: &HeaderMap) {
        let status = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok);
        let info = status.and_then(|status| status.get_details_error_info());
        self.reason = info.map(|info| info.reason);
    }

    /// So much of the answer was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_bytes = self.sent_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Tells of the call of `method`, which has ended with `code`; and its ids.
    pub(super) fn tell(
        &self,
        method: &str,
        code: Code,
        took: Duration,
        (request_id, trace_id): (Option<RequestId>, Option<&str>),
    ) {
        let by_token = self.caller.caller().map(|caller| caller.claims().client_id.clone());
        let client = by_token.or_else(|| self.client.client().map(|client| client.to_string()));
        self.log.tell(&RequestLine {
            method,
            code: code_name(code as usize),
            is_error: code != Code::Ok,
            reason: self.reason.as_deref(),
            took,
            received_bytes: self.received.get(),
            sent_bytes: self.sent_bytes,
            request_id,
            trace_id,
            peer: self.peer,
            client: client.as_deref(),
        });
    }
}
