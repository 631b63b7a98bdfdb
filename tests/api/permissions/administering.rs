//! Owns who gets the scopes that administer Signet itself, and who does not.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use signet::{
    model::{AdminScope, BuiltInRole, Principal},
    proto::identity::v1::{IssueTokenResponse, PasswordGrant, issue_token_request::Grant},
};
use tonic::{Code, Status};

use super::{Shop, asking};
use crate::{
    clients::{Wanted, claims, refresh, request},
    ext_authz::Sidecar,
    harness::{PASSWORD, assert_refused},
};

const READ: &str = "signet.users.read";

impl Shop {
    /// A login of `username` for `scope` with the built-in client.
    async fn log_in_built_in(&self, username: &str, scope: &str) -> Result<IssueTokenResponse, Status> {
        let password = PasswordGrant { username: username.to_owned(), password: PASSWORD.to_owned() };
        self.service.issue(asking(request(Grant::Password(password), None), scope, &[])).await
    }

    async fn refresh_built_in(&self, token: IssueTokenResponse, scope: &str) -> IssueTokenResponse {
        let grant = refresh(&token.refresh_token.unwrap());
        self.service.issue(asking(request(grant, None), scope, &[])).await.unwrap()
    }

    /// Writes `sql` to the database, as no command does.
    async fn by_hand(&self, sql: &str) {
        let db = self.service.server.data.connect().await;
        db.execute_unprepared(sql).await.unwrap();
    }

    /// Registers `scopes` for the client of the shop.
    async fn register(&self, scopes: &str) {
        self.service.set_scopes(self.client_id(), scopes).await;
    }
}

#[tokio::test]
async fn whoever_is_an_admin_gets_what_administers_by_name_alone() {
    let shop = Shop::open().await;
    let all = AdminScope::names();
    assert_eq!(
        shop.log_in_built_in("alice", all.as_str()).await.unwrap().scope,
        "",
        "only the user lacks it: nothing is refused"
    );
    shop.operator.bind(BuiltInRole::Admin.id(), shop.principal()).await;
    assert_eq!(shop.log_in_built_in("alice", "").await.unwrap().scope, "profile account");
    let login = shop.log_in_built_in("alice", &format!("profile {READ}")).await.unwrap();
    assert_eq!(login.scope, format!("profile {READ}"));
    assert_eq!(claims(&login.access_token)["scope"], login.scope);
    let everything = shop.log_in_built_in("alice", all.as_str()).await.unwrap();
    assert_eq!(everything.scope, all.as_str(), "all that this release has");
    let refused = shop.log_in_built_in("alice", "signet.of-tomorrow").await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");

    shop.service.client.clone().sign_up("bob", PASSWORD).await.unwrap();
    assert_eq!(shop.log_in_built_in("bob", READ).await.unwrap().scope, "", "another user");
}

#[tokio::test]
async fn each_built_in_role_gives_what_the_program_says() {
    let shop = Shop::open().await;
    for role in BuiltInRole::ALL {
        shop.operator.bind(role.id(), shop.principal()).await;
        let asked = AdminScope::names();
        let login = shop.log_in_built_in("alice", asked.as_str()).await.unwrap();
        assert_eq!(login.scope, role.scopes().as_str(), "{}", role.name());
        shop.operator.unbind(role.id(), shop.principal()).await;
    }
    // What stands in the row counts for nothing: the next release has other scopes, and no row is changed for that.
    shop.by_hand("UPDATE roles SET scopes = 'signet.keys.write' WHERE name = 'auditor'").await;
    shop.operator.bind(BuiltInRole::Auditor.id(), shop.principal()).await;
    let login = shop.log_in_built_in("alice", "signet.keys.read signet.keys.write").await.unwrap();
    assert_eq!(login.scope, "signet.keys.read");
}

#[tokio::test]
async fn another_client_gets_it_if_it_is_registered_with_it_and_for_signet_alone() {
    let shop = Shop::open().await;
    shop.operator.bind(BuiltInRole::Admin.id(), shop.principal()).await;
    let refused = shop.log_in("alice", READ, &["signet"]).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");

    shop.register(&format!("profile {READ} stock.read")).await;
    assert_eq!(shop.log_in("alice", READ, &["signet"]).await.unwrap().scope, READ);
    assert_eq!(
        shop.log_in("alice", "", &["signet"]).await.unwrap().scope,
        "profile",
        "not asked for by name"
    );
    let asked = format!("profile {READ}");
    for (audiences, scope) in [
        (&["signet", "stock"][..], "profile"),
        (&["stock"], ""),
        (&[], "profile"),
        (&["orders", "signet"], "profile"),
    ] {
        assert_eq!(shop.log_in("alice", &asked, audiences).await.unwrap().scope, scope, "{audiences:?}");
    }
    // Nor does a session of several audiences get it once it asks for Signet's alone.
    let both = shop.log_in("alice", &asked, &["signet", "stock"]).await.unwrap();
    let refresh = request(refresh(&both.refresh_token.unwrap()), Some(shop.app.by_secret()));
    assert_eq!(shop.service.issue(asking(refresh, "", &["signet"])).await.unwrap().scope, "profile");
}

#[tokio::test]
async fn a_refresh_gives_none_that_the_login_did_not_get() {
    let shop = Shop::open().await;
    let asked = format!("profile {READ}");
    let before = shop.log_in_built_in("alice", &asked).await.unwrap();
    assert_eq!(before.scope, "profile");
    shop.operator.bind(BuiltInRole::Auditor.id(), shop.principal()).await;
    let refreshed = shop.refresh_built_in(before, "").await;
    assert_eq!(refreshed.scope, "profile", "the role came later");
    let grant = request(refresh(refreshed.refresh_token.as_ref().unwrap()), None);
    let refused = shop.service.issue(asking(grant, READ, &[])).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");

    let login = shop.log_in_built_in("alice", &asked).await.unwrap();
    assert_eq!(login.scope, asked);
    let login = shop.refresh_built_in(login, "").await;
    assert_eq!(login.scope, asked, "what the login got, a refresh gets");
    shop.operator.unbind(BuiltInRole::Auditor.id(), shop.principal()).await;
    let login = shop.refresh_built_in(login, "").await;
    assert_eq!(login.scope, "profile");
    shop.operator.bind(BuiltInRole::Admin.id(), shop.principal()).await;
    let login = shop.refresh_built_in(login, "").await;
    assert_eq!(login.scope, asked, "whatever role gives it");
}

#[tokio::test]
async fn a_session_of_the_release_before_never_has_it() {
    let shop = Shop::open().await;
    let login = shop.log_in_built_in("alice", "").await.unwrap();
    shop.by_hand(&format!("UPDATE sessions SET asked_scope = NULL, scope = 'profile {READ}'")).await;
    shop.operator.bind(BuiltInRole::Admin.id(), shop.principal()).await;
    assert_eq!(shop.refresh_built_in(login, "").await.scope, "profile account");
}

#[tokio::test]
async fn a_clients_own_token_has_it_by_registration_or_by_a_role_and_by_name() {
    let shop = Shop::open().await;
    let service = &shop.service;
    let wanted = Wanted { audiences: "stock signet", ..Wanted::confidential("introspect signet.keys.read") };
    let client = service.register_alone("inspector", wanted).await;
    let ask = async |scope, audiences: &[&str]| {
        service.issue(asking(client.own_token(), scope, audiences)).await.map(|issued| issued.scope)
    };
    assert_eq!(ask("", &["signet"]).await.unwrap(), "introspect", "not asked for by name");
    assert_eq!(ask("signet.keys.read", &["signet"]).await.unwrap(), "signet.keys.read");
    for audiences in [&["stock"][..], &["signet", "stock"], &[]] {
        let refused = ask("signet.keys.read", audiences).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
    }
    assert_refused(ask(READ, &["signet"]).await, Code::InvalidArgument, "INVALID_SCOPE");
    shop.operator.bind(BuiltInRole::UserManager.id(), Principal::Client(client.client_id())).await;
    assert_eq!(ask(READ, &["signet"]).await.unwrap(), READ);
    assert_eq!(ask("", &["signet"]).await.unwrap(), "introspect");
}

#[tokio::test]
async fn what_no_command_would_have_written_counts_for_nothing() {
    let shop = Shop::open().await;
    let asked = format!("profile {READ}");
    let scope = async || shop.log_in_built_in("alice", &asked).await.unwrap().scope;
    // Everyone, without a binding and by one; a role of another audience; a scope that this release does not have.
    shop.by_hand(&format!("UPDATE roles SET scopes = 'profile account {READ}' WHERE name = 'everyone'"))
        .await;
    assert_eq!(scope().await, "profile");
    let stand_in = shop.operator.role("signet", "stand-in", "").await;
    shop.operator.bind(stand_in, shop.principal()).await;
    let everyone = "SELECT id FROM roles WHERE audience = 'signet' AND name = 'everyone'";
    shop.by_hand(&format!("UPDATE bindings SET role_id = ({everyone})")).await;
    assert_eq!(scope().await, "profile");
    let stranger = shop.operator.role("stock", "stranger", &format!("stock.read {READ}")).await;
    shop.operator.bind(stranger, shop.principal()).await;
    assert_eq!(scope().await, "profile");
    let registered = format!("stock.read {READ} signet.of-tomorrow");
    shop.by_hand(&format!("UPDATE clients SET scopes = '{registered}' WHERE name = 'shop'")).await;
    assert_eq!(
        shop.log_in("alice", &format!("stock.read {READ}"), &["stock"]).await.unwrap().scope,
        "stock.read"
    );
    let later = shop.operator.role("signet", "later", &format!("signet.of-tomorrow {READ}")).await;
    shop.operator.bind(later, shop.principal()).await;
    assert_eq!(scope().await, asked, "beside one that counts");
    let refused = shop.log_in("alice", "signet.of-tomorrow", &["signet"]).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
}

#[tokio::test]
async fn what_is_taken_away_counts_no_longer_from_the_next_call_on() {
    let shop = Shop::open_with(&["--standing-cache-max-age=0s", "--ext-authz=on"]).await;
    let inspector = shop.service.register("inspector", Wanted::confidential("introspect")).await;
    let inspector = shop.service.token_of(&inspector).await;
    let sidecar = Sidecar::of(&shop.service.server).await;
    let admins = shop.operator.group_of("admins", shop.alice).await;
    shop.operator.bind(BuiltInRole::Admin.id(), Principal::Group(admins)).await;
    let token = shop.log_in_built_in("alice", &format!("profile {READ}")).await.unwrap().access_token;
    let told = async || {
        let told = shop.service.introspect(&token, &inspector).await.unwrap().scope.unwrap();
        let mut headers = sidecar.headers(&token, &[("signet.require_audience", "signet")]).await;
        shop.service.client.clone().get_me(&token).await.unwrap();
        [told, headers.remove("x-signet-scope").unwrap_or_default()]
    };
    let all = [format!("profile {READ}"), format!("profile {READ}")];
    assert_eq!(told().await, all);
    shop.operator.unbind(BuiltInRole::Admin.id(), Principal::Group(admins)).await;
    assert_eq!(told().await, ["profile"; 2]);
    shop.operator.bind_for(BuiltInRole::Auditor.id(), shop.principal(), Duration::from_mins(2)).await;
    assert_eq!(told().await, all, "by another role, for a time");
    shop.service.server.clock.advance(Duration::from_mins(2));
    assert_eq!(told().await, ["profile"; 2]);
}
