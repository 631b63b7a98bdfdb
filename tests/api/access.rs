//! Owns that no method can be called past its declaration.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, MethodDescriptor};
use signet::{
    auth::{Access, CallerKind, Policy, Requirements},
    proto::DESCRIPTOR_SET,
    server::policy,
};
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_types::StatusExt;

use crate::{
    clients::{Service, Wanted, alice, request},
    harness::{TestServer, assert_refused, with_token},
};

/// Calls `path` with an empty message and no token.
async fn call(server: &TestServer, path: &str) -> Result<(), Status> {
    send(server, path, Request::new(())).await
}

async fn send(server: &TestServer, path: &str, request: Request<()>) -> Result<(), Status> {
    let is_admin = path.starts_with("/identity.admin.v1.") || path.starts_with("/identity.policy.v1.");
    let mut grpc = Grpc::new(if is_admin { server.admin_channel().await } else { server.channel().await });
    grpc.ready().await.unwrap();
    let codec: tonic_prost::ProstCodec<(), ()> = tonic_prost::ProstCodec::default();
    grpc.unary(request, PathAndQuery::try_from(path).unwrap(), codec).await.map(drop)
}

fn methods_of_this_api() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn every_method_declares_its_access_and_is_held_to_it() {
    let server = TestServer::start(&[]).await;
    let policy = policy().unwrap();
    let methods = methods_of_this_api();
    assert!(methods.len() >= 3);
    for method in methods {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let answer = call(&server, &path).await;
        match policy.access(&path).unwrap() {
            Access::Undeclared | Access::NotUnderstood => panic!("{path} declares no access"),
            Access::Authenticated(_) => {
                assert_refused(answer, Code::Unauthenticated, "TOKEN_MISSING");
            }
            Access::Public => {
                let code = answer.map_or_else(|status| status.code(), |()| Code::Ok);
                let never = [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented];
                assert!(!never.contains(&code), "{path}: {code:?}");
            }
        }
    }
}

/// The methods that need scopes, with these.
fn methods_with_scopes() -> Vec<(String, Vec<String>)> {
    let policy = policy().unwrap();
    // Those of the admin API have tests of their own: no client gets their scopes by being registered with them alone.
    let methods = methods_of_this_api().into_iter();
    let methods = methods.filter(|method| method.parent_file().package_name() == "identity.v1");
    let paths = methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()));
    let scopes = |path: String| match policy.access(&path).unwrap() {
        Access::Authenticated(rule) => Some((path, rule.required_scopes.clone())),
        Access::Public | Access::Undeclared | Access::NotUnderstood => None,
    };
    paths.filter_map(scopes).filter(|(_, scopes)| !scopes.is_empty()).collect()
}

#[tokio::test]
async fn every_method_refuses_a_genuine_token_that_lacks_one_of_its_scopes_and_no_other() {
    let service = Service::start().await;
    let methods = methods_with_scopes();
    let all: BTreeSet<&String> = methods.iter().flat_map(|(_, scopes)| scopes).collect();
    assert!(methods.len() >= 8 && all.len() >= 2, "{methods:?}");
    let mut let_in = BTreeSet::new();
    for (number, missing) in all.iter().enumerate() {
        let others: Vec<&str> = all
            .iter()
            .filter(|scope| *scope != missing)
            .map(|scope| scope.as_str())
            .chain(["other"])
            .collect();
        let client =
            service.register(&format!("client-{number}"), Wanted::confidential(&others.join(" "))).await;
        for (path, required) in &methods {
            // One is a user's, the other the client's own. What the method does when it is let in must not concern the next token.
            for grant in [request(alice(), Some(client.by_secret())), client.own_token()] {
                let issued = service.issue(grant).await.unwrap();
                let granted: Vec<_> = issued.scope.split(' ').collect();
                let answer = send(&service.server, path, with_token((), &issued.access_token)).await;
                if let Some(lacking) = required.iter().find(|scope| !granted.contains(&scope.as_str())) {
                    let refused = assert_refused(answer, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
                    let info = refused.get_details_error_info().unwrap();
                    assert_eq!(info.metadata.get("required_scope"), Some(lacking), "{path}");
                    continue;
                }
                let details = answer.err().and_then(|status| status.get_details_error_info());
                let reason = details.map(|info| info.reason).unwrap_or_default();
                let is_denied = reason.starts_with("TOKEN_") || reason == "INSUFFICIENT_SCOPE";
                assert!(!is_denied, "{path}: {reason}");
                let_in.insert(path);
            }
        }
    }
    assert!(let_in.len() >= 8, "the tokens are good for something: {let_in:?}");
}

#[tokio::test]
async fn what_is_not_declared_does_not_exist_for_a_caller() {
    let server = TestServer::start(&[]).await;
    for path in [
        "/identity.v1.IdentityService/Nothing",
        "/identity.v1.IdentityService/getme",
        "/identity.v1.IdentityService/GetMe/",
        "//identity.v1.IdentityService/GetMe",
        "/identity.v1.IdentityService//GetMe",
        "/x/../identity.v1.IdentityService/GetMe",
        "/identity.v1.IdentityService/Get%4De",
        "/other.v1.Service/Method",
        "/",
    ] {
        assert_eq!(call(&server, path).await.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
    // A query is no part of the method's name, and opens nothing.
    let answer = call(&server, "/identity.v1.IdentityService/GetMe?public").await;
    assert_refused(answer, Code::Unauthenticated, "TOKEN_MISSING");
}

/// What the services in `text`, a proto, declare; the option is that of this release, or of `access_proto`.
fn policy_of(text: &str, access_proto: Option<&str>) -> Policy {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("test.proto"), text).unwrap();
    if let Some(text) = access_proto {
        std::fs::create_dir_all(dir.path().join("identity/v1")).unwrap();
        std::fs::write(dir.path().join("identity/v1/access.proto"), text).unwrap();
    }
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let mut compiler = protox::Compiler::new([dir.path(), proto.as_ref()]).unwrap();
    compiler.include_imports(true).open_file("test.proto").unwrap();
    Policy::from_descriptor_set(&compiler.encode_file_descriptor_set()).unwrap()
}

#[test]
fn a_method_that_declares_nothing_is_denied() {
    let text = r#"
        syntax = "proto3";
        package test.v1;
        import "identity/v1/access.proto";
        message Empty {}
        service TestService {
          rpc Forgotten(Empty) returns (Empty);
          rpc Unset(Empty) returns (Empty) { option (identity.v1.access) = {}; }
          rpc Open(Empty) returns (Empty) { option (identity.v1.access) = { public: {} }; }
          rpc Scoped(Empty) returns (Empty) {
            option (identity.v1.access) = { authenticated: { required_scopes: ["a", "b"] } };
          }
          rpc Whole(Empty) returns (Empty) {
            option (identity.v1.access) = {
              authenticated: { any_scopes: ["c", "d"], any_roles: "picker", callers: CALLERS_USER, audience: "orders" }
            };
          }
        }"#;
    let policy = policy_of(text, None);
    let access = |method: &str| policy.access(&format!("/test.v1.TestService/{method}")).cloned();
    assert_eq!(access("Forgotten"), Some(Access::Undeclared));
    assert_eq!(access("Unset"), Some(Access::Undeclared));
    assert_eq!(access("Open"), Some(Access::Public));
    let both = vec!["a".to_owned(), "b".to_owned()];
    let scoped = Requirements { required_scopes: both, ..Requirements::default() };
    assert_eq!(access("Scoped"), Some(Access::Authenticated(scoped)));
    let whole = Requirements {
        required_scopes: Vec::new(),
        any_scopes: vec!["c".to_owned(), "d".to_owned()],
        any_roles: vec!["picker".to_owned()],
        callers: Some(CallerKind::User),
        audience: Some("orders".to_owned()),
    };
    assert_eq!(access("Whole"), Some(Access::Authenticated(whole)));
    assert_eq!(access("Missing"), None);
}

#[test]
fn a_rule_with_something_of_a_later_release_denies_the_method() {
    let own = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/identity/v1/access.proto"))
        .unwrap();
    let later = own
        .replace("CALLERS_CLIENT = 2;", "CALLERS_CLIENT = 2; CALLERS_ROBOT = 3;")
        .replace("string audience = 5;", "string audience = 5; bool needs_mfa = 6;")
        .replace("message Public {}", "message Public { bool logged = 1; }")
        .replace("Public public = 1;", "Public public = 1; Public insiders = 3;");
    let text = r#"
        syntax = "proto3";
        package test.v1;
        import "identity/v1/access.proto";
        message Empty {}
        service TestService {
          rpc Field(Empty) returns (Empty) { option (identity.v1.access) = { authenticated: { needs_mfa: true } }; }
          rpc Value(Empty) returns (Empty) { option (identity.v1.access) = { authenticated: { callers: CALLERS_ROBOT } }; }
          rpc Public(Empty) returns (Empty) { option (identity.v1.access) = { public: { logged: true } }; }
          rpc Rule(Empty) returns (Empty) { option (identity.v1.access) = { insiders: {} }; }
          rpc Known(Empty) returns (Empty) { option (identity.v1.access) = { authenticated: { callers: CALLERS_CLIENT } }; }
        }"#;
    let policy = policy_of(text, Some(&later));
    let access = |method: &str| policy.access(&format!("/test.v1.TestService/{method}")).cloned();
    for method in ["Field", "Value", "Public", "Rule"] {
        assert_eq!(access(method), Some(Access::NotUnderstood), "{method}");
    }
    let clients = Requirements { callers: Some(CallerKind::Client), ..Requirements::default() };
    assert_eq!(access("Known"), Some(Access::Authenticated(clients)));
}

/// `buf breaking` does not look at it.
#[test]
fn the_option_that_declares_access_has_the_number_that_was_released() {
    let released = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/released.binpb")).unwrap();
    let number = |set: &[u8]| {
        let pool = DescriptorPool::decode(set).unwrap();
        pool.get_extension_by_name("identity.v1.access").unwrap().number()
    };
    assert_eq!(number(DESCRIPTOR_SET), number(&released));
}
