//! Owns what holds for every method of the admin API, walked from the descriptors: who is let in, and that nobody else is.

use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;
use signet::{
    auth::Access,
    model::{AdminScope, BuiltInRole},
    proto::DESCRIPTOR_SET,
    server::policy,
};
use tonic::Code;
use tonic_types::StatusExt;

use super::{AdminApi, call_empty};
use crate::harness::assert_refused;

/// The methods that need no scope to be let in: what they do is judged by whose it is.
const JUDGED_BY_WHAT_THEY_DO: &[&str] = &[
    "/identity.admin.v1.RoleService/CreateRole",
    "/identity.admin.v1.RoleService/UpdateRole",
    "/identity.admin.v1.RoleService/DeleteRole",
    "/identity.admin.v1.RoleService/CreateBinding",
    "/identity.admin.v1.RoleService/UpdateBinding",
    "/identity.admin.v1.RoleService/DeleteBinding",
];

/// Every method of the admin API by its path, with the scopes that it needs.
fn methods() -> Vec<(String, Vec<String>)> {
    let (pool, policy) = (DescriptorPool::decode(DESCRIPTOR_SET).unwrap(), policy().unwrap());
    let is_of_administrators = |package: &str| ["identity.admin.v1", "identity.policy.v1"].contains(&package);
    let services = pool.services().filter(|service| is_of_administrators(service.package_name()));
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let paths = methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()));
    let declared = |path: String| match policy.access(&path).unwrap() {
        Access::Authenticated(rule) => (path, rule.required_scopes.clone()),
        other => panic!("{path} declares {other:?}"),
    };
    paths.map(declared).collect()
}

#[test]
fn every_method_needs_a_scope_that_administers() {
    for (path, scopes) in methods() {
        let is_excepted = JUDGED_BY_WHAT_THEY_DO.contains(&path.as_str());
        assert_eq!(scopes.is_empty(), is_excepted, "{path}");
        for scope in scopes {
            assert!(AdminScope::ALL.iter().any(|known| known.name() == scope), "{path} needs {scope}");
        }
    }
}

#[tokio::test]
async fn every_method_refuses_who_shows_no_token_or_one_that_lacks_its_scope() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let methods = methods();
    let needed: BTreeSet<&String> = methods.iter().flat_map(|(_, scopes)| scopes).collect();
    for (path, _) in &methods {
        assert_refused(api.call_empty(path, None).await, Code::Unauthenticated, "TOKEN_MISSING");
        let made_up = api.call_empty(path, Some("x.y.z")).await;
        assert_refused(made_up, Code::Unauthenticated, "TOKEN_INVALID");
    }
    for missing in needed {
        let others: Vec<_> =
            AdminScope::ALL.iter().map(|scope| scope.name()).filter(|scope| scope != missing).collect();
        let lacking = api.log_in("boss", &others.join(" ")).await.access_token;
        for (path, _) in methods.iter().filter(|(_, scopes)| scopes.contains(missing)) {
            let answer = api.call_empty(path, Some(&lacking)).await;
            let refused = assert_refused(answer, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
            let info = refused.get_details_error_info().unwrap();
            assert_eq!(info.metadata.get("required_scope"), Some(missing), "{path}");
        }
    }
    // The token that has them all is let in; what the method makes of an empty message is its own affair.
    for (path, _) in &methods {
        let details = api.call_empty(path, Some(&token)).await.err();
        let reason = details.and_then(|status| status.get_details_error_info()).map(|info| info.reason);
        let reason = reason.unwrap_or_default();
        assert!(!reason.starts_with("TOKEN_") && reason != "INSUFFICIENT_SCOPE", "{path}: {reason}");
    }
}

#[tokio::test]
async fn every_method_refuses_a_scope_that_was_just_taken_away() {
    let api = AdminApi::start().await;
    let (root, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    api.call_empty("/identity.admin.v1.KeyService/ListKeys", Some(&token)).await.unwrap();
    api.take(BuiltInRole::Admin, root).await;
    for (path, scopes) in methods().into_iter().filter(|(_, scopes)| !scopes.is_empty()) {
        let refused = api.call_empty(&path, Some(&token)).await;
        let refused = assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.metadata.get("required_scope"), scopes.first(), "{path}");
    }
    api.give(BuiltInRole::Admin, root).await;
    api.call_empty("/identity.admin.v1.KeyService/ListKeys", Some(&token)).await.unwrap();
}

#[tokio::test]
async fn no_method_is_served_where_everybody_calls() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    for (path, _) in methods() {
        for token in [None, Some(token.as_str())] {
            let answer = call_empty(api.server.channel().await, &path, token).await;
            assert_eq!(answer.unwrap_err().code(), Code::Unimplemented, "{path}");
        }
    }
}
