//! Owns what administrators see of the signing keys, and do to them.

use std::time::Duration;

use signet::{
    model::{AdminScope, BuiltInRole},
    proto::identity::admin::v1::{
        GetKeyRequest, Key, ListKeysRequest, RevokeKeyRequest, RotateKeysRequest, key::Stage,
        key_service_client::KeyServiceClient,
    },
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::AdminApi;
use crate::harness::{assert_refused, details, with_token};

struct Keys {
    client: KeyServiceClient<Channel>,
    token: String,
}

impl Keys {
    async fn of(api: &AdminApi, token: &str) -> Self {
        Self { client: KeyServiceClient::new(api.channel().await), token: token.to_owned() }
    }

    async fn list(&mut self, page_size: i32, page_token: &str) -> Result<(Vec<Key>, String), Status> {
        let request = ListKeysRequest { page_size, page_token: page_token.to_owned() };
        let answer = self.client.list_keys(with_token(request, &self.token)).await?.into_inner();
        Ok((answer.keys, answer.next_page_token))
    }

    async fn get(&mut self, kid: &str) -> Result<Key, Status> {
        let request = GetKeyRequest { kid: kid.to_owned() };
        let answer = self.client.get_key(with_token(request, &self.token)).await?.into_inner();
        Ok(answer.key.unwrap())
    }

    async fn rotate(&mut self, request_id: &str) -> Result<Key, Status> {
        let request = RotateKeysRequest { request_id: request_id.to_owned() };
        let answer = self.client.rotate_keys(with_token(request, &self.token)).await?.into_inner();
        Ok(answer.key.unwrap())
    }

    async fn revoke(&mut self, kid: &str, request_id: &str) -> Result<Option<Key>, Status> {
        let request = RevokeKeyRequest { kid: kid.to_owned(), request_id: request_id.to_owned() };
        let answer = self.client.revoke_key(with_token(request, &self.token)).await?;
        Ok(answer.into_inner().signing_key)
    }
}

#[tokio::test]
async fn the_keys_are_listed_with_what_they_do_and_the_next_is_published_on_request() {
    let api = AdminApi::start().await;
    let (boss, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let mut keys = Keys::of(&api, &token).await;
    let (listed, next) = keys.list(0, "").await.unwrap();
    let [first] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((first.stage(), first.alg.as_str(), next.as_str()), (Stage::Signing, "ES256", ""));
    assert!(first.create_time.is_some() && first.sign_time.is_some() && first.retire_time.is_none());
    assert_eq!(keys.get(&first.kid).await.unwrap(), *first);

    api.server.clock.advance(Duration::from_secs(1));
    let published = keys.rotate("").await.unwrap();
    assert_eq!(published.stage(), Stage::Published);
    let refused = assert_refused(keys.rotate("").await, Code::FailedPrecondition, "NEXT_KEY_PUBLISHED");
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.metadata.get("kid"), Some(&published.kid));

    // One page after the other, the oldest first.
    let (page, next) = keys.list(1, "").await.unwrap();
    assert_eq!((page.len(), &page[0].kid), (1, &first.kid));
    assert_eq!(page[0].retire_time, published.sign_time);
    let (page, end) = keys.list(1, &next).await.unwrap();
    assert_eq!((page, end.as_str()), (vec![published.clone()], ""));

    let told = api.audited("signing_key.published", 2).await;
    assert_eq!((&told[1]["key_id"], &told[1]["actor_id"]), (&published.kid.into(), &boss.to_string().into()));
    assert!(told[1]["address"].is_string() && told[1]["request_id"].is_string(), "{}", told[1]);

    api.server.clock.advance(Duration::from_mins(62));
    let token = api.log_in("boss", AdminScope::KeysRead.name()).await.access_token;
    let mut keys = Keys::of(&api, &token).await;
    let stages: Vec<_> = keys.list(0, "").await.unwrap().0.iter().map(Key::stage).collect();
    assert_eq!(stages, [Stage::VerifyOnly, Stage::Signing]);
}

#[tokio::test]
async fn a_revoked_key_verifies_nothing_from_the_answer_on() {
    let api = AdminApi::start().await;
    let (boss, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let mut keys = Keys::of(&api, &token).await;
    let first = keys.list(0, "").await.unwrap().0.remove(0);
    let next = keys.revoke(&first.kid, "").await.unwrap().expect("another signs");
    assert_eq!(next.stage(), Stage::Signing);
    assert_refused(keys.list(0, "").await, Code::Unauthenticated, "TOKEN_INVALID");

    let token = api.log_in("boss", "signet.keys.read signet.keys.write").await.access_token;
    let mut keys = Keys::of(&api, &token).await;
    assert_eq!(keys.list(0, "").await.unwrap().0, std::slice::from_ref(&next));
    for missing in [&first.kid, "nothing"] {
        assert_refused(keys.get(missing).await, Code::NotFound, "SIGNING_KEY_NOT_FOUND");
        assert_refused(keys.revoke(missing, "").await, Code::NotFound, "SIGNING_KEY_NOT_FOUND");
    }
    // One that does not sign has no successor.
    let published = keys.rotate("").await.unwrap();
    assert_eq!(keys.revoke(&published.kid, "").await.unwrap(), None);

    let told = api.audited("signing_key.revoked", 2).await;
    assert_eq!((&told[0]["key_id"], &told[0]["actor_id"]), (&first.kid.into(), &boss.to_string().into()));
    // By whom, and that this process began to sign with another key.
    let rotated = api.audited("signing_key.rotated", 2).await;
    assert!(rotated.iter().any(|line| line["actor_id"] == boss.to_string()), "{rotated:?}");
    assert!(rotated.iter().any(|line| line["actor"] == "service"), "{rotated:?}");
}

#[tokio::test]
async fn a_repeated_request_changes_nothing_and_is_answered() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let mut keys = Keys::of(&api, &token).await;
    let id = Uuid::from_u128(7).to_string();
    let published = keys.rotate(&id).await.unwrap();
    assert_eq!(keys.rotate(&id).await.unwrap(), published);
    let refused = keys.revoke(&published.kid, &id).await;
    assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let other = Uuid::from_u128(8).to_string();
    assert_eq!(keys.revoke(&published.kid, &other).await.unwrap(), None);
    assert_eq!(keys.revoke(&published.kid, &other).await.unwrap(), None, "done before");
    // What it answered with then is gone.
    assert_refused(keys.rotate(&id).await, Code::NotFound, "SIGNING_KEY_NOT_FOUND");
    // Another's request may have the same id.
    let (_, token) = api.administrator(BuiltInRole::Admin, "second").await;
    Keys::of(&api, &token).await.rotate(&id).await.unwrap();

    // After a day nothing is known of it.
    api.store.forget_admin_requests(api.server.clock.now().after(Duration::from_secs(1))).await.unwrap();
    assert_refused(keys.rotate(&id).await, Code::FailedPrecondition, "NEXT_KEY_PUBLISHED");
    api.audited("signing_key.published", 3).await;
    api.audited("signing_key.revoked", 1).await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_the_field() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let mut keys = Keys::of(&api, &token).await;
    for (refused, field) in [
        (keys.get("").await.map(drop), "kid"),
        (keys.revoke("", "").await.map(drop), "kid"),
        (keys.rotate("not a uuid").await.map(drop), "request_id"),
        (keys.list(-1, "").await.map(drop), "page_size"),
        (keys.list(1, "made up").await.map(drop), "page_token"),
    ] {
        let refused = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert!(details(&refused).contains(&format!("field: \"{field}\"")), "{refused:?}");
    }
}
