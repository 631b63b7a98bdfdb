//! Owns pushing versions: who may, what is refused, and what is shown of them.

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use signet::proto::identity::{
    policy::v1::{
        DiffPolicyVersionsRequest, GetPolicyVersionRequest, ListPolicyVersionsRequest,
        PushPolicyVersionRequest, policy_version::State,
    },
    v1::access::{Authenticated, Callers, Rule},
};
use tonic::Code;

use super::{Policies, method, needing, set};
use crate::harness::{assert_refused, with_token};

#[tokio::test]
async fn a_version_is_kept_with_its_rules_and_pushed_again_it_is_the_same() {
    let policies = Policies::start().await;
    let rule = r#"authenticated: { any_scopes: ["a", "b"], any_roles: "picker", callers: CALLERS_USER, audience: "orders" }"#;
    let file = set(&[method("Reserve", rule), method("Look", "public: {}"), method("Unset", "")].concat());
    let pushed = policies.push_by(&policies.olga, "v1", file.clone()).await.unwrap();
    assert_eq!((pushed.state(), pushed.method_count, pushed.sha256.len()), (State::Pushed, 3, 64));
    assert_eq!(policies.push_by(&policies.olga, "v1", file).await.unwrap(), pushed, "again");
    let other = policies.push_by(&policies.olga, "v1", needing("a")).await;
    assert_refused(other, Code::AlreadyExists, "POLICY_VERSION_EXISTS");

    let request = GetPolicyVersionRequest { service: "stock".to_owned(), version: "v1".to_owned() };
    let found =
        policies.client.clone().get_policy_version(with_token(request, &policies.olga)).await.unwrap();
    let found = found.into_inner();
    assert_eq!(found.policy_version, Some(pushed.clone()));
    let told: Vec<_> =
        found.rules.iter().map(|rule| (rule.method.as_str(), rule.description.as_str())).collect();
    let expected = [
        ("/stock.v1.Stock/Look", "everybody"),
        ("/stock.v1.Stock/Reserve", "a user for orders with one of a, b with one of the roles picker"),
        ("/stock.v1.Stock/Unset", "nobody (it declares nothing)"),
    ];
    assert_eq!(told, expected);
    let Some(Rule::Authenticated(rule)) = found.rules[1].access.clone().unwrap().rule else { panic!() };
    let whole = Authenticated {
        required_scopes: Vec::new(),
        any_scopes: vec!["a".to_owned(), "b".to_owned()],
        any_roles: vec!["picker".to_owned()],
        callers: Callers::User.into(),
        audience: "orders".to_owned(),
    };
    assert_eq!(rule, whole);
    let audited = policies.api.audited("policy.pushed", 1).await;
    assert_eq!((&audited[0]["audience"], &audited[0]["outcome"]), (&"stock".into(), &"success".into()));
}

#[tokio::test]
async fn only_owners_push_and_only_what_can_be_read() {
    let policies = Policies::start().await;
    let (_, mallory) = policies.api.administrator(signet::model::BuiltInRole::Admin, "mallory").await;
    let refused = policies.push_by(&mallory, "v1", needing("a")).await;
    assert_refused(refused, Code::PermissionDenied, "NOT_OWNER");
    for (bad, part) in [
        (b"no set".to_vec(), "cannot be read"),
        (Vec::new(), "must have methods"),
        (needing("two words"), "nobody could keep"),
    ] {
        let refused = policies.push_by(&policies.olga, "v1", bad).await;
        let refused = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert!(refused.message().contains(part), "{refused:?}");
    }
    // Names that no compiler of protos writes, and of which each database thinks otherwise.
    for name in ["Take\0", "Take ", "\x1b[2J\nINFO forged", "a?b", &"x".repeat(20_000)] {
        let service = ServiceDescriptorProto {
            name: Some("Stock".to_owned()),
            method: vec![MethodDescriptorProto { name: Some(name.to_owned()), ..Default::default() }],
            ..Default::default()
        };
        let file = FileDescriptorProto { service: vec![service], ..Default::default() };
        let bad = [needing("a"), FileDescriptorSet { file: vec![file] }.encode_to_vec()].concat();
        let refused = policies.push_by(&policies.olga, "v1", bad).await;
        let refused = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert!(refused.message().contains("cannot be read") && refused.message().len() < 400, "{refused:?}");
        assert!(!refused.message().contains(char::is_control), "{refused:?}");
    }
    let own = PushPolicyVersionRequest {
        service: "signet".to_owned(),
        version: "v1".to_owned(),
        descriptor_set: needing("a"),
        ..Default::default()
    };
    let own = policies.client.clone().push_policy_version(with_token(own, &policies.rita)).await;
    assert_refused(own, Code::InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn health_is_made_public_by_its_name_and_nothing_is_by_itself() {
    let policies = Policies::start().await;
    let request = PushPolicyVersionRequest {
        service: "stock".to_owned(),
        version: "v1".to_owned(),
        descriptor_set: needing("a"),
        public_services: vec!["grpc.health.v1.Health".to_owned()],
        ..Default::default()
    };
    policies.client.clone().push_policy_version(with_token(request, &policies.rita)).await.unwrap();
    policies.activate_by(&policies.rita, "v1", true).await.unwrap();
    assert_eq!(
        policies.call("/grpc.health.v1.Health/Check", None, &[super::STOCK]).await,
        super::Answer::Passes
    );
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    policies
        .call(reflection, None, &[super::STOCK])
        .await
        .is_refused(403, "no active version of the policy knows");
}

#[tokio::test]
async fn versions_are_listed_page_by_page_and_their_differences_are_marked() {
    let policies = Policies::start().await;
    for (version, file) in [
        ("v1", needing("a")),
        ("v2", set(&method("Reserve", r#"authenticated: { any_scopes: ["a", "b"] }"#))),
        ("v3", needing("b")),
    ] {
        policies.push(version, file).await;
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let service = "stock".to_owned();
        let request = ListPolicyVersionsRequest { page_size: 2, page_token, service };
        let page = policies.client.clone().list_policy_versions(with_token(request, &policies.olga)).await;
        let page = page.unwrap().into_inner();
        found.extend(page.policy_versions.into_iter().map(|version| version.version));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["v1", "v2", "v3"]);

    let diff = async |old: &str, new: &str| {
        let request = DiffPolicyVersionsRequest {
            service: "stock".to_owned(),
            old_version: old.to_owned(),
            new_version: new.to_owned(),
        };
        let found = policies.client.clone().diff_policy_versions(with_token(request, &policies.olga)).await;
        found.unwrap().into_inner().differences
    };
    let told =
        |found: &[signet::proto::identity::policy::v1::diff_policy_versions_response::Difference]| {
            let one = &found[0];
            (found.len(), one.widens, one.renamed_scope.clone(), one.renamed_to.clone())
        };
    assert_eq!(told(&diff("v1", "v3").await), (1, true, "a".to_owned(), "b".to_owned()), "a rename at once");
    assert_eq!(told(&diff("v1", "v2").await), (1, true, String::new(), String::new()));
    assert_eq!(told(&diff("v2", "v3").await), (1, false, String::new(), String::new()));
    assert!(diff("v2", "v2").await.is_empty());
    let request = DiffPolicyVersionsRequest {
        service: "stock".to_owned(),
        old_version: "v1".to_owned(),
        new_version: "v9".to_owned(),
    };
    let missing = policies.client.clone().diff_policy_versions(with_token(request, &policies.olga)).await;
    assert_refused(missing, Code::NotFound, "POLICY_VERSION_NOT_FOUND");
}
