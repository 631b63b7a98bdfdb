//! Owns what the owner of one audience gives at no other one: by a role that has another's scope, in tokens for both.

use signet::{
    model::BuiltInRole,
    proto::identity::v1::{
        IntrospectTokenRequest, IssueTokenRequest, token_service_client::TokenServiceClient,
    },
};
use tonic::{Code, Status};

use super::{
    AdminApi,
    caller::{Caller, client, user},
};
use crate::{
    clients::{Registered, Wanted, operator, register},
    harness::{PASSWORD, assert_refused, password_grant, with_token},
};

/// An audience `stock` that olga owns, and another one, which she does not.
struct Teams {
    api: AdminApi,
    root: Caller,
    olga: Caller,
}

impl Teams {
    async fn start() -> Self {
        let api = AdminApi::start().await;
        let root = api.caller(BuiltInRole::Admin, "rita").await;
        let olga = api.nobody("olga").await;
        root.create_role("stock", "picker", "stock.pick").await.unwrap();
        root.set_owners("stock", &[olga.principal()]).await.unwrap();
        Self { api, root, olga }
    }

    async fn registered(&self, name: &str, scopes: &str, audiences: &str) -> Registered {
        let wanted = Wanted { audiences, ..Wanted::confidential(scopes) };
        register(&operator(&self.api.server).await, name, wanted).await.unwrap()
    }

    /// The scopes that a token for `audiences` is given, and the token.
    async fn issue(
        &self,
        request: IssueTokenRequest,
        scope: &str,
        audiences: &[&str],
    ) -> Result<(String, String), Status> {
        let audiences = audiences.iter().map(|name| (*name).to_owned()).collect();
        let request = IssueTokenRequest { scope: scope.to_owned(), audiences, ..request };
        let issued = self.api.server.client().await.0.issue_token(request).await?.into_inner();
        Ok((issued.scope, issued.access_token))
    }

    /// What `app`'s token for `username` has, for `audiences`.
    async fn of_user(&self, username: &str, app: &Registered, audiences: &[&str]) -> String {
        let request =
            IssueTokenRequest { client: Some(app.by_secret()), ..password_grant(username, PASSWORD) };
        self.issue(request, "", audiences).await.unwrap().0
    }
}

#[tokio::test]
async fn a_scope_that_another_service_gives_by_registration_comes_by_no_role_of_hers() {
    let teams = Teams::start().await;
    teams.registered("billing", "orders.admin", "orders").await;
    let shop = teams.registered("shop", "orders.read", "stock orders").await;
    let role = teams.olga.create_role("stock", "x", "orders.admin").await.unwrap();
    teams.olga.bind(&role.id, client(&shop.id)).await.unwrap();
    let of = async |scope, audiences: &[&str]| teams.issue(shop.own_token(), scope, audiences).await;
    let both = ["stock", "orders"];
    assert_eq!(of("", &both).await.unwrap().0, "orders.read");
    assert_refused(of("orders.admin", &both).await, Code::InvalidArgument, "INVALID_SCOPE");
    // At her own audience it is her own name, and a token for both has what both give.
    assert_eq!(of("", &["stock"]).await.unwrap().0, "orders.read orders.admin");
    let theirs = teams.root.create_role("orders", "chief", "orders.admin").await.unwrap();
    assert_eq!(of("", &both).await.unwrap().0, "orders.read", "nobody gave it there");
    teams.root.bind(&theirs.id, client(&shop.id)).await.unwrap();
    assert_eq!(of("", &both).await.unwrap().0, "orders.read orders.admin");
}

#[tokio::test]
async fn who_judges_tokens_she_does_not_say() {
    let teams = Teams::start().await;
    let guard = teams.registered("guard", "stock.look", "stock signet").await;
    let role = teams.olga.create_role("stock", "judge", "introspect").await.unwrap();
    teams.olga.bind(&role.id, client(&guard.id)).await.unwrap();
    let tokens = TokenServiceClient::new(teams.api.server.channel().await);
    let judge = async |token: &str| {
        let request = with_token(IntrospectTokenRequest { token: token.to_owned() }, token);
        tokens.clone().introspect_token(request).await.map(drop)
    };
    for audiences in [&["stock", "signet"][..], &["stock"], &["signet"]] {
        let (scope, token) = teams.issue(guard.own_token(), "", audiences).await.unwrap();
        assert_eq!(scope, "stock.look", "{audiences:?}");
        judge(&token).await.unwrap_err();
    }
    let judges = teams.root.create_role("signet", "judge", "introspect").await.unwrap();
    teams.root.bind(&judges.id, client(&guard.id)).await.unwrap();
    let (scope, token) = teams.issue(guard.own_token(), "", &["signet"]).await.unwrap();
    assert_eq!(scope, "stock.look introspect");
    judge(&token).await.unwrap();
    assert_eq!(teams.issue(guard.own_token(), "", &["stock", "signet"]).await.unwrap().0, "stock.look");
}

#[tokio::test]
async fn a_scope_that_nobody_has_at_the_moment_is_the_other_services_still() {
    let teams = Teams::start().await;
    let app = teams.registered("app", "stock.pick orders.admin account", "stock orders signet").await;
    let on_call = teams.root.create_role("orders", "on-call", "orders.admin").await.unwrap();
    let bob = teams.api.user("bob").await;
    let shift = teams.root.bind(&on_call.id, user(bob)).await.unwrap();
    let role = teams.olga.create_role("stock", "x", "stock.pick orders.admin account").await.unwrap();
    teams.olga.bind(&role.id, teams.olga.principal()).await.unwrap();
    let both = ["stock", "orders"];
    assert_eq!(teams.of_user("olga", &app, &both).await, "stock.pick account");
    teams.root.unbind(&shift.id).await.unwrap();
    assert_eq!(teams.of_user("olga", &app, &both).await, "stock.pick account", "after the shift, too");
    assert_eq!(teams.of_user("olga", &app, &["stock"]).await, "stock.pick orders.admin account");

    // What the service's own methods ask for is never hers to give, even if no role gives it.
    let everyone = teams.root.role("signet", "everyone").await.unwrap();
    teams.root.set_scopes(&everyone, "profile").await.unwrap();
    assert_eq!(teams.of_user("olga", &app, &["stock", "signet"]).await, "stock.pick orders.admin");
}
