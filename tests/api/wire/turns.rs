//! Owns who is served while somebody begins calls of which one at a time is answered, and sends no message.

use signet::{
    model::BuiltInRole,
    proto::identity::admin::v1::{ApplyManifestRequest, Manifest, apply_service_client::ApplyServiceClient},
};
use tonic::Code;

use super::{
    Answer, frame,
    lanes::{Open, connect, grpc, open},
};
use crate::{
    admin::AdminApi,
    harness::{assert_refused, with_token},
};

const APPLY: &str = "/identity.admin.v1.ApplyService/ApplyManifest";
const EXPORT: &str = "/identity.admin.v1.ApplyService/ExportManifest";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// How many calls one caller may have begun.
const AT_ONCE: usize = 16;

#[tokio::test]
async fn whoever_begins_many_calls_has_others_wait_for_one_of_them() {
    let api = AdminApi::start_with(&["--receive-timeout=1s"]).await;
    let (_, greedy) = api.administrator(BuiltInRole::Admin, "greedy").await;
    let (_, other) = api.administrator(BuiltInRole::Admin, "other").await;
    let to = api.server.started.admin_addr.unwrap();
    let mut begun: Vec<Open> = Vec::new();
    // A connection has no room for all of them.
    let mut last = None;
    for count in [AT_ONCE - 1, 1] {
        let sender = connect([127, 0, 0, 1], to, 65_535).await;
        for number in 0..count {
            let path = if number % 2 == 0 { APPLY } else { EXPORT };
            begun.push(open(&sender, grpc(path, Some(&greedy)), None).await);
        }
        // Answered after those headers were read.
        let asked = open(&sender, grpc(HEALTH, None), Some(frame(b""))).await;
        assert_eq!(Answer::read(asked.0).await.status().code(), Code::Ok);
        last = Some(sender);
    }
    let one_more = open(&last.unwrap(), grpc(APPLY, Some(&greedy)), Some(frame(b""))).await;
    assert_refused(Answer::read(one_more.0).await.refusal(), Code::ResourceExhausted, "APPLY_UNDER_WAY");

    let manifest = Manifest { set: "shop".to_owned(), ..Manifest::default() };
    let request = ApplyManifestRequest { manifest: Some(manifest), ..ApplyManifestRequest::default() };
    let mut manifests = ApplyServiceClient::new(api.channel().await);
    manifests.apply_manifest(with_token(request, &other)).await.unwrap();
    // Whoever gives the calls up has none of them any more.
    drop(begun);
    let request = ApplyManifestRequest {
        manifest: Some(Manifest { set: "stock".to_owned(), ..Manifest::default() }),
        ..ApplyManifestRequest::default()
    };
    manifests.apply_manifest(with_token(request, &greedy)).await.unwrap();
}
