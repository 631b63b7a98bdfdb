//! Owns the table of what is served by gRPC: each service with its listener, who may call it, and how it is built.

use std::sync::Arc;

use tonic::service::{Routes, RoutesBuilder};
use tonic_health::{
    pb::health_server::{self, HealthServer},
    server::HealthService,
};
use tonic_reflection::{
    pb,
    server::{Builder, v1, v1alpha},
};

use super::Parts;
use crate::{
    config::{Config, ExtAuthzAddr, Switch},
    model::Error,
    proto::{
        DESCRIPTOR_SET, EXT_AUTHZ_DESCRIPTOR_SET,
        envoy::service::auth::v3::authorization_server::{self, AuthorizationServer},
        identity::v1::{
            identity_service_server::{self, IdentityServiceServer},
            token_service_server::{self, TokenServiceServer},
        },
    },
    rpc::{ExtAuthzRpc, HeaderNames, IdentityRpc, TokenRpc, health::HealthRpc},
};

/// A service that is served.
pub(super) struct Served {
    /// Its full name, `package.Service`: its name for health and reflection, too.
    pub(super) name: &'static str,
    /// The encoded `FileDescriptorSet` that describes it.
    pub(super) descriptors: &'static [u8],
    listeners: &'static [GrpcListener],
    pub(super) callers: Callers,
    /// Whether reflection lists it, where both are served.
    is_reflected: bool,
    /// Whether health tells of it.
    has_health: bool,
    /// Builds it, and adds its route.
    add: fn(&Building<'_>, &mut RoutesBuilder) -> Result<(), Error>,
}

/// Where gRPC is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrpcListener {
    /// At `--grpc-addr`.
    Main,
    /// At `--ext-authz-addr`. Without this address, `--ext-authz on` moves what is served here alone to `--grpc-addr`.
    ExtAuthz,
}

/// Who may call a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// Those whom its proto declares, method by method.
    Declared,
    /// Everybody: its proto is not ours, and declares nothing.
    Everybody,
}

/// What the services are built of.
pub(super) struct Building<'a> {
    pub(super) parts: &'a Parts,
    pub(super) config: &'a Config,
    pub(super) ext_authz: ExtAuthzAddr,
    pub(super) health: &'a HealthRpc,
}

/// Every service that is served, or can be. From it follow the routes of each listener, reflection, health, the policy, and what the layers
/// know of each method.
pub(super) static SERVED: [Served; 6] = [
    Served {
        name: identity_service_server::SERVICE_NAME,
        descriptors: DESCRIPTOR_SET,
        listeners: &[GrpcListener::Main],
        callers: Callers::Declared,
        is_reflected: true,
        has_health: true,
        add: |building, routes| {
            routes.add_service(identity(building));
            Ok(())
        },
    },
    Served {
        name: token_service_server::SERVICE_NAME,
        descriptors: DESCRIPTOR_SET,
        listeners: &[GrpcListener::Main],
        callers: Callers::Declared,
        is_reflected: true,
        has_health: true,
        add: |building, routes| {
            routes.add_service(tokens(building));
            Ok(())
        },
    },
    Served {
        name: authorization_server::SERVICE_NAME,
        descriptors: EXT_AUTHZ_DESCRIPTOR_SET,
        listeners: &[GrpcListener::ExtAuthz],
        // Envoy has no token of its own to show.
        callers: Callers::Everybody,
        is_reflected: true,
        has_health: true,
        add: |building, routes| {
            routes.add_service(ext_authz(building));
            Ok(())
        },
    },
    Served {
        name: health_server::SERVICE_NAME,
        descriptors: tonic_health::pb::FILE_DESCRIPTOR_SET,
        listeners: &[GrpcListener::Main, GrpcListener::ExtAuthz],
        callers: Callers::Everybody,
        is_reflected: true,
        has_health: false,
        add: |building, routes| {
            routes.add_service(health(building));
            Ok(())
        },
    },
    Served {
        name: pb::v1::server_reflection_server::SERVICE_NAME,
        descriptors: pb::v1::FILE_DESCRIPTOR_SET,
        listeners: &[GrpcListener::Main],
        callers: Callers::Everybody,
        is_reflected: true,
        has_health: false,
        add: |building, routes| {
            routes.add_service(reflection_v1(building)?);
            Ok(())
        },
    },
    Served {
        name: pb::v1alpha::server_reflection_server::SERVICE_NAME,
        descriptors: pb::v1alpha::FILE_DESCRIPTOR_SET,
        listeners: &[GrpcListener::Main],
        callers: Callers::Everybody,
        is_reflected: true,
        has_health: false,
        add: |building, routes| {
            routes.add_service(reflection_v1alpha(building)?);
            Ok(())
        },
    },
];

/// The descriptor sets of all services, each once.
pub(super) fn descriptor_sets() -> Vec<&'static [u8]> {
    sets(SERVED.iter())
}

fn sets(services: impl Iterator<Item = &'static Served>) -> Vec<&'static [u8]> {
    let mut sets: Vec<&[u8]> = services.map(|served| served.descriptors).collect();
    // The services of one set are neighbours in the table.
    sets.dedup();
    sets
}

/// The services that health tells of.
pub(super) fn with_health(ext_authz: ExtAuthzAddr) -> impl Iterator<Item = &'static str> {
    let is_served = move |served: &&Served| {
        ext_authz != ExtAuthzAddr::Off || served.listeners.contains(&GrpcListener::Main)
    };
    SERVED.iter().filter(is_served).filter(|served| served.has_health).map(|served| served.name)
}

/// The routes of `listener`.
pub(super) fn routes(listener: GrpcListener, building: &Building<'_>) -> Result<Routes, Error> {
    let mut routes = Routes::builder();
    for served in served_at(listener, building.ext_authz) {
        (served.add)(building, &mut routes)?;
    }
    Ok(routes.routes())
}

fn served_at(listener: GrpcListener, ext_authz: ExtAuthzAddr) -> impl Iterator<Item = &'static Served> {
    let is_shared = listener == GrpcListener::Main && ext_authz == ExtAuthzAddr::Shared;
    SERVED.iter().filter(move |served| is_shared || served.listeners.contains(&listener))
}

// ===== how each is built =====

fn identity(building: &Building<'_>) -> IdentityServiceServer<IdentityRpc> {
    let parts = building.parts;
    let rpc = IdentityRpc::new(
        Arc::clone(&parts.accounts),
        Arc::clone(&parts.own_account),
        Arc::clone(&parts.sessions),
        Arc::clone(&parts.grants),
        Arc::clone(&parts.revocation),
    );
    IdentityServiceServer::new(rpc).max_decoding_message_size(building.max_message_bytes())
}

fn tokens(building: &Building<'_>) -> TokenServiceServer<TokenRpc> {
    let parts = building.parts;
    let rpc = TokenRpc::new(Arc::clone(&parts.introspection), Arc::clone(&parts.keyring));
    TokenServiceServer::new(rpc).max_decoding_message_size(building.max_message_bytes())
}

fn ext_authz(building: &Building<'_>) -> AuthorizationServer<ExtAuthzRpc> {
    let (parts, mesh) = (building.parts, &building.config.mesh);
    let rpc = ExtAuthzRpc::new(
        Arc::clone(&parts.authenticator),
        HeaderNames::new(&mesh.ext_authz_header_prefix),
        mesh.ext_authz_forward_token == Switch::On,
        mesh.ext_authz_dynamic_metadata == Switch::On,
        building.ext_authz == ExtAuthzAddr::Shared,
        parts.clock.clone(),
    );
    AuthorizationServer::new(rpc).max_decoding_message_size(building.max_message_bytes())
}

fn health(building: &Building<'_>) -> HealthServer<HealthService> {
    building.health.server().max_decoding_message_size(building.max_message_bytes())
}

fn reflection_v1(
    building: &Building<'_>,
) -> Result<v1::ServerReflectionServer<impl v1::ServerReflection + use<>>, Error> {
    let server = reflection(building.ext_authz).build_v1().map_err(Error::internal)?;
    Ok(server.max_decoding_message_size(building.max_message_bytes()))
}

fn reflection_v1alpha(
    building: &Building<'_>,
) -> Result<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection + use<>>, Error> {
    let server = reflection(building.ext_authz).build_v1alpha().map_err(Error::internal)?;
    Ok(server.max_decoding_message_size(building.max_message_bytes()))
}

/// What reflection shows at `--grpc-addr`: the services there and the error details, so that a client without the proto can decode
/// everything.
fn reflection(ext_authz: ExtAuthzAddr) -> Builder<'static> {
    let shown = || served_at(GrpcListener::Main, ext_authz).filter(|served| served.is_reflected);
    // Its own two versions are rows of the table, like all others.
    let builder = Builder::configure().include_reflection_service(false);
    let builder = shown().fold(builder, |builder, served| builder.with_service_name(served.name));
    sets(shown())
        .into_iter()
        .chain([tonic_types::pb::FILE_DESCRIPTOR_SET])
        .fold(builder, Builder::register_encoded_file_descriptor_set)
}

impl Building<'_> {
    fn max_message_bytes(&self) -> usize {
        self.config.limits.max_message_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DescriptorPool;

    use super::*;

    fn described(set: &[u8]) -> BTreeSet<String> {
        let pool = DescriptorPool::decode(set).unwrap();
        pool.services().map(|service| service.full_name().to_owned()).collect()
    }

    fn listed(services: impl Iterator<Item = &'static str>) -> BTreeSet<String> {
        services.map(str::to_owned).collect()
    }

    #[test]
    fn the_table_has_each_service_of_its_descriptor_sets_once_and_no_other() {
        let all: BTreeSet<_> = descriptor_sets().into_iter().flat_map(described).collect();
        assert_eq!(listed(SERVED.iter().map(|served| served.name)), all);
        assert_eq!(SERVED.len(), all.len(), "no service has two rows");
        for served in &SERVED {
            assert!(described(served.descriptors).contains(served.name), "{}", served.name);
        }
    }

    #[test]
    fn each_set_counts_once() {
        let sets = descriptor_sets();
        assert_eq!(sets.iter().collect::<BTreeSet<_>>().len(), sets.len());
    }

    #[test]
    fn what_envoy_asks_is_served_where_it_is_asked_and_nowhere_else() {
        let own = ExtAuthzAddr::Own("127.0.0.1:1".parse().unwrap());
        let check = authorization_server::SERVICE_NAME;
        let table = [
            (ExtAuthzAddr::Off, GrpcListener::Main, false),
            (ExtAuthzAddr::Shared, GrpcListener::Main, true),
            (own, GrpcListener::Main, false),
            (own, GrpcListener::ExtAuthz, true),
        ];
        for (ext_authz, listener, expected) in table {
            let names = listed(served_at(listener, ext_authz).map(|served| served.name));
            assert_eq!(names.contains(check), expected, "{ext_authz:?}, {listener:?}");
        }
        let for_envoy = listed(served_at(GrpcListener::ExtAuthz, own).map(|served| served.name));
        assert_eq!(for_envoy, listed([check, health_server::SERVICE_NAME].into_iter()));
        for (ext_authz, expected) in [(ExtAuthzAddr::Off, false), (ExtAuthzAddr::Shared, true), (own, true)] {
            assert_eq!(listed(with_health(ext_authz)).contains(check), expected, "{ext_authz:?}");
        }
    }
}
