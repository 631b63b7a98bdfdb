//! Owns the policies of services as their owners and Envoy meet them.

mod check;
mod explain;
mod kept;
mod pushed;
mod states;

use std::time::Duration;

use signet::{
    model::{BuiltInRole, UserId},
    proto::{
        envoy::service::auth::v3::{
            CheckResponse, attribute_context::HttpRequest, check_response::HttpResponse,
        },
        identity::{
            admin::v1::{
                Audience, Binding, CreateBindingRequest, CreateRoleRequest, Principal, Role,
                UpdateAudienceRequest, principal::Kind, role_service_client::RoleServiceClient,
            },
            policy::v1::{
                ActivatePolicyVersionRequest, PolicyVersion, PushPolicyVersionRequest,
                RetirePolicyVersionRequest, ShadowPolicyVersionRequest,
                policy_service_client::PolicyServiceClient,
            },
            v1::IssueTokenRequest,
        },
    },
};
use tonic::{Status, transport::Channel};

use crate::{
    admin::AdminApi,
    clients::{Wanted, operator, register},
    ext_authz::{Sidecar, http},
    harness::with_token,
    support::protos::compiled_text,
};

/// The route that leads to the service.
pub(super) const STOCK: (&str, &str) = ("signet.policy", "stock");

/// The method that most tests call.
pub(super) const RESERVE: &str = "/stock.v1.Stock/Reserve";

/// A service named `stock`, whose owner is `olga`: she may push, and not widen. `rita` owns it, too, and may do everything.
pub(super) struct Policies {
    pub(super) api: AdminApi,
    pub(super) sidecar: Sidecar,
    pub(super) rita: String,
    pub(super) olga: String,
    pub(super) client: PolicyServiceClient<Channel>,
}

/// The descriptor set of a service whose methods are written as `methods` says.
pub(super) fn set(methods: &str) -> Vec<u8> {
    compiled_text(&format!(
        "syntax = \"proto3\"; package stock.v1; import \"identity/v1/access.proto\"; message Empty {{}} service Stock {{ {methods} }}"
    ))
}

/// A method with a rule, in the text form of `identity.v1.Access`.
pub(super) fn method(name: &str, rule: &str) -> String {
    format!("rpc {name}(Empty) returns (Empty) {{ option (identity.v1.access) = {{ {rule} }}; }}")
}

/// The set of a service whose `Reserve` needs all of the scope.
pub(super) fn needing(scope: &str) -> Vec<u8> {
    set(&method("Reserve", &format!("authenticated: {{ required_scopes: \"{scope}\" }}")))
}

impl Policies {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(super) async fn start_with(args: &[&str]) -> Self {
        let api = AdminApi::start_with(&[&["--ext-authz=on"], args].concat()).await;
        let sidecar = Sidecar::of(&api.server).await;
        let (root, rita) = api.administrator(BuiltInRole::Admin, "rita").await;
        let olga_id = api.user("olga").await;
        let mut roles = RoleServiceClient::new(api.channel().await);
        for (audience, name, scopes) in [
            ("stock", "picker", &[][..]),
            ("signet", "rule-pusher", &["signet.policies.read", "signet.policies.write"]),
        ] {
            let role = Role {
                audience: audience.to_owned(),
                name: name.to_owned(),
                scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
                ..Role::default()
            };
            let request = CreateRoleRequest { role: Some(role), ..Default::default() };
            let made =
                roles.create_role(with_token(request, &rita)).await.unwrap().into_inner().role.unwrap();
            if audience == "signet" {
                let binding =
                    Binding { role_id: made.id, subject: Some(user(olga_id)), ..Default::default() };
                let request = CreateBindingRequest { binding: Some(binding), ..Default::default() };
                roles.create_binding(with_token(request, &rita)).await.unwrap();
            }
        }
        let owners = vec![user(root), user(olga_id)];
        let audience = Audience { name: "stock".to_owned(), owners, ..Default::default() };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["owners".to_owned()] });
        let request = UpdateAudienceRequest { audience: Some(audience), update_mask, ..Default::default() };
        roles.update_audience(with_token(request, &rita)).await.unwrap();
        let scope = "profile account signet.policies.read signet.policies.write";
        let olga = api.log_in("olga", scope).await.access_token;
        let client = PolicyServiceClient::new(api.channel().await);
        Self { api, sidecar, rita, olga, client }
    }

    pub(super) async fn push_by(
        &self,
        token: &str,
        version: &str,
        set: Vec<u8>,
    ) -> Result<PolicyVersion, Status> {
        let request = PushPolicyVersionRequest {
            service: "stock".to_owned(),
            version: version.to_owned(),
            descriptor_set: set,
            ..Default::default()
        };
        let pushed = self.client.clone().push_policy_version(with_token(request, token)).await?;
        // Ids, by which versions are listed, are in the order of their milliseconds.
        self.api.server.clock.advance(Duration::from_millis(1));
        Ok(pushed.into_inner().policy_version.unwrap())
    }

    /// Pushes a version by whoever may do everything.
    pub(super) async fn push(&self, version: &str, set: Vec<u8>) -> PolicyVersion {
        self.push_by(&self.rita, version, set).await.unwrap()
    }

    pub(super) async fn activate_by(
        &self,
        token: &str,
        version: &str,
        widening: bool,
    ) -> Result<PolicyVersion, Status> {
        let request = ActivatePolicyVersionRequest {
            service: "stock".to_owned(),
            version: version.to_owned(),
            allow_widening: widening,
            ..Default::default()
        };
        let answer = self.client.clone().activate_policy_version(with_token(request, token)).await?;
        Ok(answer.into_inner().policy_version.unwrap())
    }

    pub(super) async fn shadow_by(
        &self,
        token: &str,
        version: &str,
        widening: bool,
    ) -> Result<PolicyVersion, Status> {
        let request = ShadowPolicyVersionRequest {
            service: "stock".to_owned(),
            version: version.to_owned(),
            allow_widening: widening,
            ..Default::default()
        };
        let answer = self.client.clone().shadow_policy_version(with_token(request, token)).await?;
        Ok(answer.into_inner().policy_version.unwrap())
    }

    pub(super) async fn retire_by(
        &self,
        token: &str,
        version: &str,
        widening: bool,
    ) -> Result<PolicyVersion, Status> {
        let request = RetirePolicyVersionRequest {
            service: "stock".to_owned(),
            version: version.to_owned(),
            allow_widening: widening,
            ..Default::default()
        };
        let answer = self.client.clone().retire_policy_version(with_token(request, token)).await?;
        Ok(answer.into_inner().policy_version.unwrap())
    }

    /// Pushes a version and activates it, whatever that opens.
    pub(super) async fn enforce(&self, version: &str, set: Vec<u8>) {
        self.push(version, set).await;
        self.activate_by(&self.rita, version, true).await.unwrap();
    }

    /// A client's own token for the service, which has `scopes`.
    pub(super) async fn token(&self, client: &str, scopes: &str) -> String {
        self.token_for(client, scopes, &["stock"]).await
    }

    /// A client's own token for `audiences`.
    pub(super) async fn token_for(&self, client: &str, scopes: &str, audiences: &[&str]) -> String {
        let wanted = Wanted { audiences: "stock orders signet", ..Wanted::confidential(scopes) };
        let made = register(&operator(&self.api.server).await, client, wanted).await.unwrap();
        let request = IssueTokenRequest {
            audiences: audiences.iter().map(|name| (*name).to_owned()).collect(),
            ..made.own_token()
        };
        let mut api = self.api.server.client().await;
        api.0.issue_token(request).await.unwrap().into_inner().access_token
    }

    /// What Envoy is answered about a call of gRPC.
    pub(super) async fn call(&self, path: &str, token: Option<&str>, route: &[(&str, &str)]) -> Answer {
        self.ask("POST", path, Some("application/grpc"), token, route).await
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        token: Option<&str>,
        route: &[(&str, &str)],
    ) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .chain(content_type.map(|content_type| ("content-type", content_type)))
            .collect();
        let request = HttpRequest { method: method.to_owned(), path: path.to_owned(), ..http(&headers) };
        Answer::of(self.sidecar.answer(request, route).await.unwrap())
    }
}

/// Whether a request may pass; if not, by which status, and what the client is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Passes,
    Refused(i32, String),
}

impl Answer {
    fn of(response: CheckResponse) -> Self {
        match response.http_response.unwrap() {
            HttpResponse::OkResponse(_) => Self::Passes,
            HttpResponse::DeniedResponse(denied) => Self::Refused(denied.status.unwrap().code, denied.body),
        }
    }

    #[track_caller]
    pub(super) fn is_refused(&self, status: i32, part: &str) {
        let Self::Refused(code, body) = self else { panic!("it passes") };
        assert_eq!(*code, status, "{body}");
        assert!(body.contains(part), "{body}");
    }
}

pub(super) fn user(id: UserId) -> Principal {
    Principal { kind: Some(Kind::UserId(id.to_string())) }
}
