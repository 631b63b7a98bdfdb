//! Owns what the built-in client is: a row as others are, and the one whom a login means that names no client.

use sea_orm::ConnectionTrait;
use signet::{
    identity::{
        Administrator,
        clients::{ClientChange, SetChange},
    },
    model::{ClientId, NameSet},
    proto::identity::v1::{ClientAuthentication, IssueTokenRequest, IssueTokenResponse},
};
use tonic::{Code, Status};

use super::{Service, Wanted, alice, claims, client_credentials, refresh, request};
use crate::{
    harness::{PASSWORD, assert_refused},
    permissions::Operator,
};

/// Changes what the built-in client of `service` may be asked for.
async fn change(service: &Service, scopes: &str, audiences: &str) {
    let set = |text| SetChange::To(NameSet::parse(text).unwrap());
    let change = ClientChange { scopes: set(scopes), audiences: set(audiences), ..ClientChange::default() };
    service.operator.update(&ClientId::BUILT_IN.into(), &change, &Administrator::operator()).await.unwrap();
}

async fn log_in(service: &Service, scope: &str, audiences: &[&str]) -> Result<IssueTokenResponse, Status> {
    let audiences = audiences.iter().map(|&name| name.to_owned()).collect();
    let asked = IssueTokenRequest { scope: scope.to_owned(), audiences, ..request(alice(), None) };
    service.issue(asked).await
}

#[tokio::test]
async fn its_users_get_what_is_added_to_it_as_far_as_roles_give_it() {
    let service = Service::start().await;
    let before = log_in(&service, "", &[]).await.unwrap();
    assert_eq!(before.scope, "profile account");
    let operator = Operator::of(&service);
    operator.give_everyone("stock", "stock.read").await;
    operator.give_everyone("signet", "openid").await;
    let refused = log_in(&service, "openid", &[]).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
    let refused = log_in(&service, "", &["stock"]).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_AUDIENCE");

    change(&service, "profile account openid stock.read stock.pick", "stock").await;
    let login = log_in(&service, "", &[]).await.unwrap();
    assert_eq!(login.scope, "profile account openid", "what nobody has at the service itself is left out");
    let said = claims(&login.access_token);
    // Whoever asks for no audience calls the service itself with the token: a new audience must not take that away.
    assert_eq!((&said["aud"], &said["client_id"]), (&"signet".into(), &"signet".into()));
    let stock = log_in(&service, "", &["stock"]).await.unwrap();
    assert_eq!((stock.scope.as_str(), &claims(&stock.access_token)["aud"]), ("stock.read", &"stock".into()));

    // The session of before keeps what its login asked for, and loses what the client may no longer have.
    let refreshed = service.issue(request(refresh(&before.refresh_token.unwrap()), None)).await.unwrap();
    assert_eq!(refreshed.scope, "profile account");
    service.client.clone().get_me(&refreshed.access_token).await.unwrap();
    change(&service, "account", "").await;
    let refused = service.client.clone().get_me(&refreshed.access_token).await;
    assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
    change(&service, "profile account", "").await;
    service.client.clone().get_me(&refreshed.access_token).await.unwrap();
}

#[tokio::test]
async fn it_is_called_by_its_name_alone_and_proves_nothing() {
    let service = Service::start().await;
    let named = |client_id: &str| ClientAuthentication { client_id: client_id.to_owned(), credential: None };
    let login = service.issue(request(alice(), Some(named("signet")))).await.unwrap();
    assert_eq!(claims(&login.access_token)["client_id"], "signet");
    let by_id = service.issue(request(alice(), Some(named(&ClientId::BUILT_IN.0.to_string())))).await;
    assert_refused(by_id, Code::Unauthenticated, "INVALID_CLIENT");
    let own = service.issue(client_credentials(named("signet"))).await;
    assert_refused(own, Code::Unauthenticated, "INVALID_CLIENT");
    let taken = super::register(&service.operator, "app", Wanted::public("profile")).await.unwrap();
    assert_ne!(taken.id, "signet");
}

/// The release before sees a client like any other in the row, and can delete it, and disable it.
#[tokio::test]
async fn what_the_release_before_makes_of_its_row_ends_nothing() {
    let service = Service::start().await;
    let db = service.server.data.connect().await;
    let token = service.client.clone().log_in("alice", PASSWORD).await.unwrap().access_token;
    for done in [
        "UPDATE clients SET is_active = FALSE, kind = 'confidential' WHERE name = 'signet'",
        "DELETE FROM clients",
    ] {
        db.execute_unprepared(done).await.unwrap();
        service.server.clock.advance(std::time::Duration::from_secs(2));
        service.client.clone().get_me(&token).await.unwrap();
        let again = log_in(&service, "", &[]).await.unwrap();
        assert_eq!(again.scope, "profile account", "{done}");
    }
    change(&service, "profile account openid", "").await;
    let kept = service.store.client(ClientId::BUILT_IN).await.unwrap().unwrap();
    assert_eq!(kept.scopes.as_str(), "profile account openid");
}
