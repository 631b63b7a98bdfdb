//! Owns checking how gRPC gets through: HTTP/2 from end to end, calls, trailers, the details of errors, and large headers.

use percent_encoding::percent_decode_str;
use prost::Message;
use zeroize::Zeroizing;

use super::{
    Asking, certificate,
    dial::{Connected, Unreached},
    finding::{Check, Findings, excerpt},
    http1,
    http2::{Http2, Http2Answer},
    keys::KeyIds,
    proxy::{self, Proxy},
    target::Target,
};
use crate::proto::identity::v1::GetJwksResponse;

/// What anybody may call, and who answers in a message.
pub(super) const KEYS: &str = "/identity.v1.TokenService/GetJwks";
/// What nobody may call without a token.
const ME: &str = "/identity.v1.IdentityService/GetMe";
/// What load balancers call.
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// What every call of gRPC says.
pub(super) const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// A message without any field, in the frame of gRPC.
pub(super) const EMPTY: [u8; 5] = [0; 5];

/// A header as large as the token of a user with many scopes, and one as large as a token may be that Signet takes, with its name.
const LARGE: usize = 4 * 1_024;
const LARGEST: usize = 7 * 1_024;

/// How many calls a connection must serve.
const CALLS: usize = 4;

/// The code of gRPC for a call that lacks a token.
const UNAUTHENTICATED: &str = "16";

/// How Signet answers gRPC over HTTP/1.1, which a proxy has made of it.
const OVER_HTTP1: &str = "gRPC%20is%20spoken%20over%20HTTP/2";

/// Why nothing is seen of a service that asks its clients for certificates, which is as it should be.
pub(super) const NO_CERTIFICATE: &str =
    "clients must show a certificate there: name one by --tls-client-cert and --tls-client-key";

/// How far the checks of gRPC have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Nobody answers.
    Nobody,
    /// A connection is taken.
    Connection,
    /// A connection is taken, but not without another certificate.
    Certificate,
    /// Somebody answers, and it is no gRPC that is spoken there.
    Elsewhere,
    /// Calls arrive, so that there is more to see.
    Calls,
}

/// What was found of gRPC.
pub(super) struct Grpc {
    pub(super) found: Findings,
    pub(super) proxy: Option<Proxy>,
    /// The keys that it tells by gRPC.
    pub(super) keys: Option<KeyIds>,
    pub(super) reached: Reached,
    /// Whether clients are asked for a certificate there.
    asks_certificate: bool,
    /// Whether there is a token to be tried.
    has_token: bool,
}

/// Checks gRPC at `target`, in front of which `proxy` stands as far as is known.
pub(super) async fn check(asking: &Asking, target: &Target, proxy: Option<Proxy>) -> Grpc {
    let mut grpc = Grpc {
        found: Findings::at(target),
        proxy,
        keys: None,
        reached: Reached::Nobody,
        asks_certificate: false,
        has_token: asking.token.is_some(),
    };
    let connected = match asking.dialer.dial(target, &["h2", "http/1.1"]).await {
        Err(Unreached::NoCertificate) => {
            grpc.found.ok(Check::GrpcReached, "a connection is taken");
            grpc.lacks_certificate();
            return grpc;
        }
        Err(problem) => {
            let mend = problem.mend().unwrap_or("start it, open its port, or name another by --grpc-url");
            grpc.found.wrong(Check::GrpcReached, problem.to_string(), mend);
            if problem.is_silence() {
                grpc.skip("nobody answers there");
            } else {
                grpc.reached = Reached::Elsewhere;
                grpc.skip("nothing can be asked there");
            }
            return grpc;
        }
        Ok(connected) => connected,
    };
    grpc.reached = Reached::Connection;
    grpc.asks_certificate = connected.shown.as_ref().is_some_and(|shown| shown.asks_certificate);
    grpc.found.ok(Check::GrpcReached, "a connection is taken");
    let Some(mut http2) = grpc.open(asking, target, connected).await else { return grpc };
    let Some(answered) = grpc.call(asking, target, &mut http2).await else { return grpc };
    grpc.reached = Reached::Calls;
    grpc.trailers(&answered);
    drop(http2);
    grpc.errors(asking, target).await;
    grpc.headers(asking, target).await;
    grpc.goaway(asking, target).await;
    grpc.token(asking, target).await;
    grpc
}

/// A connection of HTTP/2 to `target`.
pub(super) async fn connect(asking: &Asking, target: &Target) -> Result<Http2, String> {
    let connecting = async {
        let connected = asking.dialer.dial(target, &["h2"]).await.map_err(|problem| problem.to_string())?;
        Http2::over(connected.stream, target).await
    };
    asking.dialer.in_time(connecting).await.map_err(|problem| problem.to_string())
}

/// What is answered to a call of `path` with no message, and `headers` besides.
async fn call(
    asking: &Asking,
    http2: &mut Http2,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Http2Answer, String> {
    let headers = [&GRPC[..], headers].concat();
    let answered = asking.dialer.in_time(http2.ask(path, &headers, EMPTY.to_vec())).await;
    answered.map_err(|problem| problem.to_string())
}

/// The same on a connection of its own.
async fn call_anew(
    asking: &Asking,
    target: &Target,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Http2Answer, String> {
    let mut http2 = connect(asking, target).await?;
    call(asking, &mut http2, path, headers).await
}

/// Whether an answer is one of gRPC.
fn is_grpc(answered: &Http2Answer) -> bool {
    let kind = answered.head.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    answered.head.status == 200 && kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// What an answer is, in a clause.
fn described(answered: &Http2Answer) -> String {
    let kind = answered.head.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    let status =
        answered.header("grpc-status").map_or_else(String::new, |code| format!(", grpc-status {code}"));
    format!("{} ({}){}", answered.head.status, excerpt(kind.unwrap_or("no content-type")), excerpt(&status))
}

impl Grpc {
    /// Says of what was not looked at that it was not, since `why`.
    fn skip(&mut self, why: &str) {
        let told: Vec<_> = self.found.all.iter().map(|finding| finding.check).collect();
        let all = [
            Check::GrpcHttp2,
            Check::GrpcCall,
            Check::GrpcTrailers,
            Check::GrpcErrors,
            Check::GrpcHeaders,
            Check::GrpcGoaway,
        ];
        let all = all.into_iter().chain(self.has_token.then_some(Check::GrpcToken));
        let left: Vec<_> = all.filter(|check| !told.contains(check)).collect();
        self.found.skip(&left, why);
    }

    /// That nothing more is seen without a certificate.
    fn lacks_certificate(&mut self) {
        self.reached = Reached::Certificate;
        self.skip(NO_CERTIFICATE);
    }

    /// Whether HTTP/2 is spoken over the connection.
    async fn open(&mut self, asking: &Asking, target: &Target, connected: Connected) -> Option<Http2> {
        let found = &mut self.found;
        if let Some(shown) = &connected.shown {
            certificate::check(Check::GrpcCertificate, target, shown, asking.clock.now(), found);
            match shown.protocol.as_deref() {
                Some("h2") => found.ok(Check::GrpcAlpn, "HTTP/2 is agreed on"),
                agreed => {
                    let seen = match agreed {
                        Some(other) => format!("{other} is agreed on in the place of HTTP/2"),
                        None => "nothing is agreed on by ALPN, and clients of gRPC refuse that".to_owned(),
                    };
                    found.wrong(Check::GrpcAlpn, seen, proxy::HTTP2.of(self.proxy));
                    self.skip("HTTP/2 is not agreed on");
                    return None;
                }
            }
        }
        let opened = asking.dialer.in_time(Http2::over(connected.stream, target)).await;
        match opened {
            Ok(http2) => {
                let streams = http2.seen().max_streams;
                let streams = streams.map_or_else(|| "any number of".to_owned(), |count| count.to_string());
                self.found
                    .ok(Check::GrpcHttp2, format!("HTTP/2, with {streams} calls at once on a connection"));
                Some(http2)
            }
            Err(problem) => {
                self.closed(asking, target, &problem);
                None
            }
        }
    }

    /// That nothing is answered over a connection that was taken. In TLS 1.3 a client without a good certificate is refused so, and what
    /// breaks first does not tell the cause.
    fn closed(&mut self, asking: &Asking, target: &Target, problem: &Unreached) {
        match (self.asks_certificate, asking.dialer.has_certificate()) {
            (true, false) => self.lacks_certificate(),
            (true, true) => {
                self.reached = Reached::Certificate;
                let seen = format!("the certificate of --tls-client-cert is not taken: {problem}");
                let mend = "`--tls-client-cert` of an authority that --tls-client-ca names there";
                self.found.wrong(Check::GrpcHttp2, seen, mend);
                self.skip("the certificate is not taken");
            }
            (false, _) => {
                let mend = if target.speaks_tls {
                    proxy::HTTP2.of(self.proxy)
                } else {
                    let lines = proxy::HTTP2_IN_PLAINTEXT.of(self.proxy);
                    format!("{lines}; or ask by `https://`, if TLS is spoken there")
                };
                self.found.wrong(Check::GrpcHttp2, format!("no HTTP/2: {problem}"), mend);
                self.skip("HTTP/2 is not spoken");
            }
        }
    }

    /// Whether a call arrives at Signet.
    async fn call(&mut self, asking: &Asking, target: &Target, http2: &mut Http2) -> Option<Http2Answer> {
        let answered = match call(asking, http2, KEYS, &[]).await {
            Ok(answered) => answered,
            Err(problem) => {
                let seen = format!("{KEYS} is not answered: {problem}");
                self.found.wrong(Check::GrpcCall, seen, proxy::UPSTREAM.of(self.proxy));
                self.skip("no call arrives");
                return None;
            }
        };
        self.proxy = self.proxy.or(Proxy::of(&answered.head.headers, &answered.body));
        if is_grpc(&answered) {
            self.found.ok(Check::GrpcCall, format!("{KEYS} is answered"));
            return Some(answered);
        }
        // So nginx has it (`ssl_verify_client on`), by a page of its own.
        if self.asks_certificate && !asking.dialer.has_certificate() && answered.head.status == 400 {
            self.lacks_certificate();
            return None;
        }
        if self.proxy.is_none() && http1::is_own_not_found(answered.head.status, &answered.body) {
            let seen = "Signet answers, by --http-addr, and gRPC is at --grpc-addr";
            let mend = format!(
                "`--grpc-url {}` with the port of --grpc-addr; behind a proxy lead /identity.v1. to that",
                target.with_port(50_051)
            );
            self.found.wrong(Check::GrpcCall, seen, mend);
            self.reached = Reached::Elsewhere;
            self.skip("no call arrives");
            return None;
        }
        let by_http1 = answered.header("grpc-message").is_some_and(|said| said.contains(OVER_HTTP1));
        let status = answered.head.status.as_u16();
        let (seen, lines) = if by_http1 {
            (
                "what is in front speaks HTTP/1.1 to Signet, where trailers are lost".to_owned(),
                &proxy::UPSTREAM,
            )
        } else if matches!(status, 502..=504) {
            (
                format!("what is in front does not reach Signet, or not by HTTP/2: {}", described(&answered)),
                &proxy::UPSTREAM,
            )
        } else {
            (format!("{KEYS} is answered by somebody else: {}", described(&answered)), &proxy::ROUTE)
        };
        let mend = format!("{}; or name where gRPC is by --grpc-url", lines.of(self.proxy));
        self.found.wrong(Check::GrpcCall, seen, mend);
        self.skip("no call arrives");
        None
    }

    /// Whether the trailers of an answer arrive, in which gRPC says how a call has ended.
    fn trailers(&mut self, answered: &Http2Answer) {
        let status = answered.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        if status.is_none() {
            let seen = "the answer comes without trailers, so clients take each call for one that failed";
            self.found.wrong(Check::GrpcTrailers, seen, proxy::UPSTREAM.of(self.proxy));
            return;
        }
        self.found.ok(Check::GrpcTrailers, "grpc-status comes in the trailers");
        let message =
            answered.body.get(EMPTY.len()..).and_then(|message| GetJwksResponse::decode(message).ok());
        let keys = message.map(|message| message.keys).unwrap_or_default();
        self.keys = Some(keys.into_iter().map(|key| key.kid).collect());
    }

    /// Whether a call that is refused says why.
    async fn errors(&mut self, asking: &Asking, target: &Target) {
        let check = Check::GrpcErrors;
        match call_anew(asking, target, ME, &[]).await {
            Err(problem) => {
                let seen = format!("{ME} without a token is not answered: {problem}");
                self.found.wrong(check, seen, proxy::ERRORS.of(self.proxy));
            }
            Ok(answered)
                if answered.header("grpc-status") != Some(UNAUTHENTICATED) || !is_grpc(&answered) =>
            {
                let seen = format!(
                    "{ME} without a token is answered {}, and not grpc-status 16",
                    described(&answered)
                );
                self.found.wrong(check, seen, proxy::ERRORS.of(self.proxy));
            }
            Ok(answered) if answered.header("grpc-status-details-bin").is_none() => {
                let seen = "errors come without their details (reason, fields, when to try again)";
                self.found.warning(check, seen, proxy::ERRORS.of(self.proxy));
            }
            Ok(_) => self.found.ok(check, "errors come with their details"),
        }
    }

    /// Whether headers as large as tokens pass.
    async fn headers(&mut self, asking: &Asking, target: &Target) {
        let check = Check::GrpcHeaders;
        let mut refused = None;
        for size in [LARGE, LARGEST] {
            // A letter that is not made smaller on its way.
            let value = "X".repeat(size);
            let told = match call_anew(asking, target, KEYS, &[("x-signet-doctor", &value)]).await {
                Ok(answered) if is_grpc(&answered) => continue,
                Ok(answered) => described(&answered),
                Err(problem) => problem,
            };
            refused = Some((size, told));
            break;
        }
        let mend = || format!("{}; in Signet --max-header-bytes", proxy::LARGE_HEADERS.of(self.proxy));
        match refused {
            None => self.found.ok(check, format!("a header of {} KiB passes", LARGEST / 1_024)),
            Some((size, told)) => {
                let seen =
                    format!("a header of {} KiB, as a token can have, does not pass: {told}", size / 1_024);
                let mend = mend();
                if size == LARGE {
                    self.found.wrong(check, seen, mend);
                } else {
                    self.found.warning(check, seen, mend);
                }
            }
        }
    }

    /// Whether one connection serves some calls.
    async fn goaway(&mut self, asking: &Asking, target: &Target) {
        let check = Check::GrpcGoaway;
        let mut http2 = match connect(asking, target).await {
            Ok(http2) => http2,
            Err(problem) => {
                self.found.wrong(
                    check,
                    format!("no second connection: {problem}"),
                    proxy::CONNECTION_AGE.of(self.proxy),
                );
                return;
            }
        };
        for count in 0..CALLS {
            let path = if count % 2 == 0 { KEYS } else { HEALTH };
            let called = call(asking, &mut http2, path, &[]).await;
            let goaway = http2.seen().goaway;
            let problem = match (called, goaway) {
                (Ok(_), None) => continue,
                (_, Some(goaway)) => {
                    format!("the connection ends by {} after {} calls", goaway.described(), count + 1)
                }
                (Err(problem), None) => {
                    format!("the connection ends without GOAWAY at call {}: {problem}", count + 1)
                }
            };
            let seen = format!("{problem}, so clients connect anew all the time");
            self.found.warning(check, seen, proxy::CONNECTION_AGE.of(self.proxy));
            return;
        }
        self.found.ok(check, format!("{CALLS} calls on one connection"));
    }

    /// Whether the token that was given is taken.
    async fn token(&mut self, asking: &Asking, target: &Target) {
        let check = Check::GrpcToken;
        let Some(token) = &asking.token else { return };
        let mend = "get another: `IssueToken`; if that is refused as well, what is in front must hand on `authorization`";
        match show(asking, target, token).await {
            Ok(Some(answered)) if answered.header("grpc-status") == Some("0") => {
                self.found.ok(check, "the token of --token-file is taken");
            }
            Ok(Some(answered)) => {
                let said = answered.header("grpc-message").unwrap_or_default();
                let said = excerpt(&percent_decode_str(said).decode_utf8_lossy());
                self.found.wrong(
                    check,
                    format!("the token is refused: {}: {said}", described(&answered)),
                    mend,
                );
            }
            Ok(None) => {
                let why = "the token is sent by TLS with a good certificate alone, or on this machine";
                self.found.skip(&[check], why);
            }
            Err(problem) => self.found.wrong(check, format!("the call is not answered: {problem}"), mend),
        }
    }
}

/// What is answered to a call that shows `token`; none if others could read it on the way. The connection that it is sent over is the one
/// that is looked at.
async fn show(asking: &Asking, target: &Target, token: &str) -> Result<Option<Http2Answer>, String> {
    let connected = asking.dialer.dial(target, &["h2"]).await.map_err(|problem| problem.to_string())?;
    let is_private =
        connected.shown.as_ref().map_or_else(|| target.is_loopback(), |shown| shown.problem.is_none());
    if !is_private {
        return Ok(None);
    }
    let opened = asking.dialer.in_time(Http2::over(connected.stream, target)).await;
    let mut http2 = opened.map_err(|problem| problem.to_string())?;
    let bearer = Zeroizing::new(format!("Bearer {token}"));
    call(asking, &mut http2, ME, &[("authorization", bearer.as_str())]).await.map(Some)
}
