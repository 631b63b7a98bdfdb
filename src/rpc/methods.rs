//! Owns what kind of call each method is, as its descriptor says.

use std::{collections::HashMap, time::Duration};

use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use tonic_health::pb::health_server::SERVICE_NAME as HEALTH;

use super::gzip;
use crate::{
    admission::CallKind,
    auth::{Access, Policy},
    proto::{
        envoy::service::auth::v3::authorization_server::SERVICE_NAME as EXT_AUTHZ,
        identity::{
            admin::v1::apply_service_server::SERVICE_NAME as APPLY,
            events::v1::event_service_server::SERVICE_NAME as EVENTS,
        },
    },
};

/// How long a stream may go without an answer to its client's requests: that of a person who looks around by reflection.
const IDLE: Duration = Duration::from_mins(1);

/// What kind of call a method is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Method {
    /// Where its places are.
    pub(super) kind: CallKind,
    /// Whether there is exactly one request message, so that it can be waited for.
    pub(super) has_one_request: bool,
    /// How its stream lives, if it has one.
    pub(super) stream: Option<Stream>,
    /// Whether one call of it at a time is answered.
    pub(super) alone: Option<Alone>,
    /// Whether its answer, of which there is one, may be compressed.
    pub(super) may_compress: bool,
}

/// What is asked of a call of which there is one at a time, and which may take more than others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alone {
    /// The scopes that a token must show for that.
    pub(super) scopes: Vec<String>,
    /// What its message is.
    pub(super) input: MessageDescriptor,
}

/// How a stream lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// How long it may go without an answer. None for those who are told of changes: there may be none.
    pub(super) idle: Option<Duration>,
}

/// A method that there is not: it is refused, whatever is sent.
const UNKNOWN: Method =
    Method { kind: CallKind::Call, has_one_request: false, stream: None, alone: None, may_compress: false };

/// The methods by path: `/package.Service/Method`.
#[derive(Debug)]
pub(super) struct Methods(HashMap<String, Method>);

impl Methods {
    /// The methods of every service that is `described`, of which `policy` says who may call them.
    pub(super) fn new(described: &[DescriptorPool], policy: &Policy) -> Self {
        let mut methods = HashMap::new();
        for pool in described {
            for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                let method = Method::of(&method, policy.access(&path));
                methods.insert(path, method);
            }
        }
        Self(methods)
    }

    /// What kind of call `path` is.
    pub(super) fn of(&self, path: &str) -> &Method {
        self.0.get(path).unwrap_or(&UNKNOWN)
    }
}

impl Method {
    fn of(method: &MethodDescriptor, access: Option<&Access>) -> Self {
        let service = method.parent_service();
        let kind = match service.full_name() {
            HEALTH => CallKind::Health,
            EXT_AUTHZ => CallKind::Check,
            EVENTS => CallKind::Watch,
            _ => CallKind::Call,
        };
        let has_one_request = !method.is_client_streaming();
        let is_stream = method.is_client_streaming() || method.is_server_streaming();
        // Who asks again and again has a connection to ask on; who has asked once is told when there is something to tell.
        let idle = method.is_client_streaming().then_some(IDLE);
        let alone = match access {
            Some(Access::Authenticated(rule)) if service.full_name() == APPLY => {
                Some(Alone { scopes: rule.required_scopes.clone(), input: method.input() })
            }
            _ => None,
        };
        // What Envoy is told goes no further than the next process, and may be a token.
        let may_compress = !is_stream && kind != CallKind::Check && gzip::may_compress(&method.output());
        Self { kind, has_one_request, stream: is_stream.then_some(Stream { idle }), alone, may_compress }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        DESCRIPTOR_SET,
        described::{API, EXT_AUTHZ, HEALTH, REFLECTION_V1},
    };

    #[test]
    fn methods_are_what_their_descriptors_say() {
        let described = [&API, &EXT_AUTHZ, &HEALTH, &REFLECTION_V1].map(|pool| (**pool).clone());
        let policy = Policy::from_descriptor_set(DESCRIPTOR_SET).unwrap();
        let methods = Methods::new(&described, &policy);
        let alone = methods.of("/identity.admin.v1.ApplyService/ApplyManifest").alone.as_ref().unwrap();
        assert_eq!(alone.scopes, ["signet.manifests.apply"]);
        assert_eq!(alone.input.full_name(), "identity.admin.v1.ApplyManifestRequest");
        let unary = |kind| Method {
            kind,
            has_one_request: true,
            stream: None,
            alone: None,
            may_compress: kind != CallKind::Check,
        };
        let table = [
            ("/identity.v1.IdentityService/GetMe", unary(CallKind::Call)),
            ("/identity.admin.v1.ClientService/UpdateClient", unary(CallKind::Call)),
            ("/grpc.health.v1.Health/Check", unary(CallKind::Health)),
            ("/envoy.service.auth.v3.Authorization/Check", unary(CallKind::Check)),
            (
                "/identity.v1.IdentityService/IssueToken",
                Method { may_compress: false, ..unary(CallKind::Call) },
            ),
            (
                "/grpc.health.v1.Health/Watch",
                Method {
                    stream: Some(Stream { idle: None }),
                    may_compress: false,
                    ..unary(CallKind::Health)
                },
            ),
            (
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                Method {
                    kind: CallKind::Call,
                    has_one_request: false,
                    stream: Some(Stream { idle: Some(IDLE) }),
                    alone: None,
                    may_compress: false,
                },
            ),
            (
                "/identity.events.v1.EventService/Watch",
                Method { stream: Some(Stream { idle: None }), may_compress: false, ..unary(CallKind::Watch) },
            ),
            ("/made.up/Method", UNKNOWN),
        ];
        for (path, expected) in table {
            assert_eq!(*methods.of(path), expected, "{path}");
        }
    }
}
