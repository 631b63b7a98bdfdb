//! Owns what administrators have the tokens of audiences be called.

use prost_types::FieldMask;
use serde_json::json;
use signet::{
    model::BuiltInRole,
    proto::identity::admin::v1::{
        ApplyManifestRequest, Audience, ExportManifestRequest, Manifest, UpdateAudienceRequest,
        apply_service_client::ApplyServiceClient, audience::TokenTyp, manifest,
    },
};
use tonic::{Code, Response};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::AdminApi;
use crate::{
    clients::{Wanted, operator, register},
    harness::assert_refused,
};

#[tokio::test]
async fn an_audience_asks_for_what_its_tokens_are_called() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    root.create_role("stock", "picker", "stock.pick").await.unwrap();
    let stock = root.audience("stock").await.unwrap();
    assert_eq!(stock.token_typ(), TokenTyp::AtJwt);
    let jwt = root.set_token_typ("stock", TokenTyp::Jwt, &stock.etag).await.unwrap();
    assert_eq!((jwt.token_typ(), jwt.owners.len()), (TokenTyp::Jwt, 0));
    assert_ne!(jwt.etag, stock.etag);
    assert_eq!(root.audience("stock").await.unwrap(), jwt);
    let outdated = root.set_token_typ("stock", TokenTyp::AtJwt, &stock.etag).await;
    assert_refused(outdated, Code::Aborted, "ETAG_MISMATCH");
    // Owners are set without a word of it, and it stays.
    let owned = root.set_owners("stock", &[root.principal()]).await.unwrap();
    assert_eq!((owned.token_typ(), owned.owners.len()), (TokenTyp::Jwt, 1));
    let back = root.set_token_typ("stock", TokenTyp::Unspecified, "").await.unwrap();
    assert_eq!((back.token_typ(), back.owners.len()), (TokenTyp::AtJwt, 1));
    let told = api.audited("audience.updated", 2).await;
    assert_eq!((&told[0]["audience"], &told[0]["changed"]), (&json!("stock"), &json!(["token_typ"])));
    let reader = api.caller(BuiltInRole::Auditor, "olga").await;
    let refused = reader.set_token_typ("stock", TokenTyp::Jwt, "").await;
    assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}

#[tokio::test]
async fn neither_the_service_itself_nor_a_name_that_is_a_clients_id_asks_for_jwt() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let clients = operator(&api.server).await;
    let client = register(&clients, "shop", Wanted::confidential("a")).await.unwrap();
    // Of a client that there is, and of one that may yet come.
    let nobody = Uuid::now_v7().to_string();
    for name in ["signet", &client.id, &nobody, &nobody.to_uppercase()] {
        if name != "signet" {
            root.create_role(name, "picker", "").await.unwrap();
        }
        let refused = root.set_token_typ(name, TokenTyp::Jwt, "").await;
        let violations = refused.as_ref().unwrap_err().get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "audience.token_typ");
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(root.audience(name).await.unwrap().token_typ(), TokenTyp::AtJwt);
    }
}

#[tokio::test]
async fn the_mask_of_an_audience_names_one_of_its_fields_or_both() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    root.create_role("stock", "picker", "").await.unwrap();
    let update = async |paths: &[&str], token_typ: i32| {
        let audience = Audience {
            name: "stock".to_owned(),
            owners: vec![root.principal()],
            token_typ,
            ..Audience::default()
        };
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        let request = UpdateAudienceRequest {
            audience: Some(audience),
            update_mask: Some(FieldMask { paths }),
            ..UpdateAudienceRequest::default()
        };
        root.roles.clone().update_audience(root.ask(request)).await.map(Response::into_inner)
    };
    for bad in [&[][..], &["name"], &["owners", "etag"]] {
        assert_refused(update(bad, 2).await, Code::InvalidArgument, "INVALID_FIELDS");
    }
    assert_refused(update(&["token_typ"], 7).await, Code::InvalidArgument, "INVALID_FIELDS");
    for good in [&["owners", "token_typ"][..], &["*"]] {
        let updated = update(good, TokenTyp::Jwt.into()).await.unwrap().audience.unwrap();
        assert_eq!((updated.token_typ(), updated.owners.len()), (TokenTyp::Jwt, 1), "{good:?}");
    }
}

#[tokio::test]
async fn a_manifest_says_it_and_an_export_does_where_it_is_not_the_usual() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let mut service = ApplyServiceClient::new(api.channel().await);
    let named = |name: &str, token_typ: Option<&str>| manifest::Audience {
        name: name.to_owned(),
        token_typ: token_typ.map(str::to_owned),
        ..manifest::Audience::default()
    };
    let mut apply = async |audiences: Vec<manifest::Audience>| {
        let manifest = Some(Manifest { set: "shop".to_owned(), audiences, ..Manifest::default() });
        let request = ApplyManifestRequest { manifest, ..ApplyManifestRequest::default() };
        service.apply_manifest(root.ask(request)).await.map(|applied| applied.into_inner().changes)
    };
    apply(vec![named("stock", Some("JWT")), named("orders", Some("at+jwt"))]).await.unwrap();
    assert_eq!(root.audience("stock").await.unwrap().token_typ(), TokenTyp::Jwt);
    assert_eq!(root.audience("orders").await.unwrap().token_typ(), TokenTyp::AtJwt);
    assert!(apply(vec![named("stock", Some("JWT"))]).await.unwrap().is_empty(), "it is so already");
    for (name, typ, problem) in [
        ("stock", "at-jwt", "is `at+jwt` meant?"),
        ("signet", "JWT", "the audience `signet`: `token_typ` must be `at+jwt` for Signet itself"),
        ("01900000-0000-7000-8000-00000000000a", "JWT", "the form of a client's id"),
    ] {
        let refused = apply(vec![named(name, Some(typ))]).await;
        assert!(refused.as_ref().unwrap_err().message().contains(problem), "{refused:?}");
    }
    let request = ExportManifestRequest { set: "all".to_owned() };
    let mut service = ApplyServiceClient::new(api.channel().await);
    let exported = service.export_manifest(root.ask(request)).await.unwrap().into_inner().manifest.unwrap();
    assert_eq!(exported.audiences, [named("stock", Some("JWT"))]);
    // Who says nothing of it has the usual.
    let mut changes = apply(vec![named("stock", None)]).await.unwrap();
    let fields = changes.pop().unwrap().fields;
    assert_eq!((fields[0].field.as_str(), fields[0].new.as_str()), ("token_typ", "at+jwt"));
    let told = api.audited("audience.updated", 2).await;
    assert_eq!(told[1]["changed"], json!(["token_typ"]));
}
