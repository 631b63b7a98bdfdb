//! Owns how clients prove who they are, and what that gets them.

use std::{collections::BTreeSet, time::Duration};

use signet::identity::Administrator;
use signet::proto::identity::v1::{
    ClientAuthentication, ClientCredentialsGrant, ListSessionsRequest, client_authentication::Credential,
    issue_token_request::Grant,
};
use tonic::Code;

use super::{OWN_AUDIENCE, Registered, Service, Wanted, alice, claims, client_credentials, refresh, request};
use crate::harness::{assert_refused, config, details, with_token};

#[tokio::test]
async fn a_service_gets_a_token_in_its_own_name() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("orders.read orders.write")).await;
    assert_eq!(billing.secret.len(), 43);
    let issued = service.issue(billing.own_token()).await.unwrap();
    assert_eq!((issued.token_type.as_str(), issued.scope.as_str()), ("Bearer", "orders.read orders.write"));
    assert_eq!((issued.expires_in, issued.refresh_token), (900, None), "it can ask again");
    let claims = claims(&issued.access_token);
    for (name, value) in [
        ("sub", billing.id.as_str()),
        ("client_id", &billing.id),
        ("aud", OWN_AUDIENCE),
        ("scope", "orders.read orders.write"),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert!(claims.get("sid").is_none(), "nobody logged in: {claims}");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_client_the_answer_is_the_same() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("a")).await;
    let other = service.register("other", Wanted::confidential("a")).await;
    let public = service.register("app", Wanted::public("profile a")).await;
    let disabled = service.register("disabled", Wanted::confidential("a")).await;
    service.set_active(&disabled, false).await;
    let deleted = service.register("deleted", Wanted::confidential("a")).await;
    service.delete(&deleted).await;

    let secret = |text: &str| Some(Credential::ClientSecret(text.to_owned()));
    let assertion = |text: &str| Some(Credential::ClientAssertion(text.to_owned()));
    let named =
        |client_id: &str, credential| ClientAuthentication { client_id: client_id.to_owned(), credential };
    let mut answers = BTreeSet::new();
    for said in [
        named("", None),
        named("signet", None),
        named("signet", secret("")),
        named("signet", secret("signet")),
        named("no id", secret(&billing.secret)),
        named("", secret(&billing.secret)),
        named("01a20a05-adfd-7f0f-a948-424ae62fc105", secret(&billing.secret)),
        billing.with(None),
        billing.with(secret("")),
        billing.with(secret("wrong")),
        billing.with(secret(&other.secret)),
        billing.with(secret(&format!("{} ", billing.secret))),
        billing.with(secret(&billing.secret[1..])),
        billing.with(secret(&"x".repeat(60_000))),
        billing.with(assertion("")),
        billing.with(assertion(&billing.secret)),
        billing.with(assertion("a.b.c")),
        disabled.by_secret(),
        deleted.by_secret(),
        public.with(None),
        public.with(secret("")),
        public.with(secret("secret")),
    ] {
        let refused = service.issue(client_credentials(said.clone())).await;
        let status = assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
        answers.insert((status.message().to_owned(), details(&status)));
    }
    let nobody = service.issue(request(Grant::ClientCredentials(ClientCredentialsGrant {}), None)).await;
    let status = assert_refused(nobody, Code::Unauthenticated, "INVALID_CLIENT");
    answers.insert((status.message().to_owned(), details(&status)));
    assert_eq!(answers.len(), 1, "{answers:?}");
    service.token_of(&billing).await;
}

#[tokio::test]
async fn a_wrong_client_is_refused_with_every_grant_and_uses_nothing_up() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("profile")).await;
    let wrong = || Some(billing.with(Some(Credential::ClientSecret("wrong".to_owned()))));
    let opened = service.issue(request(alice(), Some(billing.by_secret()))).await.unwrap();
    let token = opened.refresh_token.unwrap();
    for grant in [alice(), refresh(&token)] {
        let refused = service.issue(request(grant, wrong())).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    }
    let next = service.issue(request(refresh(&token), Some(billing.by_secret()))).await.unwrap();
    let again = service.issue(request(refresh(&token), Some(billing.by_secret()))).await.unwrap();
    assert_eq!(next.refresh_token, again.refresh_token, "the first exchange was the owner's");
}

#[tokio::test]
async fn two_secrets_are_valid_at_a_time_so_that_one_can_be_replaced_without_a_pause() {
    let service = Service::start().await;
    let first = service.register("billing", Wanted::confidential("a")).await;
    let rotate = async |end_older| {
        let (who, by) = (first.client_id().into(), Administrator::operator());
        let secret =
            service.operator.rotate_secret(&who, end_older, None, &by).await.unwrap().secret.unwrap();
        Registered { id: first.id.clone(), secret: secret.to_string() }
    };
    let second = rotate(false).await;
    for valid in [&first, &second] {
        service.token_of(valid).await;
    }
    let third = rotate(false).await;
    for valid in [&second, &third] {
        service.token_of(valid).await;
    }
    let refused = service.issue(first.own_token()).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    let last = rotate(true).await;
    service.token_of(&last).await;
    for ended in [&second, &third] {
        assert_refused(service.issue(ended.own_token()).await, Code::Unauthenticated, "INVALID_CLIENT");
    }
}

#[tokio::test]
async fn a_user_logs_in_with_a_registered_client_and_the_session_is_that_clients() {
    let service = Service::start().await;
    let app = service.register("app", Wanted::public("profile orders.read")).await;
    let opened = service.issue(request(alice(), Some(app.with(None)))).await.unwrap();
    assert_eq!(opened.scope, "profile orders.read");
    let claims = claims(&opened.access_token);
    assert_eq!((claims["client_id"].as_str(), claims["sid"].is_string()), (Some(&*app.id), true));
    let mut client = service.client.clone();
    assert_eq!(client.get_me(&opened.access_token).await.unwrap().username, "alice");
    let list = with_token(ListSessionsRequest::default(), &opened.access_token);
    let sessions = client.0.list_sessions(list).await.unwrap().into_inner().sessions;
    assert_eq!(sessions[0].client_id, app.id);
    let token = opened.refresh_token.unwrap();
    let refreshed = service.issue(request(refresh(&token), Some(app.with(None)))).await.unwrap();
    assert_eq!(refreshed.scope, "profile orders.read");
}

#[tokio::test]
async fn a_refresh_token_is_worth_nothing_to_another_client() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("profile")).await;
    let other = service.register("other", Wanted::confidential("profile")).await;
    let app = service.register("app", Wanted::public("profile")).await;
    let of_billing = service.issue(request(alice(), Some(billing.by_secret()))).await.unwrap();
    let of_billing = of_billing.refresh_token.unwrap();
    let of_nobody = service.issue(request(alice(), None)).await.unwrap().refresh_token.unwrap();
    for (token, thief) in [
        (&of_billing, None),
        (&of_billing, Some(other.by_secret())),
        (&of_billing, Some(app.with(None))),
        (&of_nobody, Some(other.by_secret())),
        (&of_nobody, Some(app.with(None))),
    ] {
        let refused = service.issue(request(refresh(token), thief)).await;
        assert_refused(refused, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
    // To say who it is without a proof is no proof.
    let refused = service.issue(request(refresh(&of_billing), Some(billing.with(None)))).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    // Nothing has happened to the sessions.
    service.issue(request(refresh(&of_billing), Some(billing.by_secret()))).await.unwrap();
    let first_party = ClientAuthentication { client_id: "signet".to_owned(), credential: None };
    service.issue(request(refresh(&of_nobody), Some(first_party))).await.unwrap();
}

#[tokio::test]
async fn a_clients_own_token_opens_no_users_method() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("profile introspect")).await;
    let issued = service.issue(billing.own_token()).await.unwrap();
    assert_eq!(issued.scope, "introspect", "`profile` is for users");
    let refused = service.client.clone().get_me(&issued.access_token).await;
    let status = assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!(info.metadata["required_scope"], "profile");
}

#[tokio::test]
async fn a_disabled_or_deleted_client_is_refused_with_its_tokens_and_its_users() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("profile introspect")).await;
    let own = service.token_of(&billing).await;
    let of_user = service.issue(request(alice(), Some(billing.by_secret()))).await.unwrap();
    let first_party = service.issue(request(alice(), None)).await.unwrap().access_token;
    let mut client = service.client.clone();
    let refused = async |client: &mut crate::harness::Client| {
        assert_refused(service.introspect(&own, &own).await, Code::Unauthenticated, "TOKEN_REVOKED");
        let answer = client.get_me(&of_user.access_token).await;
        assert_refused(answer, Code::Unauthenticated, "TOKEN_REVOKED");
        let token = of_user.refresh_token.as_ref().unwrap();
        let answer = service.issue(request(refresh(token), Some(billing.by_secret()))).await;
        assert_refused(answer, Code::Unauthenticated, "INVALID_CLIENT");
        client.get_me(&first_party).await.unwrap();
    };
    assert!(service.introspect(&own, &own).await.unwrap().active);
    service.set_active(&billing, false).await;
    refused(&mut client).await;
    service.set_active(&billing, true).await;
    assert!(service.introspect(&own, &own).await.unwrap().active);
    client.get_me(&of_user.access_token).await.unwrap();
    service.delete(&billing).await;
    refused(&mut client).await;
    let lifetime = config(&service.server.data, &[]).session_lifetime();
    service.store.sweep_sessions(None, lifetime, service.server.clock.now()).await.unwrap();
    let list = with_token(ListSessionsRequest::default(), &first_party);
    let sessions = client.0.list_sessions(list).await.unwrap().into_inner().sessions;
    assert_eq!(sessions.len(), 1, "the sessions went with the client: {sessions:?}");
}

#[tokio::test]
async fn a_client_that_another_process_disables_is_refused_within_the_bound() {
    let service = Service::start_with(&["--standing-cache-max-age=1s"]).await;
    let billing = service.register("billing", Wanted::confidential("introspect")).await;
    let own = service.token_of(&billing).await;
    assert!(service.introspect(&own, &own).await.unwrap().active);
    service.set_active(&billing, false).await;
    service.server.clock.advance(Duration::from_secs(1));
    assert_refused(service.introspect(&own, &own).await, Code::Unauthenticated, "TOKEN_REVOKED");
    assert_refused(service.issue(billing.own_token()).await, Code::Unauthenticated, "INVALID_CLIENT");
}
