//! Owns that each change is judged in the transaction that makes it: by what whoever asks may do at that moment, and by whether it still is
//! one whose token counts.

use std::{fs, path::Path, pin::Pin};

use signet::{
    base::{Entropy, Timestamp},
    model::{
        AttributeDeclaration, AttributeEdit, AttributeId, AttributeName, AttributeSource, AttributeType,
        AttributeUses, AudienceName, Authority, Binding, BindingId, BuiltInRole, ClientId, ClientKind,
        ClientName, Description, Error, Group, GroupId, GroupName, NameSet, PolicyState, PolicyVersionId,
        PolicyVersionName, Principal, Role, RoleId, RoleName, SessionId, Subject, User, UserId, Username,
        id::uuid_v7,
        policy::{MethodRules, PolicyVersion},
    },
    proto::identity::v1::{ClientAuthentication, IssueTokenRequest},
    store::{
        AdminChange, Applied, ChangedClient, KeyChange, Lease, NewOneTimePassword, NewUser,
        PolicyStateChange, SessionsOf, SetOwner, UserEdit, UserTarget, WhichBinding,
    },
};
use uuid::Uuid;

use super::AdminApi;
use crate::{
    clients::{Registered, Wanted, operator, register},
    harness::{PASSWORD, password_grant},
    operator::{ENTRY, applied, authority_of, by, by_operator, owned},
};

/// What is asked of the store, by its name.
type Attempt<'a> = (&'static str, Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>);

/// What there is to be changed.
struct Things {
    api: AdminApi,
    now: Timestamp,
    alice: User,
    session: SessionId,
    night: GroupId,
    picker: Role,
    binding: Binding,
    shop: ClientId,
    one_time: NewOneTimePassword,
    team: AttributeDeclaration,
    rules: PolicyVersion,
}

fn attempt<'a, T>(
    what: &'static str,
    asked: impl Future<Output = Result<Applied<T>, Error>> + 'a,
) -> Attempt<'a> {
    (what, Box::pin(async move { asked.await.map(drop) }))
}

impl Things {
    async fn start() -> Self {
        let api = AdminApi::start().await;
        let now = api.server.clock.now();
        let alice = api.user("alice").await;
        api.log_in("alice", "").await;
        let authority = authority_of(&api.store, alice, "profile", now).await;
        let Authority::Caller { subject: Subject::User(_, session), .. } = authority else { unreachable!() };
        let shop = register(&operator(&api.server).await, "shop", Wanted::confidential("a")).await.unwrap();
        let (night, picker) = (group("night"), role("picker"));
        applied(api.store.add_group(&night, by_operator(now)).await.unwrap());
        applied(api.store.add_member(night.id, alice, by_operator(now)).await.unwrap());
        applied(api.store.add_role(&picker, by_operator(now)).await.unwrap());
        let binding = binding(&picker, alice);
        applied(api.store.bind(&binding, by_operator(now)).await.unwrap());
        let team = attribute("team");
        applied(api.store.add_attribute(&team, by_operator(now)).await.unwrap());
        let rules = version("v1");
        applied(api.store.add_policy_version(&rules, &MethodRules::new(), by_operator(now)).await.unwrap());
        Self {
            now,
            team,
            rules,
            alice: api.store.user(alice).await.unwrap().unwrap(),
            session,
            night: night.id,
            picker,
            binding,
            shop: shop.client_id(),
            one_time: NewOneTimePassword { sha256: [1; 32], password_hash: "x".to_owned(), expire_time: now },
            api,
        }
    }

    /// Every change of the store that is judged, as `change` asks for it.
    fn attempts<'a>(&'a self, change: AdminChange<'a>) -> Vec<Attempt<'a>> {
        let (mut all, others) = (self.of_roles(change), [self.of_users(change), self.of_others(change)]);
        all.extend(others.into_iter().flatten());
        all
    }

    fn of_roles<'a>(&'a self, change: AdminChange<'a>) -> Vec<Attempt<'a>> {
        let (store, id) = (&self.api.store, self.picker.id);
        vec![
            attempt("add_role", async move { store.add_role(&role("packer"), change).await }),
            attempt("update_role", store.update_role(id, None, |role| Ok(role.clone()), change)),
            attempt("delete_role", store.delete_role(id, None, change)),
            attempt("bind", store.bind(&self.binding, change)),
            attempt("add_binding", async move {
                let subject = Principal::Group(self.night);
                let binding = Binding { subject, ..binding(&self.picker, self.alice.id) };
                store.add_binding(&binding, change).await
            }),
            attempt("set_binding_end", store.set_binding_end(self.binding.id, None, None, change)),
            attempt("unbind", store.unbind(WhichBinding::Id(self.binding.id), None, change)),
            attempt("update_audience", async move {
                let same = owned(<[Principal]>::to_vec);
                store.update_audience(&self.picker.audience, None, same, change).await
            }),
            attempt("add_group", async move { store.add_group(&group("day"), change).await }),
            attempt("delete_group", store.delete_group(self.night, None, change)),
            attempt("add_member", store.add_member(self.night, self.alice.id, change)),
            attempt("remove_member", store.remove_member(self.night, self.alice.id, change)),
        ]
    }

    fn of_users<'a>(&'a self, change: AdminChange<'a>) -> Vec<Attempt<'a>> {
        let (store, id) = (&self.api.store, self.alice.id);
        let (target, edit) = (UserTarget::from(id), UserEdit { email: Some(None), ..UserEdit::default() });
        vec![
            attempt("set_active", store.set_active(id, false, change)),
            attempt("edit_user", async move { store.edit_user(&target, &edit, &|_| None, change).await }),
            attempt("delete_users", async move { store.delete_users(id, &|_| None, change).await }),
            attempt("clear_account_failures", store.clear_account_failures(id, |_| [0; 32], change)),
            attempt("reset_password", store.reset_password(id, None, &self.one_time, change)),
            attempt("add_user_with_one_time_password", async move {
                let username = Username::parse("carol").unwrap();
                let user = User { id: UserId(Uuid::now_v7()), username, ..self.alice.clone() };
                let none = AttributeEdit::default();
                store.add_user_with_one_time_password((&user, None), &none, &self.one_time, change).await
            }),
            attempt("add_managed_user", async move {
                let username = Username::parse("dave").unwrap();
                let user = User { id: UserId(Uuid::now_v7()), username, ..self.alice.clone() };
                let new = NewUser { user, password_hash: "x".to_owned(), resting: None };
                store.add_managed_user(&new, &AttributeEdit::default(), change).await
            }),
            attempt("end_session", store.end_session(self.session, change)),
            attempt("end_sessions", async move {
                store.end_sessions(&SessionsOf::User(id), None, id.0, change).await
            }),
        ]
    }

    fn of_others<'a>(&'a self, change: AdminChange<'a>) -> Vec<Attempt<'a>> {
        let (store, team) = (&self.api.store, self.team.id);
        let same = |client: &signet::model::Client| ChangedClient {
            client: client.clone(),
            granted: NameSet::default(),
            audiences: Vec::new(),
        };
        vec![
            attempt("add_attribute", async move { store.add_attribute(&attribute("level"), change).await }),
            attempt("update_attribute", store.update_attribute(team, None, |old| Ok(old.clone()), change)),
            attempt("delete_attribute", store.delete_attribute(team, None, change)),
            attempt("add_client", async move {
                let client = store.client(self.shop).await.unwrap().unwrap();
                let (id, name) = (ClientId(Uuid::now_v7()), ClientName::parse("other").unwrap());
                let new = same(&signet::model::Client { id, name, secrets: Vec::new(), ..client });
                store.add_client(&new, change).await
            }),
            attempt("change_client", store.change_client(self.shop, move |old| Ok(same(old)), change)),
            attempt("delete_client", store.delete_client(self.shop, |_| Ok(()), change)),
            attempt("add_policy_version", async move {
                store.add_policy_version(&version("v2"), &MethodRules::new(), change).await
            }),
            attempt("change_policy_state", async move {
                let PolicyVersion { service, name, .. } = &self.rules;
                let (state, etag, allow_widening) = (PolicyState::Shadow, None, true);
                let wanted = PolicyStateChange { service, version: name, state, etag, allow_widening };
                store.change_policy_state(&wanted, change).await
            }),
            attempt("take_set", store.take_set("shop", SetOwner::Operator, change)),
            attempt("administer_signing_keys", async move {
                let lease = Lease::of_operator(Uuid::nil());
                let kid = store.signing_keys().await?[0].kid.clone();
                let decide = |_: &[_]| Ok((kid.clone(), KeyChange::default()));
                store.administer_signing_keys(lease, change, decide).await
            }),
        ]
    }
}

fn role(name: &str) -> Role {
    let create_time = crate::harness::START;
    Role {
        id: RoleId::new(create_time, &Entropy::system()),
        name: RoleName::parse(name).unwrap(),
        audience: AudienceName::parse("stock").unwrap(),
        scopes: NameSet::default(),
        description: Description::default(),
        create_time,
        update_time: create_time,
    }
}

fn version(name: &str) -> PolicyVersion {
    let create_time = crate::harness::START;
    PolicyVersion {
        id: PolicyVersionId::new(create_time, &Entropy::system()),
        service: AudienceName::parse("stock").unwrap(),
        name: PolicyVersionName::parse(name).unwrap(),
        state: PolicyState::Pushed,
        sha256: "0".repeat(64),
        methods: 0,
        create_time,
        update_time: create_time,
    }
}

fn attribute(name: &str) -> AttributeDeclaration {
    let create_time = crate::harness::START;
    AttributeDeclaration {
        id: AttributeId::new(create_time, &Entropy::system()),
        name: AttributeName::parse(name).unwrap(),
        kind: AttributeType::String,
        uses: AttributeUses {
            source: AttributeSource::Administrators { in_tokens: false },
            in_userinfo: false,
            in_introspection: false,
        },
        description: Description::default(),
        create_time,
        update_time: create_time,
    }
}

fn group(name: &str) -> Group {
    let create_time = crate::harness::START;
    let id = GroupId::new(create_time, &Entropy::system());
    Group { id, name: GroupName::parse(name).unwrap(), create_time }
}

fn binding(role: &Role, user: UserId) -> Binding {
    let create_time = crate::harness::START;
    let id = BindingId(uuid_v7(create_time, &Entropy::system()));
    Binding { id, role: role.id, subject: Principal::User(user), expire_time: None, create_time }
}

/// By the authority of the client itself, which shows a token with `scopes`.
fn authority_of_client(client: &Registered, scopes: &NameSet) -> Authority {
    let subject = Subject::Client(client.client_id());
    Authority::Caller { subject, scopes: scopes.clone(), is_for_service_alone: true }
}

/// How many changes there are that are judged.
fn changes_in(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let in_file = |path: &Path| fs::read_to_string(path).unwrap().matches("self.change(").count();
    entries.map(|path| if path.is_dir() { changes_in(&path) } else { in_file(&path) }).sum()
}

#[tokio::test]
async fn every_change_is_known_here() {
    let on = Things::start().await;
    let root = on.api.user("rita").await;
    on.api.give(BuiltInRole::Admin, root).await;
    on.api.log_in("rita", "").await;
    // What an audience's owners alone may do is done by one of them.
    let owners = owned(|_| vec![Principal::User(root)]);
    let owned = on.api.store.update_audience(&on.picker.audience, None, owners, by_operator(on.now)).await;
    applied(owned.unwrap());
    let scopes = BuiltInRole::Admin.scopes();
    let authority = authority_of(&on.api.store, root, scopes.as_str(), on.now).await;
    let judging = AdminChange::new(&authority, on.now, None, true, &ENTRY);
    let attempts = on.attempts(judging);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/tables");
    assert_eq!(attempts.len(), changes_in(&dir), "each change that is judged is one of `attempts`");
    for (what, attempt) in attempts {
        let judged = attempt.await;
        assert!(judged.is_ok(), "{what}: {judged:?}");
    }
}

#[tokio::test]
async fn no_change_is_made_by_who_has_lost_what_the_token_shows() {
    let on = Things::start().await;
    let bob = on.api.user("bob").await;
    on.api.log_in("bob", "").await;
    let scopes = BuiltInRole::Admin.scopes();
    let authority = authority_of(&on.api.store, bob, scopes.as_str(), on.now).await;
    for (what, attempt) in on.attempts(by(&authority, on.now)) {
        let refused = attempt.await;
        let is_denied = matches!(refused, Err(Error::InsufficientScope(_) | Error::NotOwner { .. }));
        assert!(is_denied, "{what}: {refused:?}");
    }
}

#[tokio::test]
async fn no_change_is_made_by_a_client_that_may_no_longer_be_asked_for_it() {
    let on = Things::start().await;
    let (api, scope) = (&on.api, "signet.groups.write");
    let console = Wanted { kind: ClientKind::Public, ..Wanted::confidential(scope) };
    let console = register(&operator(&api.server).await, "console", console).await.unwrap();
    let bob = api.user("bob").await;
    api.give(BuiltInRole::Admin, bob).await;
    let asked = IssueTokenRequest {
        scope: scope.to_owned(),
        client: Some(ClientAuthentication { client_id: console.client_id().to_string(), credential: None }),
        ..password_grant("bob", PASSWORD)
    };
    let login = api.server.client().await.0.issue_token(asked).await.unwrap().into_inner();
    assert_eq!(login.scope, scope);
    let authority = authority_of(&api.store, bob, scope, on.now).await;
    applied(api.store.add_group(&group("day"), by(&authority, on.now)).await.unwrap());
    let without = |old: &signet::model::Client| {
        let client = signet::model::Client { scopes: NameSet::default(), ..old.clone() };
        Ok(ChangedClient { client, granted: NameSet::default(), audiences: Vec::new() })
    };
    applied(api.store.change_client(console.client_id(), without, by_operator(on.now)).await.unwrap());
    let refused = api.store.add_group(&group("evening"), by(&authority, on.now)).await;
    assert!(matches!(refused, Err(Error::InsufficientScope(_))), "{refused:?}");
}

#[tokio::test]
async fn no_change_is_made_by_who_was_disabled_or_whose_session_has_ended() {
    let on = Things::start().await;
    let (store, scopes) = (&on.api.store, BuiltInRole::Admin.scopes());
    let mut authorities = Vec::new();
    for name in ["bob", "eve"] {
        let id = on.api.user(name).await;
        on.api.give(BuiltInRole::Admin, id).await;
        on.api.log_in(name, "").await;
        authorities.push(authority_of(store, id, scopes.as_str(), on.now).await);
        if name == "bob" {
            applied(store.set_active(id, false, by_operator(on.now)).await.unwrap());
        } else {
            store.end_sessions(&SessionsOf::User(id), None, id.0, by_operator(on.now)).await.unwrap();
        }
    }
    let registry = operator(&on.api.server).await;
    let robot = register(&registry, "robot", Wanted::confidential(scopes.as_str())).await.unwrap();
    authorities.push(authority_of_client(&robot, &scopes));
    let operator = signet::identity::Administrator::operator();
    registry.set_active(&robot.client_id().into(), false, None, &operator).await.unwrap();
    for authority in &authorities {
        for (what, attempt) in on.attempts(by(authority, on.now)) {
            let refused = attempt.await;
            assert!(matches!(refused, Err(Error::TokenRevoked)), "{what}: {refused:?}");
        }
    }
}
