//! Owns asking as a sidecar does, and reading the answer as Envoy does.

use std::collections::BTreeMap;

use serde_json::Value;
use signet::proto::envoy::{
    config::core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
    service::auth::v3::{
        AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse,
        attribute_context::{HttpRequest, Request},
        authorization_client::AuthorizationClient,
        check_response::HttpResponse,
    },
};
use tonic::{Status, transport::Channel};

use crate::harness::TestServer;

/// The headers by which the service behind Envoy is told whom a request comes from.
pub(super) const TOLD: [&str; 6] = [
    "x-signet-subject",
    "x-signet-username",
    "x-signet-scope",
    "x-signet-session",
    "x-signet-roles",
    "x-signet-client",
];

/// A sidecar: it asks about one request after the other.
#[derive(Clone)]
pub(crate) struct Sidecar(pub(crate) AuthorizationClient<Channel>);

/// The answer, as Envoy reads it.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Which headers are overwritten, and which removed.
    Allowed { set: BTreeMap<String, String>, removed: Vec<String> },
    /// What the client gets.
    Denied { status: i32, headers: BTreeMap<String, String>, body: String },
}

impl Sidecar {
    pub(crate) async fn of(server: &TestServer) -> Self {
        Self(AuthorizationClient::new(server.channel().await))
    }

    pub(crate) async fn answer(
        &self,
        http: HttpRequest,
        extensions: &[(&str, &str)],
    ) -> Result<CheckResponse, Status> {
        let (request, context_extensions) = (Some(Request { http: Some(http) }), texts(extensions));
        let attributes = Some(AttributeContext { source: None, request, context_extensions });
        Ok(self.0.clone().check(CheckRequest { attributes }).await?.into_inner())
    }

    /// Asks about a request with `token`, on a route without rules.
    pub(crate) async fn ask_of(&self, token: &str) -> Result<CheckResponse, Status> {
        self.answer(http(&[("authorization", &format!("Bearer {token}"))]), &[]).await
    }

    /// Asks about a request with `headers`, on a route with the rules `extensions`.
    pub(super) async fn check(&self, headers: &[(&str, &str)], extensions: &[(&str, &str)]) -> Verdict {
        verdict(self.answer(http(headers), extensions).await.unwrap())
    }

    /// The headers of a request with `token` that may pass on a route with the rules `extensions`.
    pub(crate) async fn headers(&self, token: &str, extensions: &[(&str, &str)]) -> BTreeMap<String, String> {
        self.check_token(token, extensions).await.allowed()
    }

    /// The status, and the reason, of the refusal of a request with `token` on such a route.
    pub(crate) async fn refusal(&self, token: &str, extensions: &[(&str, &str)]) -> (i32, String) {
        let (status, _, reason) = self.check_token(token, extensions).await.denied();
        (status, reason)
    }

    pub(super) async fn check_token(&self, token: &str, extensions: &[(&str, &str)]) -> Verdict {
        self.check(&[("authorization", &format!("Bearer {token}"))], extensions).await
    }
}

pub(crate) fn http(headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest { headers: texts(headers), ..HttpRequest::default() }
}

pub(super) fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn verdict(response: CheckResponse) -> Verdict {
    let code = response.status.unwrap().code;
    match response.http_response.unwrap() {
        HttpResponse::OkResponse(allowed) => {
            assert_eq!(code, 0);
            Verdict::Allowed { set: fields(allowed.headers), removed: allowed.headers_to_remove }
        }
        HttpResponse::DeniedResponse(DeniedHttpResponse { status, headers, body }) => {
            let status = status.unwrap().code;
            assert_eq!(code, if status == 401 { 16 } else { 7 }, "what a filter without HTTP looks at");
            Verdict::Denied { status, headers: fields(headers), body }
        }
    }
}

fn fields(headers: Vec<HeaderValueOption>) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for header in headers {
        assert_eq!(header.append_action(), HeaderAppendAction::OverwriteIfExistsOrAdd);
        let HeaderValue { key, value, .. } = header.header.unwrap();
        assert_eq!(fields.insert(key, value), None, "each is said once");
    }
    fields
}

impl Verdict {
    #[track_caller]
    pub(super) fn allowed(self) -> BTreeMap<String, String> {
        let Self::Allowed { set, removed } = self else { panic!("denied: {self:?}") };
        let mut all: Vec<_> =
            set.keys().map(String::as_str).chain(removed.iter().map(String::as_str)).collect();
        all.sort_unstable();
        let mut told = [&TOLD[..], &["authorization"]].concat();
        told.sort_unstable();
        assert_eq!(all, told, "what a client sent under any of the names is overwritten or removed");
        set
    }

    /// The status, the challenge without its description, and the reason in the JSON body.
    #[track_caller]
    pub(super) fn denied(self) -> (i32, Option<String>, String) {
        let Self::Denied { status, headers, body } = self else { panic!("allowed: {self:?}") };
        assert_eq!(headers["content-type"], "application/json");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], if status == 401 { 16 } else { 7 });
        assert!(!body["message"].as_str().unwrap().is_empty());
        let info = &body["details"][0];
        assert_eq!(
            (info["@type"].as_str(), info["domain"].as_str()),
            (Some("type.googleapis.com/google.rpc.ErrorInfo"), Some("identity.v1"))
        );
        let challenge = headers
            .get("www-authenticate")
            .map(|text| text.split(", error_description=").next().unwrap().to_owned());
        (status, challenge, info["reason"].as_str().unwrap().to_owned())
    }
}
