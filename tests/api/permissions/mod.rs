//! Owns what users and clients may do by their roles: what their tokens get, and what is left of it once a role is gone.

mod account;
mod administering;
mod clients;
mod ends;
mod refreshes;
mod role_claims;
mod route_roles;
mod taken_away;
mod users;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use signet::{
    base::{Clock, Timestamp},
    model::{
        AudienceName, Binding, BindingId, ClientId, Description, Group, GroupId, GroupName, NameSet,
        Principal, Role, RoleId, RoleName, UserId,
    },
    proto::identity::v1::{IssueTokenRequest, IssueTokenResponse, PasswordGrant, issue_token_request::Grant},
    store::{Store, WhichBinding},
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    clients::{Registered, Service, Wanted, request},
    harness::PASSWORD,
    operator::{applied, by_operator},
};

/// What the operator does to roles, in another process.
#[derive(Clone)]
pub(crate) struct Operator {
    store: Store,
    clock: Clock,
}

impl Operator {
    pub(crate) fn of(service: &Service) -> Self {
        Self { store: service.store.clone(), clock: service.server.clock.clone() }
    }

    /// Lets everyone have `scopes` at `audience`, beside what everyone has.
    pub(crate) async fn give_everyone(&self, audience: &str, scopes: &str) {
        let audience = AudienceName::parse(audience).unwrap();
        let scopes = NameSet::parse(scopes).unwrap();
        let now = self.clock.now();
        if let Some(role) = self.store.everyone(std::slice::from_ref(&audience)).await.unwrap().pop() {
            let wider = |role: &Role| {
                Ok(Role { scopes: role.scopes.with(scopes.iter()), update_time: now, ..role.clone() })
            };
            applied(self.store.update_role(role.id, None, wider, by_operator(now)).await.unwrap());
        } else {
            let role = self.new_role(audience, "everyone", scopes);
            applied(self.store.add_role(&role, by_operator(now)).await.unwrap());
        }
    }

    /// Takes `scope` from everyone at `audience`.
    async fn take_from_everyone(&self, audience: &str, scope: &str) {
        let audience = AudienceName::parse(audience).unwrap();
        let role = self.store.everyone(&[audience]).await.unwrap().pop().unwrap();
        self.change_role(role.id, |scopes| scopes.without_name(scope)).await;
    }

    pub(crate) async fn change_role(&self, id: RoleId, change: impl Fn(&NameSet) -> NameSet) {
        let now = self.clock.now();
        let changed =
            |role: &Role| Ok(Role { scopes: change(&role.scopes), update_time: now, ..role.clone() });
        applied(self.store.update_role(id, None, changed, by_operator(now)).await.unwrap());
    }

    pub(crate) async fn role(&self, audience: &str, name: &str, scopes: &str) -> RoleId {
        let role =
            self.new_role(AudienceName::parse(audience).unwrap(), name, NameSet::parse(scopes).unwrap());
        applied(self.store.add_role(&role, by_operator(role.create_time)).await.unwrap());
        role.id
    }

    fn new_role(&self, audience: AudienceName, name: &str, scopes: NameSet) -> Role {
        let now = self.clock.now();
        Role {
            id: RoleId(new_id()),
            name: RoleName::parse(name).unwrap(),
            audience,
            scopes,
            description: Description::default(),
            create_time: now,
            update_time: now,
        }
    }

    pub(crate) async fn bind(&self, role: RoleId, subject: Principal) {
        self.bind_until(role, subject, None).await;
    }

    async fn bind_for(&self, role: RoleId, subject: Principal, time: Duration) {
        self.bind_until(role, subject, Some(self.clock.now().after(time))).await;
    }

    async fn bind_until(&self, role: RoleId, subject: Principal, expire_time: Option<Timestamp>) {
        let (id, create_time) = (BindingId(new_id()), self.clock.now());
        let binding = Binding { id, role, subject, expire_time, create_time };
        self.store.bind(&binding, by_operator(create_time)).await.unwrap();
    }

    pub(crate) async fn unbind(&self, role: RoleId, subject: Principal) {
        let which = WhichBinding::Of(role, subject);
        let unbound = self.store.unbind(which, None, by_operator(self.clock.now())).await.unwrap();
        assert!(applied(unbound).is_some());
    }

    /// The new group `name`, with `user` in it.
    pub(crate) async fn group_of(&self, name: &str, user: UserId) -> GroupId {
        let (id, create_time) = (GroupId(new_id()), self.clock.now());
        let name = GroupName::parse(name).unwrap();
        let change = by_operator(create_time);
        applied(self.store.add_group(&Group { id, name, create_time }, change).await.unwrap());
        assert!(applied(self.store.add_member(id, user, change).await.unwrap()).1);
        id
    }
}

/// An id that nothing else has in a test.
fn new_id() -> Uuid {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let mut bytes = [0; 10];
    bytes[..4].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(1_795_435_200_000, &bytes).into_uuid()
}

/// A client of a shop, whose users log in with it to its stock.
pub(crate) struct Shop {
    pub(crate) service: Service,
    operator: Operator,
    app: Registered,
    alice: UserId,
}

/// What the client may have for its users.
const SCOPES: &str = "stock.read stock.pick stock.write profile account introspect";

impl Shop {
    async fn open() -> Self {
        Self::open_with(&["--standing-cache-max-age=0s"]).await
    }

    /// Everyone may read the stock, and nobody may do more.
    async fn open_with(args: &[&str]) -> Self {
        let service = Service::start_with(args).await;
        let operator = Operator::of(&service);
        operator.give_everyone("stock", "stock.read").await;
        let wanted = Wanted { audiences: "stock orders signet", ..Wanted::confidential(SCOPES) };
        let app = service.register_alone("shop", wanted).await;
        let token = service.client.clone().log_in("alice", PASSWORD).await.unwrap().access_token;
        let user = service.client.clone().get_me(&token).await.unwrap();
        Self { service, operator, app, alice: UserId(user.id.parse().unwrap()) }
    }

    fn principal(&self) -> Principal {
        Principal::User(self.alice)
    }

    fn client_id(&self) -> ClientId {
        self.app.client_id()
    }

    /// A login of `username` for `scope` at `audiences`.
    async fn log_in(
        &self,
        username: &str,
        scope: &str,
        audiences: &[&str],
    ) -> Result<IssueTokenResponse, Status> {
        let password = PasswordGrant { username: username.to_owned(), password: PASSWORD.to_owned() };
        let asked = request(Grant::Password(password), Some(self.app.by_secret()));
        self.service.issue(asking(asked, scope, audiences)).await
    }

    async fn refresh(&self, refresh_token: &str, scope: &str) -> Result<IssueTokenResponse, Status> {
        let asked = request(crate::clients::refresh(refresh_token), Some(self.app.by_secret()));
        self.service.issue(asking(asked, scope, &[])).await
    }
}

/// `request`, asking for `scope` and `audiences`.
fn asking(request: IssueTokenRequest, scope: &str, audiences: &[&str]) -> IssueTokenRequest {
    let audiences = audiences.iter().map(|name| (*name).to_owned()).collect();
    IssueTokenRequest { scope: scope.to_owned(), audiences, ..request }
}
