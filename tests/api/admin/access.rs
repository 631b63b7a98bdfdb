//! Owns who may give what to whom: a user-manager does not become an admin, an owner rules no audience but its own, the last admin stays,
//! and what is taken away is gone on the next call.

use std::fmt::Debug;

use prost_types::FieldMask;
use signet::{
    model::BuiltInRole,
    proto::identity::admin::v1::{
        Binding, ListBindingsRequest, Principal, Role, UpdateBindingRequest, scope_access::Way,
    },
};
use tonic::{Code, Status};

use super::{
    AdminApi,
    caller::{Caller, client, group, in_the_future, told, user},
};
use crate::{
    clients::{Wanted, operator, register},
    harness::assert_refused,
};

/// The binding of `role` to `subject`.
async fn binding_of(by: &Caller, role: &Role, subject: Principal) -> Binding {
    let request =
        ListBindingsRequest { role_id: role.id.clone(), subject: Some(subject), ..Default::default() };
    let listed = by.roles.clone().list_bindings(by.ask(request)).await.unwrap().into_inner();
    listed.bindings.into_iter().next().unwrap()
}

/// `binding` ends now, by `by`.
async fn end(api: &AdminApi, by: &Caller, binding: &Binding) -> Result<(), Status> {
    let now = Some(in_the_future(api, std::time::Duration::ZERO));
    let binding = Binding { expire_time: now, etag: String::new(), ..binding.clone() };
    let update_mask = Some(FieldMask { paths: vec!["expire_time".to_owned()] });
    let request = UpdateBindingRequest { binding: Some(binding), update_mask, ..Default::default() };
    by.roles.clone().update_binding(by.ask(request)).await.map(drop)
}

fn denied<T: Debug>(answer: Result<T, Status>) -> String {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    tonic_types::StatusExt::get_details_error_info(&status).unwrap().reason
}

#[tokio::test]
async fn a_user_manager_does_not_become_an_admin() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let (manager, bob) = (api.caller(BuiltInRole::UserManager, "mallory").await, api.user("bob").await);
    let admin = root.role("signet", "admin").await.unwrap();
    let own_role = root.role("signet", "user-manager").await.unwrap();
    let admins = root.create_group("admins").await.unwrap();
    root.bind(&admin.id, group(&admins.id)).await.unwrap();
    let desk = root.create_role("signet", "desk", "signet.users.read").await.unwrap();
    let roots = binding_of(&root, &admin, root.principal()).await;

    // By itself it has no say in roles, and none in groups.
    for (what, refused) in [
        ("a binding", manager.bind(&admin.id, manager.principal()).await.map(drop)),
        ("a binding of what it has", manager.bind(&own_role.id, user(bob)).await.map(drop)),
        ("a role", manager.create_role("signet", "mine", "signet.keys.write").await.map(drop)),
        (
            "a role with what it has",
            manager.create_role("signet", "mine", "signet.users.read").await.map(drop),
        ),
        ("a role of another audience", manager.create_role("stock", "mine", "stock.pick").await.map(drop)),
        ("a role's scopes", manager.set_scopes(&desk, "signet.users.read signet.keys.write").await.map(drop)),
        ("a role that others have", manager.delete_role(&desk.id).await),
        ("an admin's binding", manager.unbind(&roots.id).await),
        ("an admin's end", end(&api, &manager, &roots).await),
    ] {
        assert_eq!(denied(refused), "NOT_OWNER", "{what}");
    }
    for (what, refused) in [
        ("a group's member", manager.join(&admins.id, manager.id).await.map(drop)),
        ("a group of admins", manager.delete_group(&admins.id).await),
        ("an admin's membership", manager.leave(&admins.id, root.id).await),
        ("an audience", manager.set_owners("signet", &[manager.principal()]).await.map(drop)),
    ] {
        assert_eq!(denied(refused), "INSUFFICIENT_SCOPE", "{what}");
    }
    assert!(
        api.audited("role.bound", 1).await[0]["actor_id"] == root.id.to_string(),
        "nothing else was done"
    );
}

#[tokio::test]
async fn an_owner_of_the_service_itself_gives_nothing_that_it_lacks() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let (owner, bob) = (api.caller(BuiltInRole::UserManager, "olga").await, api.user("bob").await);
    root.set_owners("signet", &[owner.principal()]).await.unwrap();
    let admin = root.role("signet", "admin").await.unwrap();
    let keys = root.create_role("signet", "keys", "signet.keys.write signet.users.read").await.unwrap();
    let roots = binding_of(&root, &admin, root.principal()).await;

    // What it has it gives, and what is not of the service's administration.
    let desk = owner.create_role("signet", "desk", "signet.users.read stamps").await.unwrap();
    let given = owner.bind(&desk.id, user(bob)).await.unwrap();
    owner.unbind(&given.id).await.unwrap();

    let lacking = |refused: Result<(), Status>, reason: &str| {
        told(&assert_refused(refused, Code::PermissionDenied, reason), "scope")
    };
    for refused in [
        owner.bind(&keys.id, owner.principal()).await.map(drop),
        owner.create_role("signet", "mine", "signet.keys.write signet.users.read").await.map(drop),
        owner.set_scopes(&desk, "signet.users.read signet.keys.write").await.map(drop),
    ] {
        assert_eq!(lacking(refused, "GRANT_NOT_HELD"), "signet.keys.write");
    }
    for refused in [owner.delete_role(&keys.id).await, owner.set_scopes(&keys, "").await.map(drop)] {
        assert_eq!(lacking(refused, "HOLDS_MORE"), "signet.keys.write");
    }
    assert!(lacking(owner.bind(&admin.id, owner.principal()).await.map(drop), "GRANT_NOT_HELD").len() > 100);
    assert!(lacking(owner.unbind(&roots.id).await, "HOLDS_MORE").len() > 100);
    assert!(lacking(end(&api, &owner, &roots).await, "GRANT_NOT_HELD").len() > 100);

    // Not even an admin gives such a scope elsewhere, or to everyone, or one that nobody knows.
    let everyone = root.role("signet", "everyone").await.unwrap();
    for (refused, scope) in [
        (root.create_role("stock", "boss", "signet.keys.write").await, "signet.keys.write"),
        (root.set_scopes(&everyone, "profile account signet.audit.read").await, "signet.audit.read"),
        (root.create_role("signet", "boss", "signet.of-tomorrow").await, "signet.of-tomorrow"),
    ] {
        assert_eq!(told(&assert_refused(refused, Code::InvalidArgument, "RESERVED"), "scope"), scope);
    }
}

#[tokio::test]
async fn a_group_gives_what_whoever_adds_to_it_could_give() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let bob = api.user("bob").await;
    // Groups alone, and nothing else.
    let clerks = root.create_role("signet", "clerk", "signet.groups.read signet.groups.write").await.unwrap();
    let clerk = api.nobody("clara").await;
    root.bind(&clerks.id, clerk.principal()).await.unwrap();
    let token = api.log_in("clara", "signet.groups.read signet.groups.write").await.access_token;
    let clerk = clerk.by(api.channel().await, &token);

    let night = clerk.create_group("night").await.unwrap();
    clerk.join(&night.id, bob).await.unwrap();
    let picker = root.create_role("stock", "picker", "stock.pick").await.unwrap();
    root.bind(&picker.id, group(&night.id)).await.unwrap();
    let refuse = async |reason: &str| {
        for refused in [
            clerk.join(&night.id, clerk.id).await.map(drop),
            clerk.leave(&night.id, bob).await,
            clerk.delete_group(&night.id).await,
        ] {
            assert_eq!(denied(refused), reason);
        }
    };
    refuse("NOT_OWNER").await;
    root.set_owners("stock", &[clerk.principal()]).await.unwrap();
    clerk.join(&night.id, clerk.id).await.unwrap();
    clerk.leave(&night.id, clerk.id).await.unwrap();

    // The service itself is another matter: to own it does not suffice.
    let keys = root.create_role("signet", "keys", "signet.keys.write").await.unwrap();
    root.bind(&keys.id, group(&night.id)).await.unwrap();
    root.set_owners("signet", &[clerk.principal()]).await.unwrap();
    assert_eq!(denied(clerk.join(&night.id, clerk.id).await), "GRANT_NOT_HELD");
    assert_eq!(denied(clerk.leave(&night.id, bob).await), "HOLDS_MORE");
    assert_eq!(denied(clerk.delete_group(&night.id).await), "HOLDS_MORE");
    let given = binding_of(&root, &keys, group(&night.id)).await;
    root.unbind(&given.id).await.unwrap();

    // Whoever is in a group that owns an audience owns it.
    clerk.join(&night.id, clerk.id).await.unwrap();
    root.set_owners("stock", &[clerk.principal(), group(&night.id)]).await.unwrap();
    refuse("INSUFFICIENT_SCOPE").await;
}

#[tokio::test]
async fn an_owner_of_one_audience_rules_no_other() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let (owner, bob) = (api.nobody("olga").await, api.user("bob").await);
    let picker = root.create_role("stock", "picker", "stock.pick").await.unwrap();
    let reader = root.create_role("orders", "reader", "orders.read").await.unwrap();
    let of_others = root.bind(&reader.id, user(bob)).await.unwrap();
    assert_eq!(denied(owner.bind(&picker.id, user(bob)).await), "NOT_OWNER");
    let team = root.create_group("team").await.unwrap();
    root.join(&team.id, owner.id).await.unwrap();
    root.set_owners("stock", &[group(&team.id)]).await.unwrap();

    // By the group, and with a token that has nothing of administration.
    let given = owner.bind(&picker.id, user(bob)).await.unwrap();
    owner.unbind(&given.id).await.unwrap();
    let second = owner.create_role("stock", "packer", "stock.pack").await.unwrap();
    let second = owner.set_scopes(&second, "stock.pack stock.look").await.unwrap();
    owner.delete_role(&second.id).await.unwrap();

    for refused in [
        owner.bind(&reader.id, owner.principal()).await.map(drop),
        owner.unbind(&of_others.id).await,
        owner.create_role("orders", "mine", "orders.read").await.map(drop),
        owner.create_role("new", "mine", "orders.read").await.map(drop),
        owner.set_scopes(&reader, "").await.map(drop),
        owner.delete_role(&reader.id).await,
    ] {
        let refused = assert_refused(refused, Code::PermissionDenied, "NOT_OWNER");
        assert!(["orders", "new"].contains(&told(&refused, "audience").as_str()), "{refused:?}");
    }
    assert_eq!(denied(owner.set_owners("orders", &[owner.principal()]).await), "INSUFFICIENT_SCOPE");
    assert_eq!(denied(owner.set_owners("stock", &[owner.principal()]).await), "INSUFFICIENT_SCOPE");
    root.leave(&team.id, owner.id).await.unwrap();
    assert_eq!(denied(owner.bind(&picker.id, user(bob)).await), "NOT_OWNER", "from the next call on");
}

#[tokio::test]
async fn the_last_admin_stays() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let admin = root.role("signet", "admin").await.unwrap();
    let roots = binding_of(&root, &admin, root.principal()).await;
    for refused in [root.unbind(&roots.id).await, end(&api, &root, &roots).await] {
        assert_refused(refused, Code::FailedPrecondition, "LAST_ADMIN");
    }
    // One more, by a group.
    let (admins, bob) = (root.create_group("admins").await.unwrap(), api.user("bob").await);
    root.bind(&admin.id, group(&admins.id)).await.unwrap();
    assert_refused(root.unbind(&roots.id).await, Code::FailedPrecondition, "LAST_ADMIN");
    root.join(&admins.id, bob).await.unwrap();
    let second = root.bind(&admin.id, user(bob)).await.unwrap();
    root.unbind(&second.id).await.unwrap();
    root.join(&admins.id, root.id).await.unwrap();
    root.unbind(&roots.id).await.unwrap();
    root.leave(&admins.id, bob).await.unwrap();
    for refused in [root.leave(&admins.id, root.id).await, root.delete_group(&admins.id).await] {
        assert_refused(refused, Code::FailedPrecondition, "LAST_ADMIN");
    }
}

#[tokio::test]
async fn of_two_admins_who_remove_each_other_at_once_one_stays() {
    let api = AdminApi::start().await;
    let (one, other) =
        (api.caller(BuiltInRole::Admin, "one").await, api.caller(BuiltInRole::Admin, "two").await);
    let admin = one.role("signet", "admin").await.unwrap();
    let ones = binding_of(&one, &admin, one.principal()).await;
    let others = binding_of(&one, &admin, other.principal()).await;
    let answers = tokio::join!(one.unbind(&others.id), other.unbind(&ones.id));
    let refused = match answers {
        (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
        answers => panic!("one of them: {answers:?}"),
    };
    // Whoever comes second is no admin any more.
    assert_refused(Err::<(), _>(refused), Code::PermissionDenied, "NOT_OWNER");
}

#[tokio::test]
async fn of_two_admins_who_step_back_at_once_one_stays() {
    let api = AdminApi::start().await;
    let (one, other) =
        (api.caller(BuiltInRole::Admin, "one").await, api.caller(BuiltInRole::Admin, "two").await);
    let admin = one.role("signet", "admin").await.unwrap();
    let ones = binding_of(&one, &admin, one.principal()).await;
    let others = binding_of(&one, &admin, other.principal()).await;
    let refused = match tokio::join!(one.unbind(&ones.id), other.unbind(&others.id)) {
        (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
        answers => panic!("one of them: {answers:?}"),
    };
    assert_refused(Err::<(), _>(refused), Code::FailedPrecondition, "LAST_ADMIN");
}

#[tokio::test]
async fn what_is_taken_away_is_gone_on_the_next_call() {
    let api = AdminApi::start().await;
    let (root, helper) =
        (api.caller(BuiltInRole::Admin, "rita").await, api.caller(BuiltInRole::Admin, "hugo").await);
    let admin = root.role("signet", "admin").await.unwrap();
    helper.create_role("stock", "picker", "stock.pick").await.unwrap();
    let given = binding_of(&root, &admin, helper.principal()).await;
    root.unbind(&given.id).await.unwrap();
    assert_eq!(denied(helper.create_role("stock", "packer", "stock.pack").await), "NOT_OWNER");
    assert_eq!(denied(helper.role("stock", "picker").await), "INSUFFICIENT_SCOPE");
    root.bind(&admin.id, helper.principal()).await.unwrap();
    helper.create_role("stock", "packer", "stock.pack").await.unwrap();

    // A scope that the token does not show counts no more than one that its holder lacks.
    let token = api.log_in("hugo", "signet.bindings.write").await.access_token;
    let narrow = helper.by(api.channel().await, &token);
    assert_eq!(denied(narrow.bind(&admin.id, narrow.principal()).await), "GRANT_NOT_HELD");
}

#[tokio::test]
async fn access_says_by_which_way_each_scope_comes() {
    let api = AdminApi::start().await;
    let (root, bob) = (api.caller(BuiltInRole::Admin, "rita").await, api.user("bob").await);
    let picker = root.create_role("stock", "picker", "stock.pick").await.unwrap();
    let everyone = root.role("stock", "everyone").await.unwrap();
    root.set_scopes(&everyone, "stock.see").await.unwrap();
    let night = root.create_group("night").await.unwrap();
    root.join(&night.id, bob).await.unwrap();
    let by_group = root.bind(&picker.id, group(&night.id)).await.unwrap();
    let by_itself = root.bind(&picker.id, user(bob)).await.unwrap();
    let access = root.access(user(bob), "stock").await.unwrap();
    let scopes: Vec<_> = access.iter().map(|access| access.scope.as_str()).collect();
    assert_eq!(scopes, ["stock.pick", "stock.see"]);
    let mut ways: Vec<_> =
        access[0].ways.iter().map(|way| (way.binding_id.as_str(), way.group_name.as_str())).collect();
    ways.sort_unstable_by_key(|(_, group)| *group);
    assert_eq!(ways, [(by_itself.id.as_str(), ""), (by_group.id.as_str(), "night")]);
    let (role_id, role_name) = (everyone.id, "everyone".to_owned());
    assert_eq!(access[1].ways, [Way { role_id, role_name, ..Default::default() }]);

    let wanted = Wanted { audiences: "stock", ..Wanted::confidential("stock.count") };
    let machine = register(&operator(&api.server).await, "robot", wanted).await.unwrap();
    root.bind(&picker.id, client(&machine.id)).await.unwrap();
    let access = root.access(client(&machine.id), "stock").await.unwrap();
    let scopes: Vec<_> =
        access.iter().map(|access| (access.scope.as_str(), access.ways[0].is_registered)).collect();
    assert_eq!(scopes, [("stock.count", true), ("stock.pick", false)]);
    assert_refused(root.access(group(&night.id), "stock").await, Code::InvalidArgument, "INVALID_FIELDS");
    assert!(root.access(user(bob), "nowhere").await.unwrap().is_empty());
}

#[tokio::test]
async fn access_at_the_service_itself_says_what_a_client_is_registered_with_whatever_it_is_called() {
    let api = AdminApi::start_with(&["--audience=https://id.example"]).await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let registry = operator(&api.server).await;
    let by_registration = async |name: &str, scopes: &str, audiences: &str| {
        let wanted = Wanted { audiences, ..Wanted::confidential(scopes) };
        let registered = register(&registry, name, wanted).await.unwrap();
        let access = root.access(client(&registered.id), "https://id.example").await.unwrap();
        assert!(access.iter().all(|access| access.ways[0].is_registered), "{access:?}");
        assert_eq!(access, root.access(client(&registered.id), "signet").await.unwrap());
        access.into_iter().map(|access| access.scope).collect::<Vec<_>>()
    };
    let manages = "signet.users.write";
    assert_eq!(by_registration("by-name", manages, "https://id.example stock").await, [manages]);
    assert_eq!(by_registration("by-default", manages, "").await, [manages]);
    assert!(by_registration("elsewhere", manages, "stock").await.is_empty());
    assert!(by_registration("foreign", manages, "signet").await.is_empty(), "another of that name");
    // Tokens it judges by its secret, whomever its own ones are meant for.
    assert_eq!(by_registration("gateway", "stock.read introspect", "stock").await, ["introspect"]);
}

#[tokio::test]
async fn what_a_call_has_changed_holds_at_once_where_it_was_made() {
    // The feed is read by itself once the clock has been turned, which nobody does.
    let api = AdminApi::start_as(&["--standing-cache-max-age=1m"]).await;
    let (root, guest) = (api.caller(BuiltInRole::Admin, "rita").await, api.nobody("guest").await);
    let auditor = root.role("signet", "auditor").await.unwrap();
    let scope = BuiltInRole::Auditor.scopes();
    for _ in 0..2 {
        let given = root.bind(&auditor.id, guest.principal()).await.unwrap();
        let login = api.log_in("guest", scope.as_str()).await;
        assert_eq!(login.scope, scope.as_str());
        let reader = guest.by(api.channel().await, &login.access_token);
        reader.role("signet", "auditor").await.unwrap();
        root.unbind(&given.id).await.unwrap();
        assert_eq!(denied(reader.role("signet", "auditor").await), "INSUFFICIENT_SCOPE");
    }
}
