//! Owns what Envoy is answered: the headers of a request that may pass, and the refusal that a client gets.

use std::fmt::Write;

use base64ct::{Base64Unpadded, Encoding};
use prost_types::{Struct, Value, value::Kind};
use serde_json::json;
use tonic::Status;
use tonic_types::{StatusExt, pb};

use super::Rule;
use crate::{
    auth::Caller,
    errors::{OAuthCode, Row, details_telling},
    identity::Recognised,
    model::{Error, REQUEST_ID_HEADER, RequestId},
    proto::envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
        service::auth::v3::{
            CheckResponse, DeniedHttpResponse, OkHttpResponse, check_response::HttpResponse,
        },
        r#type::v3::{HttpStatus, StatusCode},
    },
};

/// What tokens are asked for (RFC 9110 section 11.5): by the issuer, whichever service a route leads to.
const REALM: &str = "signet";

/// The longest list of roles that a header has: gRPC in Java, and many servers of HTTP, take 8 KiB for all headers together.
const ROLES_MAX_BYTES: usize = 4_096;

/// The names of the headers that tell the service behind whom a request comes from.
#[derive(Debug)]
pub(crate) struct HeaderNames {
    subject: String,
    username: String,
    scope: String,
    session: String,
    roles: String,
    client: String,
}

/// Who has shown a token, and has at the audience of the route the `roles`, whose names are separated by spaces.
pub(super) struct Told<'a> {
    pub(super) caller: &'a Caller,
    pub(super) roles: &'a str,
}

impl HeaderNames {
    /// The names that begin with `prefix`, which is in lower case.
    pub(crate) fn new(prefix: &str) -> Self {
        let name = |rest| format!("{prefix}{rest}");
        Self {
            subject: name("subject"),
            username: name("username"),
            scope: name("scope"),
            session: name("session"),
            roles: name("roles"),
            client: name("client"),
        }
    }

    /// Lets a request pass. Each of the headers is overwritten, or removed where there is nothing to say: what a client sent under
    /// its name never arrives. Nor does the token, unless it is to be forwarded: it would let the service act as its caller.
    pub(super) fn allowed(&self, told: Option<&Told<'_>>, forward_token: bool) -> CheckResponse {
        let claims = told.map(|told| told.caller.claims());
        let username = told.and_then(|told| username(told.caller));
        let values = [
            (&self.subject, claims.map(|claims| claims.sub.to_string())),
            (&self.username, username.map(header_text)),
            (&self.scope, claims.map(|claims| claims.scope.clone()).filter(|scope| !scope.is_empty())),
            (&self.session, claims.and_then(|claims| claims.sid).map(|session| session.to_string())),
            (&self.roles, told.and_then(|told| roles_text(told.roles))),
            (&self.client, claims.map(|claims| claims.client_id.clone())),
        ];
        let mut allowed = OkHttpResponse { headers: Vec::with_capacity(values.len()), ..Default::default() };
        for (name, value) in values {
            match value {
                Some(value) => allowed.headers.push(header(name.clone(), value)),
                None => allowed.headers_to_remove.push(name.clone()),
            }
        }
        if !forward_token {
            allowed.headers_to_remove.push("authorization".to_owned());
        }
        let status = pb::Status { code: 0, message: String::new(), details: Vec::new() };
        let http_response = Some(HttpResponse::OkResponse(allowed));
        CheckResponse { status: Some(status), http_response, dynamic_metadata: None }
    }
}

/// `roles` in one header; none if there are none, or more than a service behind can be expected to take.
fn roles_text(roles: &str) -> Option<String> {
    (!roles.is_empty() && roles.len() <= ROLES_MAX_BYTES).then(|| roles.to_owned())
}

/// What Envoy is told of a request that may pass, for its access log and its other filters. Strings all of them, as they are: they
/// become no headers.
pub(super) fn metadata(told: &Told<'_>) -> Struct {
    let Told { caller, roles } = told;
    let claims = caller.claims();
    let values = [
        ("subject", Some(claims.sub.to_string())),
        ("username", username(caller).map(str::to_owned)),
        ("scope", Some(claims.scope.clone()).filter(|scope| !scope.is_empty())),
        ("session", claims.sid.map(|session| session.to_string())),
        ("client", Some(claims.client_id.clone())),
        ("roles", roles_text(roles)),
    ];
    let fields = values
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value { kind: Some(Kind::StringValue(value?)) })));
    Struct { fields: fields.collect() }
}

/// The name of the caller's user, as the check of its standing found it; none of a client by itself.
fn username(caller: &Caller) -> Option<&str> {
    caller.found::<Recognised>()?.user().map(|user| user.username.typed())
}

/// The client of a request that Envoy asks about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client {
    /// Whether it reads gRPC.
    pub(super) is_grpc: bool,
    /// The id of its request; if that has none, the id of Envoy's question.
    pub(super) request_id: Option<RequestId>,
}

/// Refuses the request of `client` for `error`: in JSON, or in what a gRPC client reads.
///
/// # Errors
/// [`Error::Unavailable`] for the call itself, whatever the cause, if `error` is no refusal: then nothing is decided.
pub(super) fn denied(error: Error, rule: &Rule<'_>, client: Client) -> Result<CheckResponse, Error> {
    let Client { is_grpc, request_id } = client;
    let http_status = Row::of(&error).http_status;
    let code = match (http_status, &error) {
        (401, _) => StatusCode::Unauthorized,
        (403, _) => StatusCode::Forbidden,
        (_, Error::Unavailable { .. }) => return Err(error),
        _ => return Err(Error::Unavailable { what: "decision", source: Box::new(error) }),
    };
    let challenge = challenge(&error, rule);
    let status = Status::from(error);
    let mut headers: Vec<_> =
        challenge.into_iter().map(|text| header("www-authenticate".to_owned(), text)).collect();
    headers.extend(request_id.map(|id| header(REQUEST_ID_HEADER.to_owned(), id.to_string())));
    // Envoy makes the code of gRPC from that of HTTP, and `grpc-message` from the body.
    let body = if is_grpc {
        let own = || status.details().to_vec();
        let details = request_id.map_or_else(own, |id| details_telling(&status, id.as_str()));
        let details = Base64Unpadded::encode_string(&details);
        headers.push(header("grpc-status-details-bin".to_owned(), details));
        status.message().to_owned()
    } else {
        headers.push(header("content-type".to_owned(), "application/json".to_owned()));
        json_body(&status, request_id)
    };
    let denied = DeniedHttpResponse { status: Some(HttpStatus { code: code.into() }), headers, body };
    let message = status.message().to_owned();
    let status = pb::Status { code: status.code().into(), message, details: Vec::new() };
    let http_response = Some(HttpResponse::DeniedResponse(denied));
    Ok(CheckResponse { status: Some(status), http_response, dynamic_metadata: None })
}

/// What the client is to do about it (RFC 6750 section 3): no error code if it showed no token. None if it can do nothing.
fn challenge(error: &Error, rule: &Rule<'_>) -> Option<String> {
    let oauth = Row::of(error).oauth;
    let scope = match (error, oauth) {
        (Error::TokenMissing, _) => return Some(format!("Bearer realm=\"{REALM}\"")),
        (_, OAuthCode::InvalidToken) => String::new(),
        (_, OAuthCode::InsufficientScope) => format!(", scope=\"{}\"", rule.scopes),
        _ => return None,
    };
    let code = oauth.name();
    // Neither the sentences of errors nor scopes have quotation marks or backslashes.
    Some(format!("Bearer realm=\"{REALM}\", error=\"{code}\"{scope}, error_description=\"{error}\""))
}

/// A `google.rpc.Status` in JSON, as Envoy's transcoder writes those of the services themselves.
fn json_body(status: &Status, request_id: Option<RequestId>) -> String {
    let reason = status.get_details_error_info().map(|info| {
        let mut detail = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": info.reason,
            "domain": info.domain,
        });
        if !info.metadata.is_empty() {
            detail["metadata"] = json!(info.metadata);
        }
        detail
    });
    let request = request_id
        .map(|id| json!({ "@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": id.as_str() }));
    let details: Vec<_> = reason.into_iter().chain(request).collect();
    json!({ "code": i32::from(status.code()), "message": status.message(), "details": details }).to_string()
}

fn header(key: String, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key, value, raw_value: Vec::new() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

/// `text` as every header and all gRPC metadata can carry it: whatever is not visible ASCII, and `%`, is percent-encoded as UTF-8 (RFC
/// 3986 section 2.1).
fn header_text(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes all that is written to it");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NameSet;

    #[test]
    fn a_username_becomes_visible_ascii_that_stands_for_it_alone() {
        assert_eq!(header_text("alice.o'hara@x"), "alice.o'hara@x");
        assert_eq!(header_text("zoë"), "zo%C3%AB");
        assert_eq!(header_text("zo%C3%AB"), "zo%25C3%25AB");
    }

    #[test]
    fn roles_that_are_too_many_for_a_header_are_not_told() {
        assert_eq!(roles_text(""), None);
        assert_eq!(roles_text("a b"), Some("a b".to_owned()));
        let roles = |bytes| roles_text(&"x".repeat(bytes)).is_some();
        assert!(roles(ROLES_MAX_BYTES) && !roles(ROLES_MAX_BYTES + 1));
    }

    #[test]
    fn a_challenge_has_the_form_of_rfc_6750() {
        let rule = Rule { scopes: NameSet::parse("a b").unwrap(), ..Rule::default() };
        let lacking = Error::InsufficientScope("b".to_owned());
        assert_eq!(
            challenge(&lacking, &rule).unwrap(),
            r#"Bearer realm="signet", error="insufficient_scope", scope="a b", error_description="the scope `b` is needed, and was not granted""#
        );
        assert_eq!(challenge(&Error::TokenMissing, &rule).unwrap(), r#"Bearer realm="signet""#);
        assert_eq!(challenge(&Error::RouteMisconfigured("x"), &rule), None);
        let refused = [Error::TokenExpired, Error::TokenRevoked, Error::TokenInvalid("it names no key")];
        for challenge in refused.iter().map(|error| challenge(error, &rule).unwrap()) {
            let rest = challenge
                .strip_prefix(r#"Bearer realm="signet", error="invalid_token", error_description=""#);
            let description = rest.unwrap().strip_suffix('"').unwrap();
            assert!(description.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{description}");
            assert!(!description.contains(['"', '\\']), "{description}");
        }
    }

    #[test]
    fn what_cannot_be_decided_is_no_refusal() {
        let away = Error::Unavailable { what: "database", source: "gone".into() };
        for error in [away, Error::internal("defect"), Error::DeadlineExceeded] {
            let status = Status::from(denied(error, &Rule::default(), Client::default()).unwrap_err());
            assert_eq!(status.code(), tonic::Code::Unavailable);
            assert_eq!(status.get_details_error_info().unwrap().reason, "UNAVAILABLE");
            assert!(status.get_details_retry_info().is_some());
        }
    }
}
