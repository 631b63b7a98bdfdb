//! Owns the table of what is served by gRPC: each service with its listener, who may call it, and how it is built.

use std::{ptr, sync::Arc};

use prost_reflect::DescriptorPool;
use tonic_health::{
    pb::health_server::{self, HealthServer},
    server::HealthService,
};
use tonic_reflection::pb::{
    v1::server_reflection_server::{self, ServerReflectionServer},
    v1alpha::server_reflection_server as alpha_reflection_server,
};

use super::{
    Parts,
    routes::{Routes, RoutesBuilder},
};
use crate::{
    config::{Config, ExtAuthzAddr, Switch},
    identity::{
        AccessRegistry, AttributeRegistry, ClientDirectory, ClientRegistry, UserDirectory, UserRegistry,
        apply::{Manifests, SharedManifests},
        policies::PolicyRegistry,
        users::UserPasswords,
        watching::Watching,
    },
    proto::{
        described::{self, Described},
        envoy::service::auth::v3::authorization_server::{self, AuthorizationServer},
        identity::admin::v1::{
            apply_service_server::{self, ApplyServiceServer},
            attribute_service_server::{self, AttributeServiceServer},
            audit_service_server::{self, AuditServiceServer},
            client_service_server::{self, ClientServiceServer},
            group_service_server::{self, GroupServiceServer},
            key_service_server::{self, KeyServiceServer},
            role_service_server::{self, RoleServiceServer},
            session_service_server::{self, SessionServiceServer},
            user_service_server::{self, UserServiceServer},
        },
        identity::events::v1::event_service_server,
        identity::policy::v1::policy_service_server::{self, PolicyServiceServer},
        identity::v1::{
            identity_service_server::{self, IdentityServiceServer},
            token_service_server::{self, TokenServiceServer},
        },
    },
    rpc::{
        ApplyRpc, AttributeRpc, AuditRpc, ClientRpc, EventServer, ExtAuthzRpc, ExtAuthzSettings, GroupRpc,
        HeaderNames, IdentityRpc, KeyRpc, MANIFEST_MAX_BYTES, PolicyRpc, ReflectionRpc, RoleRpc, SessionRpc,
        TokenRpc, UserRpc, health::HealthRpc,
    },
};

/// A service that is served.
pub(super) struct Served {
    /// Its full name, `package.Service`: its name for health and reflection, too.
    pub(super) name: &'static str,
    /// What describes it.
    pub(super) described: &'static Described,
    listeners: &'static [GrpcListener],
    pub(super) callers: Callers,
    /// Whether reflection lists it, where both are served.
    is_reflected: bool,
    /// Whether health tells of it.
    has_health: bool,
    add: Add,
}

/// Builds a service, and adds its route.
type Add = fn(&Building<'_>, &mut RoutesBuilder);

/// Where gRPC is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrpcListener {
    /// At `--grpc-addr`.
    Main,
    /// At `--admin-addr`: nothing of the admin API is served anywhere else.
    Admin,
    /// At `--http-addr`, by Connect alone, for the explorer's page.
    Explorer,
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
    pub(super) listener: GrpcListener,
    pub(super) ext_authz: ExtAuthzAddr,
    pub(super) health: &'a HealthRpc,
    /// The largest message that is taken at the listener.
    pub(super) max_message_bytes: usize,
}

impl Served {
    /// A service of the admin API.
    const fn of_admin_api(name: &'static str, add: Add) -> Self {
        Self {
            name,
            described: &described::API,
            listeners: &[GrpcListener::Admin],
            callers: Callers::Declared,
            is_reflected: true,
            has_health: true,
            add,
        }
    }
}

/// Every service that is served, or can be. From it follow the routes of each listener, reflection, health, the policy, and what the layers
/// know of each method.
pub(super) static SERVED: &[Served] = &[
    Served {
        name: identity_service_server::SERVICE_NAME,
        described: &described::API,
        // Beside the admin API, too, so that whoever administers needs one address.
        listeners: &[GrpcListener::Main, GrpcListener::Admin, GrpcListener::Explorer],
        callers: Callers::Declared,
        is_reflected: true,
        has_health: true,
        add: |building, routes| {
            routes.add_service(identity(building));
        },
    },
    Served {
        name: token_service_server::SERVICE_NAME,
        described: &described::API,
        listeners: &[GrpcListener::Main, GrpcListener::Admin, GrpcListener::Explorer],
        callers: Callers::Declared,
        is_reflected: true,
        has_health: true,
        add: |building, routes| {
            routes.add_service(tokens(building));
        },
    },
    Served {
        name: event_service_server::SERVICE_NAME,
        described: &described::API,
        // Where those are who verify tokens by themselves.
        listeners: &[GrpcListener::Main],
        callers: Callers::Declared,
        is_reflected: true,
        has_health: true,
        add: |building, routes| {
            let watching =
                Watching::new(Arc::clone(&building.parts.stream), Arc::clone(&building.parts.clients));
            routes.add_service(EventServer::new(watching, building.max_message_bytes));
        },
    },
    Served::of_admin_api(apply_service_server::SERVICE_NAME, |building, routes| {
        routes.add_service(manifests(building));
    }),
    Served::of_admin_api(audit_service_server::SERVICE_NAME, |building, routes| {
        let rpc = AuditRpc::new(Arc::clone(&building.parts.audit_trail));
        let server = AuditServiceServer::new(rpc);
        routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
    }),
    Served::of_admin_api(client_service_server::SERVICE_NAME, |building, routes| {
        routes.add_service(clients(building));
    }),
    Served::of_admin_api(key_service_server::SERVICE_NAME, |building, routes| {
        let rpc = KeyRpc::new(Arc::clone(&building.parts.keyring));
        let server = KeyServiceServer::new(rpc);
        routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
    }),
    Served::of_admin_api(session_service_server::SERVICE_NAME, |building, routes| {
        let rpc = SessionRpc::new(Arc::clone(&building.parts.sessions));
        let server = SessionServiceServer::new(rpc);
        routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
    }),
    Served::of_admin_api(role_service_server::SERVICE_NAME, |building, routes| {
        let rpc = RoleRpc::new(access(building), building.config.tokens.issuing().audience);
        let server = RoleServiceServer::new(rpc);
        routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
    }),
    Served::of_admin_api(attribute_service_server::SERVICE_NAME, |building, routes| {
        let Parts { store, clock, audit, .. } = building.parts;
        let registry = AttributeRegistry::new(store.clone(), clock.clone(), audit.clone());
        let server = AttributeServiceServer::new(AttributeRpc::new(Arc::new(registry)));
        routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
    }),
    Served::of_admin_api(policy_service_server::SERVICE_NAME, |building, routes| {
        routes.add_service(policies(building));
    }),
    Served::of_admin_api(group_service_server::SERVICE_NAME, |building, routes| {
        let server = GroupServiceServer::new(GroupRpc::new(access(building)));
        routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
    }),
    Served::of_admin_api(user_service_server::SERVICE_NAME, |building, routes| {
        let server = UserServiceServer::new(users(building.parts));
        routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
    }),
    Served {
        name: authorization_server::SERVICE_NAME,
        described: &described::EXT_AUTHZ,
        listeners: &[GrpcListener::ExtAuthz],
        // Envoy has no token of its own to show.
        callers: Callers::Everybody,
        is_reflected: true,
        has_health: true,
        add: |building, routes| {
            routes.add_service(ext_authz(building));
        },
    },
    Served {
        name: health_server::SERVICE_NAME,
        described: &described::HEALTH,
        listeners: &[GrpcListener::Main, GrpcListener::ExtAuthz, GrpcListener::Admin],
        callers: Callers::Everybody,
        is_reflected: true,
        has_health: false,
        add: |building, routes| {
            routes.add_service(health(building));
        },
    },
    Served {
        name: server_reflection_server::SERVICE_NAME,
        described: &described::REFLECTION_V1,
        listeners: &[GrpcListener::Main, GrpcListener::Admin],
        callers: Callers::Everybody,
        is_reflected: true,
        has_health: false,
        add: |building, routes| {
            let server = ServerReflectionServer::new(reflection(building));
            routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
        },
    },
    Served {
        name: alpha_reflection_server::SERVICE_NAME,
        described: &described::REFLECTION_V1ALPHA,
        listeners: &[GrpcListener::Main, GrpcListener::Admin],
        callers: Callers::Everybody,
        is_reflected: true,
        has_health: false,
        add: |building, routes| {
            let server = alpha_reflection_server::ServerReflectionServer::new(reflection(building));
            routes.add_service(server.max_decoding_message_size(building.max_message_bytes));
        },
    },
];

/// What describes all services, each set once.
pub(super) fn described() -> Vec<DescriptorPool> {
    pools(SERVED.iter())
}

fn pools(services: impl Iterator<Item = &'static Served>) -> Vec<DescriptorPool> {
    let mut sets: Vec<&Described> = services.map(|served| served.described).collect();
    // The services of one set are neighbours in the table.
    sets.dedup_by(|one, other| ptr::eq(*one, *other));
    sets.into_iter().map(|set| (*set).clone()).collect()
}

/// The services that health tells of at `--grpc-addr`, and at `--ext-authz-addr`.
pub(super) fn with_health(ext_authz: ExtAuthzAddr) -> impl Iterator<Item = &'static str> {
    let is_served = move |served: &&Served| {
        let for_envoy = ext_authz != ExtAuthzAddr::Off && served.listeners.contains(&GrpcListener::ExtAuthz);
        for_envoy || served.listeners.contains(&GrpcListener::Main)
    };
    SERVED.iter().filter(is_served).filter(|served| served.has_health).map(|served| served.name)
}

/// The services that health tells of at `--admin-addr`.
pub(super) fn with_health_for_administrators() -> impl Iterator<Item = &'static str> {
    // Whether Envoy can ask elsewhere does not matter there.
    let served = served_at(GrpcListener::Admin, ExtAuthzAddr::Off);
    served.filter(|served| served.has_health).map(|served| served.name)
}

/// The services of `listener`.
pub(super) fn names(listener: GrpcListener, ext_authz: ExtAuthzAddr) -> impl Iterator<Item = &'static str> {
    served_at(listener, ext_authz).map(|served| served.name)
}

/// The routes of the listener.
pub(super) fn routes(building: &Building<'_>) -> Routes {
    let mut routes = RoutesBuilder::default();
    for served in served_at(building.listener, building.ext_authz) {
        (served.add)(building, &mut routes);
    }
    routes.routes()
}

fn served_at(listener: GrpcListener, ext_authz: ExtAuthzAddr) -> impl Iterator<Item = &'static Served> {
    let is_shared = listener == GrpcListener::Main && ext_authz == ExtAuthzAddr::Shared;
    let is_for_envoy = move |served: &Served| is_shared && served.listeners.contains(&GrpcListener::ExtAuthz);
    SERVED.iter().filter(move |served| is_for_envoy(served) || served.listeners.contains(&listener))
}

// ===== how each is built =====

fn manifests(building: &Building<'_>) -> ApplyServiceServer<ApplyRpc> {
    let Parts { store, clock, audit, .. } = building.parts;
    let own = building.config.tokens.issuing().audience;
    let manifests = Manifests::new(store.clone(), clock.clone(), audit.clone(), own);
    // Whoever may send so much has been found out where the message was received.
    ApplyServiceServer::new(ApplyRpc::new(SharedManifests::new(manifests)))
        .max_decoding_message_size(MANIFEST_MAX_BYTES)
}

fn clients(building: &Building<'_>) -> ClientServiceServer<ClientRpc> {
    let Parts { store, clock, audit, .. } = building.parts;
    let own = building.config.tokens.issuing().audience;
    let directory = ClientDirectory::new(store.clone(), own.clone());
    let registry = ClientRegistry::new(store.clone(), clock.clone(), audit.clone(), own);
    let rpc = ClientRpc::new(registry, directory);
    ClientServiceServer::new(rpc).max_decoding_message_size(building.max_message_bytes)
}

fn identity(building: &Building<'_>) -> IdentityServiceServer<IdentityRpc> {
    let parts = building.parts;
    let rpc = IdentityRpc::new(
        Arc::clone(&parts.accounts),
        Arc::clone(&parts.own_account),
        Arc::clone(&parts.sessions),
        Arc::clone(&parts.grants),
        Arc::clone(&parts.revocation),
        Arc::clone(&parts.attributes),
    );
    // At the address of HTTP a password counts as HTTP has it. By gRPC, it is not concerned.
    let is_at_http = building.listener == GrpcListener::Explorer;
    let rpc = rpc.taking_passwords(!is_at_http || building.config.http.http_password_grant == Switch::On);
    IdentityServiceServer::new(rpc).max_decoding_message_size(building.max_message_bytes)
}

fn access(building: &Building<'_>) -> Arc<AccessRegistry> {
    let Parts { store, clock, audit, .. } = building.parts;
    let own = building.config.tokens.issuing().audience;
    Arc::new(AccessRegistry::new(store.clone(), clock.clone(), audit.clone(), own))
}

fn policies(building: &Building<'_>) -> PolicyServiceServer<PolicyRpc> {
    let Parts { store, clock, audit, policies, authenticator, .. } = building.parts;
    let own = building.config.tokens.issuing().audience;
    let registry = PolicyRegistry::new(store.clone(), clock.clone(), audit.clone(), own.clone());
    let rpc = PolicyRpc::new(registry, Arc::clone(policies), Arc::clone(authenticator), own);
    PolicyServiceServer::new(rpc).max_decoding_message_size(building.max_message_bytes)
}

fn users(parts: &Parts) -> UserRpc {
    let Parts { store, clock, audit, accounts, sessions, guessing, .. } = parts;
    let registry = UserRegistry::new(store.clone(), clock.clone(), audit.clone())
        .remembered_by(Arc::clone(accounts), Arc::clone(sessions));
    let passwords = UserPasswords::new(store.clone(), accounts.argon2(), clock.clone(), audit.clone())
        .remembered_by(Arc::clone(accounts), Arc::clone(sessions));
    let (directory, rests) = (UserDirectory::new(store.clone()), accounts.rests().clone());
    UserRpc::new(directory, registry, passwords, guessing.allowances(), rests)
}

fn tokens(building: &Building<'_>) -> TokenServiceServer<TokenRpc> {
    let parts = building.parts;
    let rpc = TokenRpc::new(Arc::clone(&parts.introspection), Arc::clone(&parts.keyring));
    TokenServiceServer::new(rpc).max_decoding_message_size(building.max_message_bytes)
}

fn ext_authz(building: &Building<'_>) -> AuthorizationServer<ExtAuthzRpc> {
    let rpc = ext_authz_rpc(building.parts, building.config, building.ext_authz);
    AuthorizationServer::new(rpc).max_decoding_message_size(building.max_message_bytes)
}

/// What decides whether requests to other services may pass, asked at `addr`.
pub(super) fn ext_authz_rpc(parts: &Parts, config: &Config, addr: ExtAuthzAddr) -> ExtAuthzRpc {
    let mesh = &config.mesh;
    let settings = ExtAuthzSettings {
        names: HeaderNames::new(&mesh.ext_authz_header_prefix),
        forward_token: mesh.ext_authz_forward_token == Switch::On,
        dynamic_metadata: mesh.ext_authz_dynamic_metadata == Switch::On,
        is_shared: addr == ExtAuthzAddr::Shared,
    };
    let (authenticator, policies) = (Arc::clone(&parts.authenticator), Arc::clone(&parts.policies));
    ExtAuthzRpc::new(authenticator, policies, settings, parts.metrics.shadow.clone(), parts.clock.clone())
}

fn health(building: &Building<'_>) -> HealthServer<HealthService> {
    building.health.server().max_decoding_message_size(building.max_message_bytes)
}

/// What reflection shows at the listener: the services there and the error details, so that a client without the proto can decode
/// everything.
fn reflection(building: &Building<'_>) -> ReflectionRpc {
    let shown = || served_at(building.listener, building.ext_authz).filter(|served| served.is_reflected);
    let mut pools = pools(shown());
    pools.push(described::ERROR_DETAILS.clone());
    ReflectionRpc::new(shown().map(|served| served.name), pools, building.max_message_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn services(pool: &DescriptorPool) -> BTreeSet<String> {
        pool.services().map(|service| service.full_name().to_owned()).collect()
    }

    fn listed(services: impl Iterator<Item = &'static str>) -> BTreeSet<String> {
        services.map(str::to_owned).collect()
    }

    #[test]
    fn the_table_has_each_service_of_its_descriptor_sets_once_and_no_other() {
        let all: BTreeSet<_> = super::described().iter().flat_map(services).collect();
        assert_eq!(listed(SERVED.iter().map(|served| served.name)), all);
        assert_eq!(SERVED.len(), all.len(), "no service has two rows");
        for served in SERVED {
            assert!(services(served.described).contains(served.name), "{}", served.name);
        }
    }

    #[test]
    fn each_set_counts_once() {
        let sets = super::described();
        let firsts = sets.iter().filter_map(|pool| pool.services().next());
        let firsts: BTreeSet<_> = firsts.map(|service| service.full_name().to_owned()).collect();
        assert_eq!(firsts.len(), sets.len());
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
