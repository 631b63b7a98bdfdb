//! Owns that a token changes its user's account only if it has the scope for that.

use signet::proto::identity::v1::{
    ChangePasswordRequest, DeleteMeRequest, GetMeRequest, ListSessionsRequest, RevokeAllSessionsRequest,
    RevokeSessionRequest, UpdateMeRequest,
};
use tonic::Code;

use crate::{
    clients::{Service, alice, request},
    harness::{assert_refused, with_token},
    permissions::asking,
};

#[tokio::test]
async fn a_token_that_may_only_read_the_account_changes_nothing_of_it() {
    let service = Service::start().await;
    let mut client = service.client.clone().0;
    let issued = service.issue(asking(request(alice(), None), "profile", &[])).await.unwrap();
    assert_eq!(issued.scope, "profile");
    let token = &issued.access_token;
    client.get_me(with_token(GetMeRequest {}, token)).await.unwrap();
    client.list_sessions(with_token(ListSessionsRequest::default(), token)).await.unwrap();

    let answers = [
        client.update_me(with_token(UpdateMeRequest::default(), token)).await.map(drop),
        client.change_password(with_token(ChangePasswordRequest::default(), token)).await.map(drop),
        client.delete_me(with_token(DeleteMeRequest::default(), token)).await.map(drop),
        client.revoke_session(with_token(RevokeSessionRequest::default(), token)).await.map(drop),
        client.revoke_all_sessions(with_token(RevokeAllSessionsRequest::default(), token)).await.map(drop),
    ];
    for answer in answers {
        let status = assert_refused(answer, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
        let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
        assert_eq!(info.metadata["required_scope"], "account");
    }

    // The scope that does changes it, and reads nothing.
    let issued = service.issue(asking(request(alice(), None), "account", &[])).await.unwrap();
    let token = &issued.access_token;
    let read = client.get_me(with_token(GetMeRequest {}, token)).await;
    assert_refused(read, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
    client.revoke_all_sessions(with_token(RevokeAllSessionsRequest::default(), token)).await.unwrap();
}
