//! Owns `envoy.service.auth.v3.Authorization`: Envoy asks whether a request to another service may pass.

mod answer;
mod called;
mod forward_auth;
mod misconfiguration;
mod policy;
mod rule;
mod shadow;

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use tonic::{Extensions, Request, Response, Status, metadata::MetadataMap};

pub(crate) use answer::HeaderNames;
use answer::Told;

use super::refused;
use crate::{
    admission::{ConnectionHandle, Door},
    auth::{Authenticator, Caller, VerifiedToken, bearer_token},
    base::{Clock, TRACEPARENT, TraceParent},
    identity::{GoodStanding, Keyring, RolesAt, policies::PoliciesInForce, recognised},
    metrics::ShadowMetrics,
    model::{Error, FieldReason, Network, REQUEST_ID_HEADER, RequestId, current_trace, works_for_request},
    peer::{PeerAddress, certificate},
    proto::envoy::{
        config::core::v3::address::Address,
        service::auth::v3::{
            AttributeContext, CheckRequest, CheckResponse,
            attribute_context::{HttpRequest, Peer},
            authorization_server::Authorization,
        },
    },
};
use misconfiguration::Misconfiguration;
use policy::Refused;
use rule::{Rule, beginning};
use shadow::ShadowVerdicts;

/// How many headers, and how many entries of a rule, a question may have: Envoy itself takes at most 100 headers unless it is told to
/// take more.
const MAX_ENTRIES: usize = 1_024;

/// Why nobody passes by a route whose rule is broken.
const NOT_UNDERSTOOD: &str = "the route's access rule is not understood";

/// Why nobody passes by a route whose policy does not decide, and which has nothing of its own to decide by.
const UNDECIDED: &str = "the policy of the route has no version in force that decides";

/// Serves `Authorization`.
///
/// Method, path and host of the checked request are not looked at: which rule holds is Envoy's to say, by the route that it has
/// chosen, so that no path can be read here in another way than there. But where the route names the policy of a service, the path is the
/// name of a method, byte for byte, or the request is refused ([`called`]).
#[derive(Debug)]
pub(crate) struct ExtAuthzRpc {
    authenticator: Arc<Authenticator<Arc<Keyring>, GoodStanding>>,
    policies: Arc<PoliciesInForce>,
    settings: ExtAuthzSettings,
    misconfiguration: Misconfiguration,
    shadow: ShadowVerdicts,
}

/// How it is answered.
#[derive(Debug)]
pub(crate) struct ExtAuthzSettings {
    /// The names of the headers that tell the service behind whom a request comes from.
    pub(crate) names: HeaderNames,
    /// Whether the token goes on to the service behind, where the route does not say.
    pub(crate) forward_token: bool,
    /// Whether Envoy itself is told whom a request comes from, beside the service behind it.
    pub(crate) dynamic_metadata: bool,
    /// Whether others than Envoys reach the address, so that not everybody may name the client whom a question is counted for.
    pub(crate) is_shared: bool,
}

/// The token of a request, and the request.
struct Shown<'a> {
    /// As it stands there.
    token: Result<Option<&'a str>, Error>,
    /// The same, if it had to be verified to admit the question.
    verified: Option<VerifiedToken>,
    /// The connection that brought the question.
    connection: Option<&'a ConnectionHandle>,
    /// The request that is asked about; none where it is not told.
    http: Option<&'a HttpRequest>,
}

impl ExtAuthzRpc {
    pub(crate) fn new(
        authenticator: Arc<Authenticator<Arc<Keyring>, GoodStanding>>,
        policies: Arc<PoliciesInForce>,
        settings: ExtAuthzSettings,
        metrics: ShadowMetrics,
        clock: Clock,
    ) -> Self {
        let (misconfiguration, shadow) =
            (Misconfiguration::new(clock.clone()), ShadowVerdicts::new(clock, metrics));
        Self { authenticator, policies, settings, misconfiguration, shadow }
    }

    /// Whom the request comes from, and the roles there at the audience of the route; none if nobody is said and nobody need be.
    async fn decide(
        &self,
        shown: Shown<'_>,
        rule: &Rule<'_>,
    ) -> Result<Option<(Caller, Arc<RolesAt>)>, Error> {
        let Some(token) = shown.token? else {
            return if rule.anonymous == Some(true) { Ok(None) } else { Err(Error::TokenMissing) };
        };
        // Who shows a token is held to it, also where none is needed: what the service behind would make of a bad one is not known.
        let audience = rule.audience.unwrap_or_else(|| self.authenticator.audience());
        let caller = match shown.verified {
            Some(token) => self.authenticator.recognise_verified(token, audience, None).await?,
            None => self.authenticator.recognise(token, audience).await?,
        };
        if let Some(connection) = shown.connection {
            connection.note_caller(caller.subject());
        }
        caller.must_have(rule.scopes.iter())?;
        let roles = self.authenticator.standing().roles_at(recognised(&caller)?, audience);
        if let Some(lacking) = rule.role.filter(|role| !roles.names.has_role(role)) {
            return Err(Error::InsufficientRole(lacking.to_owned()));
        }
        Ok(Some((caller, roles)))
    }

    /// What is answered to `client` by the rule that `extensions` make, which stand in `place`.
    async fn answer(
        &self,
        client: answer::Client,
        (place, extensions): (&str, &BTreeMap<String, String>),
        shown: Shown<'_>,
    ) -> Result<CheckResponse, Error> {
        let rule = match Rule::parse(extensions) {
            Ok(rule) => rule,
            Err(broken) => {
                let problem = format_args!("{place} has {broken}");
                return self.misconfigured(client, &problem, Error::RouteMisconfigured(NOT_UNDERSTOOD));
            }
        };
        let decided = match &rule.policy {
            None => self.decide(shown, &rule).await,
            // On the heap: most routes name none, and need not carry what it waits for.
            Some(service) => match Box::pin(self.decide_by_policy(service, shown, &rule)).await {
                Ok(passed) => Ok(passed),
                Err(Refused::Route(problem)) => {
                    let problem = format!(
                        "{place} has \"signet.policy\": {:?}, and {problem}",
                        beginning(service.as_str())
                    );
                    return self.misconfigured(client, &problem, Error::RouteMisconfigured(UNDECIDED));
                }
                Err(Refused::Request(error, scopes)) => {
                    return answer::denied(error, &Rule { scopes, ..Rule::default() }, client);
                }
            },
        };
        match decided {
            Ok(found) => {
                let forward_token = rule.forward_token.unwrap_or(self.settings.forward_token);
                let told = found.as_ref().map(|(caller, roles)| Told { caller, roles: &roles.joined });
                let allowed = self.settings.names.allowed(told.as_ref(), forward_token);
                let told = told.filter(|_| self.settings.dynamic_metadata);
                Ok(CheckResponse { dynamic_metadata: told.as_ref().map(answer::metadata), ..allowed })
            }
            Err(error) => answer::denied(error, &rule, client),
        }
    }

    /// Refuses `client` with `error`, whose route has a rule with a `problem`.
    fn misconfigured(
        &self,
        client: answer::Client,
        problem: &impl fmt::Display,
        error: Error,
    ) -> Result<CheckResponse, Error> {
        self.misconfiguration.tell(problem);
        answer::denied(error, &Rule::default(), client)
    }
}

#[tonic::async_trait]
impl Authorization for ExtAuthzRpc {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let AttributeContext { source, request, context_extensions } = message.attributes.unwrap_or_default();
        // Without HTTP there are no headers, so no token: what is allowed is what is allowed to everybody.
        let http = request.and_then(|request| request.http).unwrap_or_default();
        let apart = http.header_map.as_ref().map_or(0, |map| map.headers.len());
        if [context_extensions.len(), http.headers.len(), apart].iter().any(|count| *count > MAX_ENTRIES) {
            let rule = format!("must have at most {MAX_ENTRIES} headers and context extensions each");
            return Err(refused("attributes", FieldReason::TooLong, &rule).into());
        }
        // From here on the id is that of the request asked about, in the log, in the refusal and in the answer to Envoy, whose own log and
        // the service behind have it, too.
        let own = extensions.get().copied();
        let request_id = checked_id(&http).inspect(|id| works_for_request(*id)).or(own);
        if let (Some(trace), Some(parent)) = (current_trace(), parent(&http)) {
            trace.join(parent);
        }
        let token = bearer_token(fields(&http, "authorization"));
        let is_believed = !self.settings.is_shared || may_name_clients(&extensions, metadata);
        let client = source.filter(|_| is_believed).and_then(network);
        let verified = match extensions.get::<Door>() {
            Some(door) => door.enter(client, token.as_ref().ok().copied().flatten())?,
            None => None,
        };
        let shown = Shown { token, verified, connection: extensions.get(), http: Some(&http) };
        let is_grpc = fields(&http, "content-type").any(is_grpc_content_type);
        let client = answer::Client { is_grpc, request_id };
        let rule = ("context_extensions", &context_extensions);
        Ok(Response::new(self.answer(client, rule, shown).await?))
    }
}

/// Whether who asks may name the client whom the question is counted for: a trusted proxy, or one that has shown a certificate. Anybody
/// else could name others to take their shares, or none to have more than its own.
fn may_name_clients(extensions: &Extensions, metadata: MetadataMap) -> bool {
    extensions.get::<PeerAddress>().is_some_and(|peer| peer.is_trusted_proxy())
        || certificate(extensions, &metadata.into_headers()).is_some()
}

/// The network of the client whose request Envoy asks about.
fn network(client: Peer) -> Option<Network> {
    match client.address?.address? {
        Address::SocketAddress(socket) => socket.address.parse::<IpAddr>().ok().map(Network::of),
    }
}

/// The values of the header `name`, which is in lower case. Envoy has joined those of equal names with commas, or with
/// `encode_raw_headers` has not and sends them apart.
fn fields<'a>(request: &'a HttpRequest, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let joined = request.headers.iter().map(|(key, value)| (key, value.as_bytes()));
    let apart = request.header_map.iter().flat_map(|map| &map.headers).map(|header| {
        let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
        (&header.key, value)
    });
    joined.chain(apart).filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The id of the request asked about, if it has one that it may have.
fn checked_id(request: &HttpRequest) -> Option<RequestId> {
    let mut sent = fields(request, REQUEST_ID_HEADER);
    let only = sent.next().filter(|_| sent.next().is_none());
    only.and_then(RequestId::parse)
}

/// The trace of the request asked about, if it tells one.
fn parent(request: &HttpRequest) -> Option<TraceParent> {
    let mut sent = fields(request, TRACEPARENT);
    let only = sent.next().filter(|_| sent.next().is_none());
    only.and_then(TraceParent::parse)
}

/// Whether Envoy takes a request of this content type for gRPC, and so makes its refusals gRPC's.
fn is_grpc_content_type(value: &[u8]) -> bool {
    value.strip_prefix(b"application/grpc").is_some_and(|rest| rest.is_empty() || rest[0] == b'+')
}
