//! Owns `identity.policy.v1.PolicyService` on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Page, access, administrator, at, etag, refused, request_key, required};
use crate::{
    auth::Authenticator,
    identity::{
        Administrator, GoodStanding, Keyring,
        policies::{
            Explained, Explanation, NewPolicyVersion, PoliciesInForce, PolicyRegistry, PushedRules, Verdict,
        },
    },
    model::{
        AudienceName, CallerKind, Error, FieldReason, NameSet, PolicyState, PolicyVersionId,
        PolicyVersionName, policy::PolicyVersion,
    },
    proto::identity::{
        policy::v1::{
            self as wire, ActivatePolicyVersionRequest, ActivatePolicyVersionResponse,
            DiffPolicyVersionsRequest, DiffPolicyVersionsResponse, ExplainCallRequest, ExplainCallResponse,
            GetPolicyVersionRequest, GetPolicyVersionResponse, ListPolicyVersionsRequest,
            ListPolicyVersionsResponse, PushPolicyVersionRequest, PushPolicyVersionResponse,
            RetirePolicyVersionRequest, RetirePolicyVersionResponse, ShadowPolicyVersionRequest,
            ShadowPolicyVersionResponse, explain_call_response, policy_service_server::PolicyService,
        },
        v1::access::Callers,
    },
    rpc::encode::time,
    wire::{method_rule, policy_difference, policy_state},
};

/// How long a path may be that is asked about, with its query: that of a GET has the message.
const PATH_MAX_BYTES: usize = 8_192;

/// Serves `PolicyService`.
#[derive(Debug)]
pub(crate) struct PolicyRpc {
    registry: PolicyRegistry,
    in_force: Arc<PoliciesInForce>,
    authenticator: Arc<Authenticator<Arc<Keyring>, GoodStanding>>,
    /// The names of the service's own audience.
    own: NameSet,
}

/// What the three requests that change a state have alike.
struct StateChange {
    service: String,
    version: String,
    state: PolicyState,
    allow_widening: bool,
    etag: String,
}

impl PolicyRpc {
    pub(crate) const fn new(
        registry: PolicyRegistry,
        in_force: Arc<PoliciesInForce>,
        authenticator: Arc<Authenticator<Arc<Keyring>, GoodStanding>>,
        own: NameSet,
    ) -> Self {
        Self { registry, in_force, authenticator, own }
    }

    fn service(&self, name: &str) -> Result<AudienceName, Error> {
        access::audience("service", name, &self.own)
    }

    /// Has a version do something else, as `by` asks for; `is_checked` if that is only to be judged.
    async fn change(
        &self,
        asked: StateChange,
        by: &Administrator,
        is_checked: bool,
    ) -> Result<Option<wire::PolicyVersion>, Error> {
        let service = self.service(&asked.service)?;
        let version = version("version", &asked.version)?;
        let (etag, allow_widening) = (etag(&asked.etag), asked.allow_widening);
        let which = (&service, &version);
        let changed = self.registry.change_state(which, asked.state, etag, allow_widening, by).await?;
        let mut version = encode(&changed);
        if is_checked {
            (version.update_time, version.etag) = Default::default();
        }
        Ok(Some(version))
    }
}

#[tonic::async_trait]
impl PolicyService for PolicyRpc {
    async fn push_policy_version(
        &self,
        request: Request<PushPolicyVersionRequest>,
    ) -> Result<Response<PushPolicyVersionResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "PushPolicyVersion", &message.request_id, &message)?;
        let new = NewPolicyVersion {
            service: self.service(&message.service)?,
            name: version("version", &message.version)?,
            sha256: sha256(&message)?,
            rules: PushedRules::read(&message.descriptor_set, &message.public_services)?,
        };
        let by = by.repeatable(key).validating(message.validate_only);
        let closed_rules = new.rules.closed().map(|(method, rule)| method_rule(method, rule)).collect();
        let mut version = encode(&self.registry.push(new, &by).await?);
        if message.validate_only {
            (version.id, version.create_time, version.update_time, version.etag) = Default::default();
        }
        Ok(Response::new(PushPolicyVersionResponse { policy_version: Some(version), closed_rules }))
    }

    async fn get_policy_version(
        &self,
        request: Request<GetPolicyVersionRequest>,
    ) -> Result<Response<GetPolicyVersionResponse>, Status> {
        let message = request.into_inner();
        let service = self.service(&message.service)?;
        let name = version("version", &message.version)?;
        let (version, rules) = self.registry.find_with_rules(&service, &name).await?;
        let rules = rules.iter().map(|(method, rule)| method_rule(method, rule)).collect();
        Ok(Response::new(GetPolicyVersionResponse { policy_version: Some(encode(&version)), rules }))
    }

    async fn list_policy_versions(
        &self,
        request: Request<ListPolicyVersionsRequest>,
    ) -> Result<Response<ListPolicyVersionsResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<Uuid>::take(&mut filter)?;
        let service = (!filter.service.is_empty()).then(|| self.service(&filter.service)).transpose()?;
        let after = page.after.map(PolicyVersionId);
        let mut found = self.registry.page(service.as_ref(), after, page.size + 1).await?;
        let next_page_token = page.next(&mut found, |version| version.id.0);
        let policy_versions = found.iter().map(encode).collect();
        Ok(Response::new(ListPolicyVersionsResponse { policy_versions, next_page_token }))
    }

    async fn diff_policy_versions(
        &self,
        request: Request<DiffPolicyVersionsRequest>,
    ) -> Result<Response<DiffPolicyVersionsResponse>, Status> {
        let message = request.into_inner();
        let service = self.service(&message.service)?;
        let old = version("old_version", &message.old_version)?;
        let new = version("new_version", &message.new_version)?;
        let found = self.registry.differences(&service, &old, &new).await?;
        let differences = found.into_iter().map(policy_difference).collect();
        Ok(Response::new(DiffPolicyVersionsResponse { differences }))
    }

    async fn activate_policy_version(
        &self,
        request: Request<ActivatePolicyVersionRequest>,
    ) -> Result<Response<ActivatePolicyVersionResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "ActivatePolicyVersion", &message.request_id, &message)?;
        let ActivatePolicyVersionRequest { service, version, allow_widening, etag, validate_only, .. } =
            message;
        let by = by.repeatable(key).validating(validate_only);
        let asked = StateChange { service, version, state: PolicyState::Active, allow_widening, etag };
        let policy_version = self.change(asked, &by, validate_only).await?;
        Ok(Response::new(ActivatePolicyVersionResponse { policy_version }))
    }

    async fn shadow_policy_version(
        &self,
        request: Request<ShadowPolicyVersionRequest>,
    ) -> Result<Response<ShadowPolicyVersionResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "ShadowPolicyVersion", &message.request_id, &message)?;
        let ShadowPolicyVersionRequest { service, version, allow_widening, etag, validate_only, .. } =
            message;
        let by = by.repeatable(key).validating(validate_only);
        let asked = StateChange { service, version, state: PolicyState::Shadow, allow_widening, etag };
        let policy_version = self.change(asked, &by, validate_only).await?;
        Ok(Response::new(ShadowPolicyVersionResponse { policy_version }))
    }

    async fn retire_policy_version(
        &self,
        request: Request<RetirePolicyVersionRequest>,
    ) -> Result<Response<RetirePolicyVersionResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "RetirePolicyVersion", &message.request_id, &message)?;
        let RetirePolicyVersionRequest { service, version, allow_widening, etag, validate_only, .. } =
            message;
        let by = by.repeatable(key).validating(validate_only);
        let asked = StateChange { service, version, state: PolicyState::Retired, allow_widening, etag };
        let policy_version = self.change(asked, &by, validate_only).await?;
        Ok(Response::new(RetirePolicyVersionResponse { policy_version }))
    }

    async fn explain_call(
        &self,
        request: Request<ExplainCallRequest>,
    ) -> Result<Response<ExplainCallResponse>, Status> {
        let ExplainCallRequest { service, method, token } = request.into_inner();
        let service = self.service(&service)?;
        if method.is_empty() {
            return Err(required("method").into());
        }
        if method.len() > PATH_MAX_BYTES {
            return Err(refused("method", FieldReason::TooLong, "must have at most 8192 bytes").into());
        }
        let token = Some(token.as_str()).filter(|token| !token.is_empty());
        let found = self.in_force.explain(&service, &method, token, &self.authenticator).await?;
        Ok(Response::new(encode_explanation(found)))
    }
}

/// The name of a version that stands in `field`.
fn version(field: &'static str, text: &str) -> Result<PolicyVersionName, Error> {
    PolicyVersionName::parse(text).map_err(|rule| at(field, rule))
}

/// The digest of the file that `message` says, or else of what it has.
fn sha256(message: &PushPolicyVersionRequest) -> Result<String, Error> {
    if message.sha256.is_empty() {
        return Ok(PushedRules::sha256_of(&message.descriptor_set));
    }
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if message.sha256.len() == 64 && message.sha256.bytes().all(is_digit) {
        return Ok(message.sha256.clone());
    }
    Err(refused("sha256", FieldReason::Malformed, "must be 64 lower-case hexadecimal digits"))
}

fn encode(version: &PolicyVersion) -> wire::PolicyVersion {
    wire::PolicyVersion {
        id: version.id.to_string(),
        service: version.service.as_str().to_owned(),
        version: version.name.as_str().to_owned(),
        state: policy_state(version.state).into(),
        sha256: version.sha256.clone(),
        method_count: i32::try_from(version.methods).unwrap_or(i32::MAX),
        create_time: Some(time(version.create_time)),
        update_time: Some(time(version.update_time)),
        etag: version.etag().as_str().to_owned(),
    }
}

fn encode_explanation(found: Explanation) -> ExplainCallResponse {
    let names = |text: Option<String>| -> Vec<String> {
        text.iter()
            .flat_map(|text| text.split(' '))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let verdict = match found.verdict {
        Verdict::Passes => explain_call_response::Verdict::Passes,
        Verdict::Refused => explain_call_response::Verdict::Refused,
        Verdict::RouteDecides => explain_call_response::Verdict::RouteDecides,
    };
    let caller = match found.caller {
        None => Callers::Unspecified,
        Some(CallerKind::User) => Callers::User,
        Some(CallerKind::Client) => Callers::Client,
    };
    ExplainCallResponse {
        verdict: verdict.into(),
        summary: found.summary,
        rules: found.rules.into_iter().map(encode_explained).collect(),
        scopes: names(found.scopes),
        roles: names(found.roles),
        authentication_problem: found.authentication_problem.unwrap_or_default(),
        caller: caller.into(),
        audiences: found.audiences,
    }
}

fn encode_explained(rule: Explained) -> explain_call_response::Rule {
    explain_call_response::Rule {
        version: rule.version,
        state: policy_state(rule.state).into(),
        knows_method: rule.rule.is_some(),
        description: rule.rule.unwrap_or_default(),
        passes: rule.passes.unwrap_or_default(),
        missing: rule.missing,
    }
}
