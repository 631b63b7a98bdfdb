//! Owns that a manifest leaves an admin who can log in: it is judged where all of it is done, whatever it does first.

use serde_json::{Value, json};
use signet::{
    model::{BuiltInRole, UserId},
    proto::{
        identity::admin::v1::{
            ApplyManifestRequest, CreateUserRequest, User, user_service_client::UserServiceClient,
        },
        identity::v1::SetNewPasswordRequest,
    },
};
use tonic::Code;

use super::{AdminApi, Applier, request};
use crate::{
    admin::caller::told,
    harness::{assert_refused, with_token},
};

impl AdminApi {
    /// The new user `username`, whom `token` creates, and who chooses a password then.
    async fn created(&self, username: &str, token: &str) -> UserId {
        let user = User { username: username.to_owned(), ..User::default() };
        let asked = CreateUserRequest { user: Some(user), ..CreateUserRequest::default() };
        let mut users = UserServiceClient::new(self.channel().await);
        let made = users.create_user(with_token(asked, token)).await.unwrap().into_inner();
        let chosen = SetNewPasswordRequest {
            username: username.to_owned(),
            one_time_password: made.one_time_password,
            new_password: "one of my own".to_owned(),
        };
        self.server.client().await.0.set_new_password(chosen).await.unwrap();
        UserId(made.user.unwrap().id.parse().unwrap())
    }
}

impl Applier {
    /// The manifests in which its own role of admins gets an end and `other` gets the role without one: the one first, or the other.
    fn steps_back_for(&self, other: UserId) -> [Value; 2] {
        let admin = |id: UserId| json!({"role": "admin", "user": {"id": id.to_string()}});
        let mut mine = admin(self.id);
        mine["expire_time"] = json!("2099-01-01T00:00:00Z");
        [json!([admin(other), mine]), json!([mine, admin(other)])]
            .map(|bindings| json!({"set": "staff", "bindings": bindings}))
    }
}

#[tokio::test]
async fn who_loses_the_password_by_becoming_an_admin_is_not_the_one_who_is_left() {
    let api = AdminApi::start().await;
    let root = api.admin_applier().await;
    let (_, desk) = api.administrator(BuiltInRole::UserManager, "desk").await;
    // Whoever made the one-time password may be the one who chose: so the password ends where bob gains what the desk lacks.
    let bob = api.created("bob", &desk).await;
    for manifest in root.steps_back_for(bob) {
        for validate_only in [true, false] {
            let asked = ApplyManifestRequest { validate_only, ..request(manifest.clone()) };
            let refused = assert_refused(root.ask(asked).await, Code::FailedPrecondition, "LAST_ADMIN");
            let change = "binding of the user `rita` to the role `admin` of the audience `signet`";
            assert_eq!(told(&refused, "change"), change, "{manifest}");
        }
    }
    // All of it was undone, the end of his password with it.
    api.server.client().await.log_in("bob", "one of my own").await.unwrap();
}

#[tokio::test]
async fn in_whatever_order_a_manifest_names_them_the_next_admin_is_left() {
    for order in [0, 1] {
        let api = AdminApi::start().await;
        let (root, carol) = (api.admin_applier().await, api.user("carol").await);
        let manifest = root.steps_back_for(carol)[order].clone();
        let asked = ApplyManifestRequest { validate_only: true, ..request(manifest.clone()) };
        assert_eq!(root.ask(asked).await.unwrap().changes.len(), 2);
        root.apply(manifest).await.unwrap();
        api.log_in("carol", BuiltInRole::Admin.scopes().as_str()).await;
    }
}
