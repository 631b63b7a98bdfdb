//! Owns that nobody becomes an owner of an audience by a password that they have made: one of fifty teams does not rule the others by it.

use signet::{
    model::{BuiltInRole, UserId},
    proto::identity::admin::v1::{
        DisableUserRequest, ResetPasswordRequest, user_service_client::UserServiceClient,
    },
};
use tonic::{Code, Status};

use super::{
    AdminApi,
    caller::{Caller, group, told},
};
use crate::harness::assert_refused;

/// `by` has a one-time password made for `who`, or asks whether that could be done.
async fn reset(api: &AdminApi, by: &Caller, who: UserId, validate_only: bool) -> Result<String, Status> {
    let request = ResetPasswordRequest { id: who.to_string(), validate_only, ..Default::default() };
    let mut users = UserServiceClient::new(api.channel().await);
    Ok(users.reset_password(by.ask(request)).await?.into_inner().one_time_password)
}

#[tokio::test]
async fn who_resets_passwords_becomes_no_owner_of_an_audience() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let manager = api.caller(BuiltInRole::UserManager, "mallory").await;
    let (olga, paul) = (api.nobody("olga").await, api.nobody("paul").await);
    for audience in ["stock", "orders"] {
        root.create_role(audience, "reader", "").await.unwrap();
    }
    // Directly, and by a group.
    root.set_owners("stock", &[olga.principal()]).await.unwrap();
    let team = root.create_group("team").await.unwrap();
    root.join(&team.id, paul.id).await.unwrap();
    root.set_owners("orders", &[group(&team.id)]).await.unwrap();
    for (owner, audience) in [(&olga, "stock"), (&paul, "orders")] {
        for only_asked in [false, true] {
            let refused = reset(&api, &manager, owner.id, only_asked).await;
            let refused = assert_refused(refused, Code::PermissionDenied, "NOT_OWNER");
            assert_eq!(told(&refused, "audience"), audience);
        }
    }
    // What is no way to become her is the manager's still, and opens none.
    let disable = DisableUserRequest { id: olga.id.to_string(), ..Default::default() };
    UserServiceClient::new(api.channel().await).disable_user(manager.ask(disable)).await.unwrap();
    let refused = reset(&api, &manager, olga.id, false).await;
    assert_refused(refused, Code::PermissionDenied, "NOT_OWNER");
    api.log_in("paul", "").await;
    assert_eq!(api.audited("admin.refused", 1).await[0]["reason"], "not_owner");

    // Who owns it too becomes nobody who may do more, but for what the other one owns besides.
    root.set_owners("stock", &[olga.principal(), paul.principal(), manager.principal()]).await.unwrap();
    assert!(!reset(&api, &manager, olga.id, false).await.unwrap().is_empty());
    let refused = reset(&api, &manager, paul.id, false).await;
    assert_eq!(told(&assert_refused(refused, Code::PermissionDenied, "NOT_OWNER"), "audience"), "orders");
    // Who names owners could do the same without it. Who changes every audience's roles could not: an owner pushes rules besides.
    for (name, scope, may) in
        [("bianca", "signet.bindings.write", false), ("adam", "signet.audiences.admin", true)]
    {
        let scopes = format!("signet.users.reset {scope}");
        let role = root.create_role("signet", name, &scopes).await.unwrap();
        let ruler = api.nobody(name).await;
        root.bind(&role.id, ruler.principal()).await.unwrap();
        let ruler = ruler.by(api.channel().await, &api.log_in(name, &scopes).await.access_token);
        let made = reset(&api, &ruler, paul.id, false).await;
        if may {
            assert!(!made.unwrap().is_empty());
        } else {
            assert_refused(made, Code::PermissionDenied, "NOT_OWNER");
        }
        // By a token that does not show it nobody does.
        let narrow = api.log_in(name, "signet.users.reset").await.access_token;
        let refused = reset(&api, &ruler.by(api.channel().await, &narrow), paul.id, false).await;
        assert_refused(refused, Code::PermissionDenied, "NOT_OWNER");
    }
    // An owner of nothing is anybody.
    root.leave(&team.id, paul.id).await.unwrap();
    root.set_owners("stock", &[olga.principal()]).await.unwrap();
    assert!(!reset(&api, &manager, paul.id, false).await.unwrap().is_empty());
}
