//! Owns whose tokens a client can revoke: its users', and no other's.

use std::time::Duration;

use signet::proto::identity::v1::{ClientAuthentication, RevokeTokenRequest};
use tonic::{Code, Status};

use super::{Service, Wanted, alice, refresh, request};
use crate::harness::assert_refused;

impl Service {
    async fn revoke(&self, token: &str, client: Option<ClientAuthentication>) -> Result<(), Status> {
        let request = RevokeTokenRequest { token: token.to_owned(), client };
        self.client.clone().0.revoke_token(request).await.map(drop)
    }
}

#[tokio::test]
async fn a_token_is_revoked_by_the_client_that_it_was_issued_to_and_by_no_other() {
    let service = Service::start().await;
    let owner = service.register("owner", Wanted::confidential("profile")).await;
    let other = service.register("other", Wanted::confidential("profile")).await;
    for revoked_by_access in [true, false] {
        let login = service.issue(request(alice(), Some(owner.by_secret()))).await.unwrap();
        let (access, token) = (login.access_token, login.refresh_token.unwrap());
        for token in [&access, &token] {
            for client in [None, Some(other.by_secret())] {
                let refused = service.revoke(token, client).await;
                assert_refused(refused, Code::PermissionDenied, "TOKEN_OF_ANOTHER_CLIENT");
            }
            let unproven = service.revoke(token, Some(owner.with(None))).await;
            assert_refused(unproven, Code::Unauthenticated, "INVALID_CLIENT");
        }
        service.client.clone().get_me(&access).await.unwrap();
        let shown = if revoked_by_access { &access } else { &token };
        service.revoke(shown, Some(owner.by_secret())).await.unwrap();
        assert_refused(service.client.clone().get_me(&access).await, Code::Unauthenticated, "TOKEN_REVOKED");
        let refused = service.issue(request(refresh(&token), Some(owner.by_secret()))).await;
        assert_refused(refused, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn an_expired_token_is_revoked_by_its_client_alone_and_only_if_it_has_a_session() {
    let service = Service::start().await;
    let owner = service.register("owner", Wanted::confidential("profile")).await;
    let other = service.register("other", Wanted::confidential("profile")).await;
    let login = service.issue(request(alice(), Some(owner.by_secret()))).await.unwrap();
    let (access, mut token) = (login.access_token, login.refresh_token.unwrap());
    let own = service.token_of(&owner).await;
    service.server.clock.advance(Duration::from_hours(1));
    for client in [None, Some(other.by_secret())] {
        let refused = service.revoke(&access, client).await;
        assert_refused(refused, Code::PermissionDenied, "TOKEN_OF_ANOTHER_CLIENT");
    }
    let unproven = service.revoke(&access, Some(owner.with(None))).await;
    assert_refused(unproven, Code::Unauthenticated, "INVALID_CLIENT");
    let refused = service.revoke(&own, Some(owner.by_secret())).await;
    assert_refused(refused, Code::InvalidArgument, "UNSUPPORTED_TOKEN_TYPE");
    let refreshed = service.issue(request(refresh(&token), Some(owner.by_secret()))).await.unwrap();
    token = refreshed.refresh_token.unwrap();

    service.revoke(&access, Some(owner.by_secret())).await.unwrap();
    let refused = service.issue(request(refresh(&token), Some(owner.by_secret()))).await;
    assert_refused(refused, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
}

#[tokio::test]
async fn a_clients_own_token_cannot_be_revoked_and_nobody_is_told_otherwise() {
    let service = Service::start().await;
    let registered = service.register("billing", Wanted::confidential("a")).await;
    let own = service.token_of(&registered).await;
    let refused = service.revoke(&own, Some(registered.by_secret())).await;
    assert_refused(refused, Code::InvalidArgument, "UNSUPPORTED_TOKEN_TYPE");
}
