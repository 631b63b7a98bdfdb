//! Owns what manifests do over the admin API: all of it or nothing, judged by what whoever applies them had before, and within bounds.

mod last_admin;
mod owners;
mod patience;

use serde_json::{Value, json};
use signet::{
    model::{
        AudienceName, Binding, BindingId, BuiltInRole, Description, NameSet, Principal, Role, RoleId,
        RoleName, UserId, id::uuid_v7,
    },
    proto::identity::admin::v1::{
        ApplyManifestRequest, ApplyManifestResponse, ExportManifestRequest, Manifest,
        apply_service_client::ApplyServiceClient, manifest_change::Action,
    },
    store::Lease,
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::{
    AdminApi,
    caller::{told, user},
};
use crate::{
    harness::{assert_refused, with_token},
    operator::{applied, by_operator},
};

/// 256 bits in base64url.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// What reads all that a manifest can name, and lets apply one.
const APPLIES: &str = "signet.manifests.apply signet.attributes.read signet.audiences.read signet.clients.read signet.roles.read \
                       signet.groups.read signet.bindings.read signet.users.read";

/// Somebody who applies manifests.
struct Applier {
    id: UserId,
    manifests: ApplyServiceClient<Channel>,
    token: String,
}

impl AdminApi {
    /// The new user `username`, who has all of `scopes`, and shows them.
    async fn applier(&self, username: &str, scopes: &str) -> Applier {
        let (id, now) = (self.user(username).await, self.server.clock.now());
        let role = Role {
            id: RoleId(uuid_v7(now, self.store.entropy())),
            name: RoleName::parse(&format!("as-{username}")).unwrap(),
            audience: AudienceName::signet(),
            scopes: NameSet::parse(scopes).unwrap(),
            description: Description::default(),
            create_time: now,
            update_time: now,
        };
        applied(self.store.add_role(&role, by_operator(now)).await.unwrap());
        let binding_id = BindingId(uuid_v7(now, self.store.entropy()));
        let subject = Principal::User(id);
        let binding = Binding { id: binding_id, role: role.id, subject, expire_time: None, create_time: now };
        applied(self.store.bind(&binding, by_operator(now)).await.unwrap());
        let login = self.log_in(username, &format!("profile account {scopes}")).await;
        self.applies(id, login.access_token).await
    }

    async fn applies(&self, id: UserId, token: String) -> Applier {
        let manifests = ApplyServiceClient::new(self.channel().await).max_decoding_message_size(16 << 20);
        Applier { id, manifests, token }
    }

    async fn admin_applier(&self) -> Applier {
        let (id, token) = self.administrator(BuiltInRole::Admin, "rita").await;
        self.applies(id, token).await
    }
}

impl Applier {
    async fn ask(&self, request: ApplyManifestRequest) -> Result<ApplyManifestResponse, Status> {
        let request = with_token(request, &self.token);
        self.manifests.clone().apply_manifest(request).await.map(tonic::Response::into_inner)
    }

    async fn apply(&self, manifest: Value) -> Result<ApplyManifestResponse, Status> {
        self.ask(request(manifest)).await
    }

    /// That `manifest` is refused for `reason`, at the change of `change`, as it would be if it were only asked.
    async fn is_refused(&self, manifest: Value, reason: &str, change: &str) {
        for validate_only in [true, false] {
            let asked = ApplyManifestRequest { validate_only, ..request(manifest.clone()) };
            let refused = assert_refused(self.ask(asked).await, Code::PermissionDenied, reason);
            assert_eq!(told(&refused, "change"), change, "{manifest}");
            assert!(refused.message().starts_with(change), "{refused:?}");
        }
    }

    async fn export(&self) -> Result<Manifest, Status> {
        let request = with_token(ExportManifestRequest::default(), &self.token);
        let answer = self.manifests.clone().export_manifest(request).await?;
        Ok(answer.into_inner().manifest.unwrap())
    }
}

fn request(manifest: Value) -> ApplyManifestRequest {
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    ApplyManifestRequest { manifest: Some(manifest), ..ApplyManifestRequest::default() }
}

fn shop(alice: UserId) -> Value {
    json!({
        "set": "shop",
        "attributes": [{"name": "team", "in_userinfo": true}],
        "audiences": [{"name": "stock", "owners": [{"group": "leads"}]}],
        "clients": [
            {"name": "billing", "scopes": ["stock.pick"], "audiences": ["stock"], "secret": SECRET},
            {"name": "app", "public": true, "scopes": ["profile"], "active": false},
        ],
        "roles": [{"name": "picker", "audience": "stock", "scopes": ["stock.pick"], "description": "Picks."}],
        "groups": [{"name": "leads"}, {"name": "night", "members": [{"id": alice.to_string(), "name": "alice"}]}],
        "bindings": [
            {"role": "picker", "audience": "stock", "group": "night"},
            {"role": "picker", "audience": "stock", "client": "billing", "expire_time": "2099-01-01T00:00:00Z"},
        ],
    })
}

#[tokio::test]
async fn a_manifest_is_applied_once_told_before_and_exported_as_it_was_applied() {
    let api = AdminApi::start().await;
    let (root, alice) = (api.admin_applier().await, api.user("alice").await);
    let only_asked = ApplyManifestRequest { validate_only: true, ..request(shop(alice)) };
    let plan = root.ask(only_asked.clone()).await.unwrap();
    let resources: Vec<_> = plan.changes.iter().map(|change| &*change.resource).collect();
    assert!(
        resources.contains(&"client `billing`") && resources.contains(&"audience `stock`"),
        "{resources:?}"
    );
    assert!(plan.changes.iter().all(|change| change.action() != Action::Delete));
    assert_eq!(root.ask(only_asked).await.unwrap().plan_etag, plan.plan_etag, "nothing was written");

    let other = ApplyManifestRequest { plan_etag: "another".to_owned(), ..request(shop(alice)) };
    assert_refused(root.ask(other).await, Code::Aborted, "PLAN_OUTDATED");
    let that_plan = ApplyManifestRequest { plan_etag: plan.plan_etag.clone(), ..request(shop(alice)) };
    assert_eq!(root.ask(that_plan.clone()).await.unwrap(), plan);
    assert_refused(root.ask(that_plan).await, Code::Aborted, "PLAN_OUTDATED");
    let again = root.apply(shop(alice)).await.unwrap();
    assert_eq!((again.changes, again.not_in_manifest), (vec![], vec![]));

    let exported = root.export().await.unwrap();
    assert_eq!(exported.set, "exported");
    let billing = exported.clients.iter().find(|client| client.name == "billing").unwrap();
    assert_eq!((billing.secret.as_ref(), billing.active), (None, None));
    assert!(exported.attributes.iter().any(|attribute| attribute.name == "team" && attribute.in_userinfo));
    let applied = ApplyManifestRequest { manifest: Some(exported), ..ApplyManifestRequest::default() };
    assert_eq!(root.ask(applied).await.unwrap().changes, []);

    let less = json!({"set": "shop", "groups": [{"name": "leads"}]});
    let left = root.apply(less.clone()).await.unwrap();
    assert!(left.changes.is_empty() && left.not_in_manifest.contains(&"client `app`".to_owned()), "{left:?}");
    let pruned = root.ask(ApplyManifestRequest { prune: true, ..request(less) }).await.unwrap();
    let deleted = pruned.changes.iter().filter(|change| change.action() == Action::Delete);
    assert!(deleted.count() >= 5 && pruned.not_in_manifest.is_empty(), "{pruned:?}");
    let events = api.audited("manifest.applied", 2).await;
    assert_eq!(events[0]["actor_id"], root.id.to_string(), "{events:?}");
}

#[tokio::test]
async fn who_manages_users_becomes_no_admin_by_a_manifest() {
    let api = AdminApi::start().await;
    let scopes = format!("{} {APPLIES}", BuiltInRole::UserManager.scopes().as_str()).replacen(
        " signet.users.read",
        "",
        1,
    );
    let more = "signet.clients.write signet.groups.write signet.bindings.write";
    let mallory = api.applier("mallory", &format!("{scopes} {more}")).await;
    let (root, me) = (api.admin_applier().await, json!({"id": mallory.id.to_string()}));
    let admins = json!({"set": "staff", "groups": [{"name": "admins"}], "bindings": [{"role": "admin", "group": "admins"}]});
    root.apply(admins).await.unwrap();
    root.apply(json!({"set": "staff", "clients": [{"name": "robot", "scopes": ["signet.keys.write"], "secret": SECRET}]}))
        .await
        .unwrap();

    // A role that gives nothing at first.
    let mine =
        json!({"set": "mine", "roles": [{"name": "boss"}], "bindings": [{"role": "boss", "user": me}]});
    mallory.apply(mine).await.unwrap();
    let (keys, other) = (json!(["signet.keys.write"]), SECRET.replacen('A', "B", 1));
    for (what, reason, change) in [
        (
            json!({"bindings": [{"role": "admin", "user": me}]}),
            "GRANT_NOT_HELD",
            "binding of the user `mallory` to the role `admin` of the audience `signet`",
        ),
        (
            json!({"roles": [{"name": "boss", "scopes": keys}]}),
            "GRANT_NOT_HELD",
            "role `boss` of the audience `signet`",
        ),
        (
            json!({"groups": [{"name": "admins", "members": [me]}]}),
            "GRANT_NOT_HELD",
            "membership of the user `mallory` in the group `admins`",
        ),
        (
            json!({"clients": [{"name": "ci", "scopes": keys, "secret": SECRET}]}),
            "GRANT_NOT_HELD",
            "client `ci`",
        ),
        (
            json!({"clients": [{"name": "robot", "scopes": keys, "secret": other}]}),
            "HOLDS_MORE",
            "client `robot`",
        ),
        (
            json!({"groups": [{"name": "new", "members": [me]}], "bindings": [{"role": "auditor", "group": "new"}]}),
            "GRANT_NOT_HELD",
            "binding of the group `new` to the role `auditor` of the audience `signet`",
        ),
    ] {
        let mut manifest = what;
        manifest["set"] = json!("mine");
        mallory.is_refused(manifest, reason, change).await;
    }
    // What comes before a refusal is undone.
    let exported = root.export().await.unwrap();
    assert!(exported.groups.iter().all(|group| group.name != "new"));
    // Without the scope nobody is let in, whatever else they have.
    let (_, token) = api.administrator(BuiltInRole::UserManager, "trent").await;
    let trent = api.applies(mallory.id, token).await;
    let refused = assert_refused(
        trent.apply(json!({"set": "his"})).await,
        Code::PermissionDenied,
        "INSUFFICIENT_SCOPE",
    );
    assert_eq!(told(&refused, "required_scope"), "signet.manifests.apply");
}

#[tokio::test]
async fn no_change_permits_the_next_one_to_who_applies_it() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    root.create_role("stock", "picker", "stock.pick").await.unwrap();
    root.create_role("pay", "payer", "pay.out").await.unwrap();
    let olga = api.applier("olga", &format!("{APPLIES} signet.audiences.admin signet.groups.write")).await;
    root.set_owners("stock", &[user(olga.id)]).await.unwrap();
    let me = json!({"id": olga.id.to_string()});
    let bound = |audience: &str, role: &str| json!([{"role": role, "audience": audience, "user": me}]);

    olga.apply(json!({"set": "mine", "bindings": bound("stock", "picker")})).await.unwrap();
    let refused = "binding of the user `olga` to the role `payer` of the audience `pay`";
    olga.is_refused(json!({"set": "mine", "bindings": bound("pay", "payer")}), "NOT_OWNER", refused).await;
    // She may name owners, and so herself: but what she owns by that counts from the next call on.
    let owners = json!([{"name": "pay", "owners": [{"user": me}]}]);
    let both = json!({"set": "mine", "audiences": owners, "bindings": bound("pay", "payer")});
    olga.is_refused(both.clone(), "NOT_OWNER", refused).await;
    assert_eq!(root.audience("pay").await.unwrap().owners, [], "the first change is undone");
    // By a group that owns it, it is the same.
    let by_group = json!({"set": "mine", "groups": [{"name": "payers", "members": [me]}],
        "audiences": [{"name": "pay", "owners": [{"group": "payers"}]}], "bindings": bound("pay", "payer")});
    olga.is_refused(by_group, "NOT_OWNER", refused).await;
    // What she gives up she has until the end.
    let last = json!({"set": "mine", "audiences": [{"name": "stock", "owners": []}], "groups": [{"name": "night"}],
        "bindings": [{"role": "picker", "audience": "stock", "group": "night"}]});
    olga.apply(last).await.unwrap();
    olga.apply(json!({"set": "mine", "audiences": owners})).await.unwrap();
    olga.apply(both).await.unwrap();
}

#[tokio::test]
async fn a_plan_tells_nobody_what_they_may_not_read() {
    let api = AdminApi::start().await;
    let (root, alice) = (api.admin_applier().await, api.user("alice").await);
    root.apply(shop(alice)).await.unwrap();
    for (number, (missing, manifest)) in (0_u8..).zip([
        ("attributes", json!({"set": "x", "attributes": [{"name": "team"}]})),
        ("clients", json!({"set": "x", "clients": [{"name": "billing"}]})),
        ("audiences", json!({"set": "x", "audiences": [{"name": "stock"}]})),
        ("roles", json!({"set": "x", "roles": [{"name": "picker", "audience": "stock"}]})),
        ("groups", json!({"set": "x", "groups": [{"name": "night"}]})),
        (
            "users",
            json!({"set": "x", "audiences": [{"name": "stock", "owners": [{"user": {"id": alice.to_string()}}]}]}),
        ),
        (
            "bindings",
            json!({"set": "x", "bindings": [{"role": "picker", "audience": "stock", "client": "app"}]}),
        ),
        // What the set of another has made.
        ("clients", json!({"set": "shop"})),
    ]) {
        let scope = format!("signet.{missing}.read");
        let others: Vec<_> = APPLIES.split_whitespace().filter(|other| *other != scope).collect();
        let bob = api.applier(&format!("reader{number}"), &others.join(" ")).await;
        let asked = ApplyManifestRequest { validate_only: true, ..request(manifest.clone()) };
        let refused = assert_refused(bob.ask(asked).await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
        assert_eq!(told(&refused, "required_scope"), scope, "{manifest}");
        let refused = assert_refused(bob.export().await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
        assert_eq!(told(&refused, "required_scope"), scope);
    }
    // What somebody else has hung on what is pruned.
    root.apply(json!({"set": "roles", "roles": [{"name": "packer", "audience": "stock"}]})).await.unwrap();
    let bound = json!({"role": "packer", "audience": "stock", "user": {"id": alice.to_string()}});
    root.apply(json!({"set": "bindings", "bindings": [bound]})).await.unwrap();
    let bob = api.applier("pruner", &APPLIES.replace(" signet.users.read", "")).await;
    let prune = |prune| ApplyManifestRequest {
        prune,
        take_over: true,
        validate_only: true,
        ..request(json!({"set": "roles"}))
    };
    assert_eq!(
        bob.ask(prune(false)).await.unwrap().not_in_manifest,
        ["role `packer` of the audience `stock`"]
    );
    let refused = assert_refused(bob.ask(prune(true)).await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
    assert_eq!(told(&refused, "required_scope"), "signet.users.read");
}

#[tokio::test]
async fn a_pipeline_goes_on_with_the_scopes_that_it_began_with() {
    let api = AdminApi::start().await;
    let scopes = "signet.manifests.apply signet.roles.read signet.groups.read signet.groups.write \
                  signet.bindings.read signet.bindings.write";
    let ci = api.applier("ci", scopes).await;
    let groups = json!([{"name": "pickers"}]);
    let manifest = json!({"set": "stock", "groups": groups,
        "roles": [{"name": "picker", "audience": "stock", "scopes": ["stock.pick"]}],
        "bindings": [{"role": "picker", "audience": "stock", "group": "pickers"}]});
    assert_ne!(ci.apply(manifest.clone()).await.unwrap().changes, []);
    assert_eq!(ci.apply(manifest).await.unwrap().changes, []);
    let (less, role) = (json!({"set": "stock", "groups": groups}), "role `picker` of the audience `stock`");
    let mut left = ci.apply(less.clone()).await.unwrap().not_in_manifest;
    left.sort();
    assert_eq!(left, [format!("binding of the group `pickers` to the {role}"), role.to_owned()]);
    let pruned = ci.ask(ApplyManifestRequest { prune: true, ..request(less) }).await.unwrap();
    assert_eq!(pruned.changes.len(), 2, "{pruned:?}");

    // What the set of another has bound is told by name, to who may read it.
    let (root, alice) = (api.admin_applier().await, api.user("alice").await);
    let bound = json!([{"role": "auditor", "user": {"id": alice.to_string()}}]);
    root.apply(json!({"set": "staff", "bindings": bound})).await.unwrap();
    let nothing = |prune| ApplyManifestRequest {
        prune,
        take_over: true,
        validate_only: true,
        ..request(json!({"set": "staff"}))
    };
    for prune in [false, true] {
        let refused =
            assert_refused(ci.ask(nothing(prune)).await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
        assert_eq!(told(&refused, "required_scope"), "signet.users.read");
    }
    let named = "binding of the user `alice` to the role `auditor` of the audience `signet`";
    assert_eq!(root.ask(nothing(false)).await.unwrap().not_in_manifest, [named]);
    assert_eq!(root.ask(nothing(true)).await.unwrap().changes[0].resource, named);
}

#[tokio::test]
async fn a_set_is_whose_who_applied_it_first_until_another_takes_it_over() {
    let api = AdminApi::start().await;
    let scopes = format!("{APPLIES} signet.groups.write");
    let (one, other) = (api.applier("alice", &scopes).await, api.applier("bob", &scopes).await);
    let groups = |names: &[&str]| {
        let groups: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"set": "shop", "groups": groups})
    };
    one.apply(groups(&["night"])).await.unwrap();
    let refused =
        assert_refused(other.apply(groups(&["day"])).await, Code::FailedPrecondition, "SET_OF_ANOTHER");
    assert!(refused.message().contains(&one.id.to_string()), "{refused:?}");
    // Also of what changes nothing; and it is told of like other refusals.
    assert_refused(other.apply(groups(&["night"])).await, Code::FailedPrecondition, "SET_OF_ANOTHER");
    api.audited("admin.refused", 1).await;
    let prune = ApplyManifestRequest { prune: true, ..request(groups(&[])) };
    assert_refused(other.ask(prune.clone()).await, Code::FailedPrecondition, "SET_OF_ANOTHER");

    let take_over = ApplyManifestRequest { take_over: true, ..request(groups(&["night"])) };
    let taken = other.ask(take_over.clone()).await.unwrap();
    assert_eq!((taken.changes.len(), &*taken.changes[0].resource), (1, "set `shop`"), "{taken:?}");
    assert_eq!(other.ask(take_over).await.unwrap().changes, []);
    assert_refused(one.apply(groups(&["day"])).await, Code::FailedPrecondition, "SET_OF_ANOTHER");
    api.audited("manifest.set_taken", 1).await;
    other.ask(prune).await.unwrap();
    // It stays whose it is, though there is nothing of it left; until they are deleted.
    assert_refused(one.apply(groups(&["day"])).await, Code::FailedPrecondition, "SET_OF_ANOTHER");
    let now = api.server.clock.now();
    applied(api.store.delete_users(other.id, &|_| None, by_operator(now)).await.unwrap());
    one.apply(groups(&["day"])).await.unwrap();
}

#[tokio::test]
async fn a_secret_is_one_clients_alone() {
    let api = AdminApi::start().await;
    let root = api.admin_applier().await;
    let clients = |names: &[&str]| {
        let clients: Vec<_> = names.iter().map(|name| json!({"name": name, "secret": SECRET})).collect();
        json!({"set": "shop", "clients": clients})
    };
    for (manifest, change) in
        [(clients(&["one", "two"]), "client `two`"), (clients(&["three"]), "client `three`")]
    {
        let refused = assert_refused(root.apply(manifest).await, Code::InvalidArgument, "MANIFEST_REFUSED");
        assert_eq!(told(&refused, "change"), change, "{refused:?}");
        root.apply(clients(&["one"])).await.unwrap();
    }
}

#[tokio::test]
async fn one_is_applied_at_a_time_on_all_replicas() {
    let api = AdminApi::start().await;
    let root = api.admin_applier().await;
    let (elsewhere, now) = (Lease::of_leader(Uuid::from_u128(7)), api.server.clock.now());
    assert!(api.store.take_lease("manifests", elsewhere, now).await.unwrap());
    let manifest = || json!({"set": "shop", "groups": [{"name": "night"}]});
    let refused = assert_refused(root.apply(manifest()).await, Code::ResourceExhausted, "APPLY_UNDER_WAY");
    assert!(refused.get_details_retry_info().is_some());
    api.store.give_back_lease("manifests", elsewhere, now).await.unwrap();
    let (one, other) = tokio::join!(root.apply(manifest()), root.apply(manifest()));
    assert_eq!(
        one.unwrap().changes.len() + other.unwrap().changes.len(),
        1,
        "the other waits, and finds it done"
    );
    root.apply(json!({"set": "shop", "groups": [{"name": "day"}]})).await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_anything_is_written() {
    let api = AdminApi::start().await;
    let root = api.admin_applier().await;
    let role =
        |name: &str, bytes: usize| json!({"name": name, "audience": "stock", "scopes": ["x".repeat(bytes)]});
    // More than any other message may have, and refused only for what it says.
    let scopes: Vec<_> = (0..1_001).map(|number| role(&format!("role-{number}"), 100)).collect();
    let refused = root.apply(json!({"set": "shop", "roles": scopes, "groups": [{"name": "night"}]})).await;
    assert_refused(refused, Code::FailedPrecondition, "LIMIT_REACHED");
    let groups: Vec<_> = (0..5_001).map(|number| json!({"name": format!("group-{number}")})).collect();
    let many = root.apply(json!({"set": "shop", "groups": groups})).await;
    let refused = assert_refused(many, Code::InvalidArgument, "MANIFEST_REFUSED");
    assert!(refused.message().contains("5000"), "{refused:?}");
    let empty: Vec<_> = (0..100_000).map(|_| json!({})).collect();
    let heavy = root.apply(json!({"set": "shop", "bindings": empty})).await;
    let refused = assert_refused(heavy, Code::InvalidArgument, "MANIFEST_REFUSED");
    assert!(refused.message().contains("more than is read at once"), "{refused:?}");
    let huge = root.apply(json!({"set": "shop", "roles": [role("picker", (4 << 20) + 4_096)]})).await;
    let refused = assert_refused(huge, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert_eq!(told(&refused, "max_message_bytes"), (4 << 20).to_string());
    let (_, token) = api.administrator(BuiltInRole::UserManager, "trent").await;
    let trent = api.applies(root.id, token).await;
    let other = trent.apply(json!({"set": "shop", "roles": [role("picker", 1 << 17)]})).await;
    let refused = assert_refused(other, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert_eq!(told(&refused, "max_message_bytes"), "65536", "who may not apply it has no room for it");
    // Many problems are told within headers.
    let wrong: Vec<_> = (0..100).map(|_| json!({"name": "Wrong Name"})).collect();
    let refused = assert_refused(
        root.apply(json!({"set": "shop", "groups": wrong})).await,
        Code::InvalidArgument,
        "MANIFEST_REFUSED",
    );
    assert!(
        refused.message().starts_with("groups[0]: ") && refused.message().ends_with("and 90 more"),
        "{refused:?}"
    );
    assert_eq!(root.export().await.unwrap().groups, []);
}
