//! Owns what the commands of roles, groups, bindings, audiences and access promise, to people and with --json to programs.

use std::fs;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use signet_migrations::{Migrator, MigratorTrait};

use crate::{
    commands::{field, to_the_second},
    harness::{Finished, Place},
    support::database::migrations_from,
};

impl Place {
    /// Runs `line`, which must succeed.
    async fn done(&self, line: &str) -> Finished {
        self.run(&line.split(' ').collect::<Vec<_>>()).await.succeeded()
    }

    /// Runs `line`, which must fail, and returns the sentence.
    async fn refused(&self, line: &str) -> String {
        self.run(&line.split(' ').collect::<Vec<_>>()).await.failed(1).to_owned()
    }

    /// Each scope that `access show` shows, and what gives it.
    async fn access(&self, of: &str) -> Vec<(String, String)> {
        let shown = self.done(&format!("access show {of}")).await.stdout;
        let row = |line: &str| {
            let (scope, ways) = line.split_once("  ").unwrap();
            (scope.to_owned(), ways.trim().to_owned())
        };
        shown.lines().skip(1).map(row).collect()
    }
}

fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(scope, ways)| ((*scope).to_owned(), (*ways).to_owned())).collect()
}

#[tokio::test]
async fn a_role_is_made_given_by_a_binding_and_by_a_group_and_taken_away() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let made = place
        .done(
            "roles create picker --audience stock --scope stock.pick --scope stock.look --description Picks.",
        )
        .await;
    for (name, value) in [
        ("name", "picker"),
        ("audience", "stock"),
        ("scopes", "stock.pick stock.look"),
        ("description", "Picks."),
    ] {
        assert_eq!(field(&made, name), value, "{name}");
    }
    place.done("roles create packer --audience stock --scope stock.pack").await;
    let bound = place.done("roles bind picker --audience stock --user alice --expires 8h").await;
    assert!(field(&bound, "user").starts_with("alice (") && field(&bound, "ends").ends_with('Z'));
    place.done("groups create night").await;
    assert_eq!(place.done("groups add night --user alice").await.stdout, "alice is in night.\n");
    for role in ["picker", "packer"] {
        place.done(&format!("roles bind {role} --audience stock --group night")).await;
    }
    let end = field(&bound, "ends");
    let by_both = format!("picker until {}; picker by the group night", to_the_second(&json!(end)));
    let all =
        [("stock.look", &*by_both), ("stock.pack", "packer by the group night"), ("stock.pick", &by_both)];
    assert_eq!(place.access("alice --audience stock").await, rows(&all));
    assert_eq!(
        place.access("alice").await,
        rows(&[("account", "everyone"), ("profile", "everyone")]),
        "at the service itself"
    );

    place.done("roles unbind picker --audience stock --user alice").await;
    place.done("roles update picker --audience stock --remove-scope stock.look").await;
    place.done("roles update everyone --audience stock --add-scope stock.see").await;
    let left = [
        ("stock.pack", "packer by the group night"),
        ("stock.pick", "picker by the group night"),
        ("stock.see", "everyone"),
    ];
    assert_eq!(place.access("alice --audience stock").await, rows(&left));
    place.done("groups remove night --user alice").await;
    assert_eq!(place.access("alice --audience stock").await, rows(&[("stock.see", "everyone")]));
    place.done("groups delete night").await;
    place.done("roles delete picker --audience stock").await;
    assert_eq!(place.done("bindings list --json").await.stdout, "");
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    place.done("roles create picker --audience stock --scope pick").await;
    place.done("groups create night").await;
    for (line, sentence) in [
        ("roles create picker --audience stock", "the audience `stock` has a role `picker` already"),
        (
            "roles create admin",
            "the role `admin` of the service itself is built in: nobody makes, changes or deletes it",
        ),
        (
            "roles update auditor --add-scope see",
            "the role `auditor` of the service itself is built in: nobody makes, changes or deletes it",
        ),
        (
            "roles delete user-manager",
            "the role `user-manager` of the service itself is built in: nobody makes, changes or deletes it",
        ),
        (
            "roles create boss --audience stock --scope signet.users.write",
            "scopes that begin with `signet.` administer the service itself: only roles of the audience `signet` give them, \
             `everyone` does not, and only those that this release knows: `signet.users.write`",
        ),
        (
            "roles update picker --audience stock --add-scope signet.audit.read",
            "scopes that begin with `signet.` administer the service itself: only roles of the audience `signet` give them, \
             `everyone` does not, and only those that this release knows: `signet.audit.read`",
        ),
        (
            "roles create desk --scope signet.users.read --scope signet.of-tomorrow",
            "scopes that begin with `signet.` administer the service itself: only roles of the audience `signet` give them, \
             `everyone` does not, and only those that this release knows: `signet.of-tomorrow`",
        ),
        (
            "roles delete everyone --audience stock",
            "every user has the role `everyone`: it is given to nobody, and cannot be deleted",
        ),
        (
            "roles bind everyone --audience stock --user alice",
            "every user has the role `everyone`: it is given to nobody, and cannot be deleted",
        ),
        ("roles bind picker --user alice", "there is no role `picker` of the audience `signet`"),
        ("roles bind picker --audience stock --user bob", "there is no user `bob`"),
        ("roles bind picker --audience stock --client shop", "there is no client `shop`"),
        ("roles bind picker --audience stock --group day", "there is no group `day`"),
        (
            "roles unbind picker --audience stock --user alice",
            "the user `alice` does not have the role `picker` by a binding of its own",
        ),
        ("groups create night", "there is a group `night` already"),
        ("groups remove night --user alice", "the user `alice` is not in the group `night`"),
        (
            "audiences add-owner nowhere --user alice",
            "there is no audience `nowhere`: the first role or client that names it makes it",
        ),
        ("audiences remove-owner stock --user alice", "the user `alice` does not own the audience `stock`"),
    ] {
        assert_eq!(place.refused(line).await, sentence, "{line}");
    }
    let refused = place.run(&["roles", "create", "signet.boss"]).await;
    assert!(refused.failed(2).contains("must not begin with `signet.`"), "{refused:?}");
    let refused = place.run(&["roles", "bind", "picker"]).await;
    assert!(refused.failed(2).contains("--user"), "{refused:?}");
}

#[tokio::test]
async fn the_first_admin_is_made_at_the_shell() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let roles = place.done("roles list --json").await.objects();
    let scopes_of = |name: &str| -> Vec<&str> {
        let role = roles.iter().find(|role| role["name"] == name).unwrap();
        assert_eq!(role["audience"], "signet");
        role["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect()
    };
    assert!(scopes_of("admin").contains(&"signet.bindings.write"));
    assert!(scopes_of("user-manager").contains(&"signet.users.reset"));
    assert!(scopes_of("auditor").iter().all(|scope| scope.rsplit('.').next() == Some("read")));

    place.done("roles bind admin --user alice").await;
    let access = place.access("alice").await;
    assert!(access.contains(&("signet.users.write".to_owned(), "admin".to_owned())), "{access:?}");
    place.done("roles unbind admin --user alice").await;
    assert_eq!(place.access("alice").await, rows(&[("account", "everyone"), ("profile", "everyone")]));
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_by_what_is_known() {
    let place = Place::migrated().await;
    let alice = place.create_user("alice").await["id"].clone();
    place.done("clients create shop").await;
    for name in ["picker", "packer"] {
        place.done(&format!("roles create {name} --audience stock --scope stock.{name}")).await;
    }
    place.done("roles create reader --audience orders --scope orders.read").await;
    place.done("roles bind picker --audience stock --user alice --expires 1h").await;
    place.done("roles bind packer --audience stock --client shop").await;
    place.done("roles bind reader --audience orders --user alice").await;
    let names = async |line: &str| -> Vec<String> {
        let rows = place.done(&format!("{line} --json")).await.objects();
        let name = |row: &Value| row.get("role").or(row.get("name")).unwrap().as_str().unwrap().to_owned();
        rows.iter().map(name).collect()
    };
    let roles = place.done("roles list --audience stock --json").await.objects();
    // The first role of an audience and its role `everyone` are made at one moment, in either order.
    let mut listed = names("roles list --audience stock").await;
    assert_eq!(listed.pop().as_deref(), Some("packer"));
    listed.sort();
    assert_eq!(listed, ["everyone", "picker"]);
    let after = format!("roles list --audience stock --after {} --limit 1", roles[1]["id"].as_str().unwrap());
    assert_eq!(names(&after).await, ["packer"]);
    assert_eq!(names("bindings list").await, ["picker", "packer", "reader"]);
    assert_eq!(names("bindings list --user alice").await, ["picker", "reader"]);
    assert_eq!(names("bindings list --client shop").await, ["packer"]);
    assert_eq!(names("bindings list --audience orders").await, ["reader"]);
    assert_eq!(names("bindings list --audience stock --role packer").await, ["packer"]);
    assert_eq!(names("bindings list --audience stock --scope stock.picker").await, ["picker"]);
    assert_eq!(names("bindings list --expires-within 2h").await, ["picker"]);
    assert_eq!(names("bindings list --expires-within 30m").await, [""; 0]);

    place.done("groups create night").await;
    place.done("groups create day").await;
    place.done("groups add day --user alice").await;
    assert_eq!(names("groups list").await, ["night", "day"]);
    assert_eq!(names("groups list --user alice").await, ["day"]);
    let members = place.done("groups members day --json").await.objects();
    assert_eq!(
        members.iter().map(|row| (&row["user_id"], &row["username"])).collect::<Vec<_>>(),
        [(&alice, &json!("alice"))]
    );

    let owner = "audiences add-owner stock --group night --json";
    assert_eq!(place.done(owner).await.object()["owner"]["name"], "night");
    assert_eq!(names("audiences list").await, ["orders", "signet", "stock"]);
    assert_eq!(names("audiences list --after orders --limit 1").await, ["signet"]);
    let listed = place.done("audiences list").await.stdout;
    assert!(
        listed.lines().any(|line| line.contains("  stock  ") && line.ends_with("  group night")),
        "{listed}"
    );
    place.done("audiences remove-owner stock --group night").await;
}

#[tokio::test]
async fn an_audience_asks_for_what_its_tokens_are_called() {
    let place = Place::migrated().await;
    place.done("roles create picker --audience stock --scope stock.pick").await;
    let shown = place.done("audiences show stock").await.stdout;
    assert!(shown.starts_with("name:      stock\ntoken typ: at+jwt\nowners:    -\ncreated:   "), "{shown}");
    let updated = place.done("audiences update stock --token-typ JWT --json").await.object();
    assert_eq!((&updated["name"], &updated["token_typ"]), (&json!("stock"), &json!("JWT")));
    assert_eq!(place.done("audiences show stock --json").await.object(), updated);
    let listed = place.done("audiences list").await.stdout;
    assert!(listed.lines().any(|line| line.contains("  stock ") && line.contains("  JWT     -")), "{listed}");

    place.done("export -f exported.yaml").await;
    assert!(place.done("apply -f exported.yaml --dry-run").await.stdout.contains("Nothing is to be changed"));
    place.done("audiences update stock --token-typ at+jwt").await;
    let applied = place.done("apply -f exported.yaml --yes").await.stdout;
    assert!(applied.contains("~ audience `stock`\n    token_typ: at+jwt -> JWT"), "{applied}");
    place.done("audiences update stock --token-typ=at+jwt --quiet").await;

    let event = "audit list --event audience.updated --json";
    let told = place.done(event).await.objects();
    assert_eq!(told.len(), 4, "{told:?}");
    let refused = place.run(&["audiences", "update", "signet", "--token-typ", "JWT"]).await;
    let only = "the token_typ must be `at+jwt` for Signet itself, which takes no other token";
    assert_eq!(refused.failed(2), only);
    assert_eq!(
        place.refused("audiences update nowhere --token-typ JWT").await,
        "there is no audience `nowhere`: the first role or client that names it makes it"
    );
    let refused = place.run(&["audiences", "update", "stock", "--token-typ", "jws"]).await;
    assert!(refused.failed(2).contains("at+jwt, JWT"), "{refused:?}");
}

#[tokio::test]
async fn a_client_is_changed_without_ending_anything() {
    let place = Place::migrated().await;
    let made =
        place.done("clients create shop --scope profile --scope read --allow-audience stock --json").await;
    let id = made.object()["id"].as_str().unwrap().to_owned();
    let changed = place
        .done(
            "clients update shop --name store --add-scope write --remove-scope read --add-audience orders \
             --add-token-claim roles",
        )
        .await;
    for (name, value) in [
        ("id", id.as_str()),
        ("name", "store"),
        ("scopes", "profile write"),
        ("audiences", "stock orders"),
        ("token claims", "roles"),
        ("secrets", "1"),
    ] {
        assert_eq!(field(&changed, name), value, "{name}");
    }
    place.done("clients create other").await;
    assert_eq!(place.refused("clients update other --name store").await, "the name is taken");
    let args = ["clients", "update", "store", "--remove-audience", "stock", "--remove-audience", "orders"];
    let refused = place.run(&args).await;
    assert!(refused.failed(2).starts_with("the audiences must not all go"), "{refused:?}");
    let audiences = place.done("audiences list --json").await.objects();
    let audiences: Vec<_> = audiences.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(audiences, ["orders", "signet", "stock"], "each audience of a client is one");
}

#[tokio::test]
async fn the_services_own_audience_is_one_by_whatever_name() {
    let place = Place::migrated().await;
    let own = |line: &str| {
        let args: Vec<_> = line.split(' ').collect();
        place.signet(&args).env("SIGNET_AUDIENCE", "https://id.example")
    };
    for audience in ["", " --audience signet", " --audience https://id.example"] {
        let updated = own(&format!("roles update everyone{audience}")).run().await.succeeded();
        assert_eq!(field(&updated, "audience"), "signet");
    }
}

#[tokio::test]
async fn what_is_done_to_roles_is_audited() {
    let place = Place::migrated().await;
    let alice = place.create_user("alice").await["id"].clone();
    let log = place.path("audit.log");
    for line in [
        "roles create picker --audience stock --scope pick",
        "roles update picker --audience stock --add-scope look",
        "roles update picker --audience stock --add-scope look",
        "roles bind picker --audience stock --user alice",
        "roles bind picker --audience stock --user alice",
        "groups create night",
        "groups add night --user alice",
        "groups add night --user alice",
        "audiences add-owner stock --group night",
        "audiences remove-owner stock --group night",
        "roles unbind picker --audience stock --user alice",
        "groups remove night --user alice",
        "groups delete night",
        "roles delete picker --audience stock",
    ] {
        place.done(&format!("{line} --audit-log={}", log.display())).await;
    }
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let expected = [
        "role.created",
        "role.updated",
        "role.bound",
        "group.created",
        "group.member_added",
        "audience.owner_added",
        "audience.owner_removed",
        "role.unbound",
        "group.member_removed",
        "group.deleted",
        "role.deleted",
    ];
    assert_eq!(events, expected, "what changes nothing is no event");
    assert_eq!(lines[1]["changed"], json!(["scopes"]));
    let bound = &lines[2];
    assert_eq!((&bound["user_id"], &bound["audience"]), (&alice, &json!("stock")));
    assert_eq!(bound["role_id"], lines[0]["role_id"]);
    assert!(lines[5]["group_id"].is_string() && lines[5].get("user_id").is_none());
}

#[tokio::test]
async fn an_upgrade_prints_what_every_user_has() {
    let place = Place::migrated().await;
    place
        .done("clients create shop --scope profile --scope read --scope introspect --allow-audience stock")
        .await;
    place.done("clients create app --scope profile --scope pay").await;
    let db = place.connect().await;
    Migrator::down(&db, Some(migrations_from("_roles"))).await.unwrap();
    db.close().await.unwrap();
    let told = place.done("migrate up --json").await.object();
    let everyone = told["everyone"].as_array().unwrap();
    let everyone: Vec<_> = everyone.iter().map(|role| (&role["audience"], &role["scopes"])).collect();
    let signet = (&json!("signet"), &json!(["account", "pay", "profile"]));
    assert_eq!(everyone, [signet, (&json!("stock"), &json!(["profile", "read"]))], "{told}");
    assert_eq!(field(&place.done("clients show app").await, "scopes"), "profile pay account");
    assert_eq!(place.done("migrate up").await.stdout, "The schema is up to date.\n");
}

#[tokio::test]
async fn what_an_upgrade_gives_everybody_can_be_taken_away_however_much_it_is() {
    let place = Place::migrated().await;
    for (name, numbers) in [("shop", 0..100), ("depot", 100..200)] {
        let scopes: Vec<_> = numbers.map(|number| format!("--scope s{number}")).collect();
        place.done(&format!("clients create {name} --allow-audience stock {}", scopes.join(" "))).await;
    }
    let db = place.connect().await;
    Migrator::down(&db, Some(migrations_from("_roles"))).await.unwrap();
    db.close().await.unwrap();
    place.done("migrate up").await;
    place.done("roles update everyone --audience stock --remove-scope s7").await;
    let listed = place.done("roles list --audience stock --json").await.object();
    let scopes = listed["scopes"].as_array().unwrap();
    assert_eq!(scopes.len(), 199, "of 200, more than a role is given");
    assert!(!scopes.contains(&json!("s7")));
}

#[tokio::test]
async fn whoever_comes_back_under_an_old_id_has_nothing_of_the_one_before() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let exported = place.run(&["users", "export", "-"]).await.succeeded().stdout;
    place.done("roles create picker --audience stock --scope stock.pick").await;
    place.done("roles create packer --audience stock --scope stock.pack").await;
    place.done("groups create night").await;
    place.done("groups add night --user alice").await;
    place.done("roles bind picker --audience stock --user alice").await;
    place.done("roles bind packer --audience stock --group night").await;
    place.done("audiences add-owner stock --user alice").await;
    // As the release before deletes a user.
    let db = place.connect().await;
    db.execute_unprepared("DELETE FROM users").await.unwrap();
    db.close().await.unwrap();
    place.signet(&["users", "import", "-"]).stdin(&exported).run().await.succeeded();
    assert_eq!(place.access("alice --audience stock").await, rows(&[]));
    assert_eq!(place.done("groups members night --json").await.stdout, "");
    let stock = place.done("audiences list --json").await.objects();
    let stock = stock.iter().find(|audience| audience["name"] == "stock").unwrap();
    assert_eq!(stock["owners"], json!([]), "{stock}");
}
