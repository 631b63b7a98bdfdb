//! Owns what a client learns of the service without its proto: reflection, and health.

use std::process::Command;

use serde_json::Value;

use crate::{
    grpcurl,
    signet::Signet,
    tools::{self, texts},
};

const SERVICES: [&str; 6] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "identity.events.v1.EventService",
    "identity.v1.IdentityService",
    "identity.v1.TokenService",
];

#[test]
fn the_services_are_listed_and_described_with_their_comments() {
    let signet = Signet::start();
    assert_eq!(grpcurl::say(&signet, &[], &["list"]).lines().collect::<Vec<_>>(), SERVICES);
    let methods = grpcurl::say(&signet, &[], &["list", "identity.v1.IdentityService"]);
    let methods: Vec<_> = methods.lines().filter_map(|name| name.rsplit('.').next()).collect();
    assert!(["GetMe", "IssueToken", "SignUp"].iter().all(|method| methods.contains(method)), "{methods:?}");
    for service in SERVICES {
        let described = grpcurl::say(&signet, &[], &["describe", service]);
        assert!(described.starts_with(&format!("{service} is a service:")), "{described}");
    }
    let described = grpcurl::say(&signet, &[], &["describe", "identity.v1.IdentityService"]);
    for told in [
        "// Creates an account.",
        "rpc SignUp (",
        r#"option (.identity.v1.access) = { authenticated:<required_scopes:"profile"> };"#,
    ] {
        assert!(described.contains(told), "{told:?} is not in {described}");
    }
    // A request to fill in.
    let template = grpcurl::say(&signet, &["-msg-template"], &["describe", "identity.v1.SignUpRequest"]);
    assert!(template.contains(r#""password": """#), "{template}");
}

#[test]
fn reflection_answers_in_both_versions_of_its_protocol() {
    let signet = Signet::start();
    for version in ["grpc-v1", "grpc-v1alpha"] {
        let url = format!("http://{}/identity.v1.IdentityService/GetMe", signet.grpc_addr);
        let output = Command::new(tools::buf())
            .args(["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect-protocol", version])
            .args(["--data", "{}", &url])
            .output()
            .expect("buf runs");
        let (_, stderr) = texts(&output);
        // buf's exit code is eight times the gRPC code: the method was found, and asked for a token.
        assert_eq!(output.status.code(), Some(16 * 8), "{version}: {stderr}");
        let refusal: Value = serde_json::from_str(&stderr).expect("buf tells a refusal in JSON");
        assert_eq!(refusal["code"], "unauthenticated", "{version}");
        assert_eq!(refusal["details"][0]["type"], "google.rpc.ErrorInfo", "{version}");
    }
}

#[test]
fn health_is_told_per_service() {
    let signet = Signet::start();
    let check = |service: &str| {
        let request = format!(r#"{{"service":"{service}"}}"#);
        grpcurl::run(&signet, &["-d", &request], &["grpc.health.v1.Health/Check"])
    };
    for service in ["", "identity.v1.IdentityService", "identity.v1.TokenService"] {
        let (stdout, stderr) = texts(&check(service));
        let answer: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{service:?}: {stderr}"));
        assert_eq!(answer["status"], "SERVING", "{service:?}");
    }
    let unknown = check("identity.v1.NoSuchService");
    assert_eq!(unknown.status.code(), Some(69), "64 and NOT_FOUND: {unknown:?}");
    assert!(texts(&unknown).1.contains("Code: NotFound"), "{unknown:?}");
}
