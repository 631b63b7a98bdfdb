//! Owns checking that what pages and scripts speak gets through: gRPC-Web, and Connect over HTTP/1.1.

use http::{Request, header};
use serde_json::Value;

use super::{
    Asking,
    finding::{Check, Findings},
    grpc::{EMPTY, KEYS},
    http1::{self, Http1Answer},
    proxy::{self, Proxy},
    target::Target,
};

/// The content type of gRPC-Web, in bytes.
const GRPC_WEB: &str = "application/grpc-web+proto";

/// The frame of gRPC-Web that holds the trailers.
const TRAILERS: u8 = 0x80;

/// Checks both at `target`.
pub(super) async fn check(asking: &Asking, target: &Target, proxy: Option<Proxy>) -> Findings {
    let mut found = Findings::at(target);
    let body = EMPTY.to_vec();
    told(Check::GrpcWeb, "gRPC-Web", ask(asking, target, GRPC_WEB, body).await, is_web, proxy, &mut found);
    let body = b"{}".to_vec();
    told(
        Check::GrpcConnect,
        "Connect",
        ask(asking, target, "application/json", body).await,
        is_json,
        proxy,
        &mut found,
    );
    found
}

async fn ask(asking: &Asking, target: &Target, kind: &str, body: Vec<u8>) -> Result<Http1Answer, String> {
    let request = Request::post(KEYS).header(header::CONTENT_TYPE, kind).header(header::ACCEPT, kind);
    let request = request.header("x-grpc-web", "1");
    http1::ask(&asking.dialer, target, request, body).await.map_err(|problem| problem.to_string())
}

fn told(
    check: Check,
    name: &str,
    answer: Result<Http1Answer, String>,
    is_good: fn(&Http1Answer) -> bool,
    proxy: Option<Proxy>,
    found: &mut Findings,
) {
    let (problem, proxy) = match answer {
        Ok(answer) if is_good(&answer) => {
            found.ok(check, format!("{name} over HTTP/1.1 is answered"));
            return;
        }
        Ok(answer) => (format!("is answered {}", answer.described()), proxy.or(answer.proxy())),
        Err(problem) => (format!("is not answered: {problem}"), proxy),
    };
    let seen = format!("{name} over HTTP/1.1 {problem}: browsers and scripts cannot call");
    found.warning(check, seen, proxy::CONTENT.of(proxy));
}

/// Whether `answer` is one of gRPC-Web, with the trailers at its end.
fn is_web(answer: &Http1Answer) -> bool {
    let is_kind = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/grpc-web"));
    answer.status == 200 && is_kind && has_trailers(&answer.body)
}

/// Whether the frames of `body` end with the trailers of a call that has succeeded.
fn has_trailers(mut body: &[u8]) -> bool {
    while let [kind, a, b, c, d, rest @ ..] = body {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        let Some((frame, rest)) = rest.split_at_checked(length) else { return false };
        if kind & TRAILERS != 0 {
            return String::from_utf8_lossy(frame)
                .to_ascii_lowercase()
                .replace(' ', "")
                .contains("grpc-status:0");
        }
        body = rest;
    }
    false
}

/// Whether `answer` is the message in JSON.
fn is_json(answer: &Http1Answer) -> bool {
    let message: Option<Value> = serde_json::from_slice(&answer.body).ok();
    answer.status == 200 && message.is_some_and(|message| message["keys"].is_array())
}

#[cfg(test)]
mod tests {
    use super::has_trailers;

    #[test]
    fn an_answer_of_grpc_web_ends_with_its_trailers() {
        let trailers = b"grpc-status:0\r\n";
        let frame = |kind: u8, content: &[u8]| {
            [&[kind][..], &u32::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
        };
        let whole = [frame(0, b"message"), frame(0x80, trailers)].concat();
        assert!(has_trailers(&whole));
        assert!(has_trailers(&frame(0x80, b"Grpc-Status: 0\r\n")));
        for bad in
            [&b""[..], &frame(0, b"message"), &whole[..whole.len() - 1], &frame(0x80, b"grpc-status:14\r\n")]
        {
            assert!(!has_trailers(bad), "{bad:?}");
        }
    }
}
