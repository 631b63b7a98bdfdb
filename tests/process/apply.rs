//! Owns what `signet apply` and `signet export` promise: a plan, all of it or nothing, and nothing when it is done again.

use std::fs;

use crate::{commands::field, harness::Place};

/// 256 bits in base64url, as Signet makes secrets.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const OTHER: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// A manifest of the set `shop`, in which `user` is in a group.
fn shop(user: &str, name: &str) -> String {
    format!(
        "set: shop
audiences:
  - name: stock
    owners:
      - group: leads
clients:
  - name: billing
    scopes: [stock.pick]
    audiences: [stock]
    secret: env:BILLING_SECRET
  - name: app
    public: true
    scopes: [profile]
roles:
  - name: picker
    audience: stock
    scopes: [stock.pick, stock.look]
    description: Picks.
groups:
  - name: leads
  - name: night
    members:
      - {{id: {user}, name: {name}}}
bindings:
  - {{role: picker, audience: stock, group: night}}
  - role: picker
    audience: stock
    client: billing
    expire_time: 2099-01-01T00:00:00Z
"
    )
}

impl Place {
    async fn apply(&self, secret: &str, more: &[&str]) -> crate::harness::Finished {
        let args = [&["apply", "-f", "shop.yaml"], more].concat();
        self.signet(&args).envs([("BILLING_SECRET", secret)]).run().await
    }
}

#[tokio::test]
async fn what_a_manifest_names_is_made_once_and_changed_after_it() {
    let place = Place::migrated().await;
    let alice = place.create_user("alice").await["id"].as_str().unwrap().to_owned();
    let manifest = shop(&alice, "alice");
    place.write("shop.yaml", &manifest);

    let tried = place.apply(SECRET, &["--dry-run"]).await.succeeded();
    assert!(
        tried.stdout.contains("+ group `night`\n")
            && tried.stdout.ends_with("Nothing was written: --dry-run.\n")
    );
    let nobody_to_ask = place.apply(SECRET, &[]).await;
    assert!(nobody_to_ask.failed(2).contains("say --yes"));
    assert_eq!(place.run(&["groups", "list", "--json"]).await.succeeded().stdout, "", "nothing was written");

    let applied = place.apply(SECRET, &["--yes"]).await.succeeded();
    for line in [
        "+ client `billing`",
        "+ role `picker` of the audience `stock`",
        "    scopes: stock.pick stock.look",
        "~ audience `stock`",
        "    owners: group `leads`",
        "+ membership of the user `alice` in the group `night`",
        "+ binding of the group `night` to the role `picker` of the audience `stock`",
        "Applied.",
    ] {
        assert!(applied.stdout.contains(line), "{line}: {}", applied.stdout);
    }
    let shown = place.run(&["access", "show", "alice", "--audience", "stock"]).await.succeeded().stdout;
    assert!(shown.contains("picker by the group night"), "{shown}");
    let again = place.apply(SECRET, &["--yes"]).await.succeeded();
    assert_eq!(again.stdout, "Nothing is to be changed.\n");

    // The one before stays valid.
    let rotated = place.apply(OTHER, &["--yes"]).await.succeeded();
    assert_eq!(rotated.stdout, "~ client `billing`\n    secret: another one\nApplied.\n");
    let billing = place.run(&["clients", "show", "billing"]).await.succeeded();
    assert_eq!(field(&billing, "secrets"), "2");

    let less = manifest.replace("scopes: [stock.pick, stock.look]", "scopes: [stock.pick]");
    place.write("shop.yaml", &less.replace("  - name: leads\n", "  - name: leads\n    members: []\n"));
    let changed = place.apply(OTHER, &["--yes", "--json"]).await.succeeded().object();
    assert_eq!(changed["changes"][0]["action"], "update");
    assert_eq!(changed["changes"][0]["fields"][0]["new"], "stock.pick");
    assert_eq!(changed["changes"].as_array().unwrap().len(), 1);

    let events = place.run(&["audit", "list", "--json"]).await.succeeded().stdout;
    for event in
        ["manifest.applied", "client.created", "client.secret_rotated", "group.member_added", "role.bound"]
    {
        assert!(events.contains(event), "{event}: {events}");
    }
}

#[tokio::test]
async fn attributes_are_declared_changed_exported_and_pruned_and_stay_what_they_are() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let declared = "set: shop
attributes:
  - {name: team, in_tokens: true, description: Who pays.}
  - {name: motto, writer: user, in_userinfo: true}
  - {name: sites, type: string-list}
";
    place.write("shop.yaml", declared);
    let applied = place.apply(SECRET, &["--yes"]).await.succeeded();
    let team = "+ attribute `team`\n    type: string\n    writer: admin\n    uses: tokens\n    description: Who pays.\n";
    assert!(applied.stdout.starts_with(team), "{}", applied.stdout);
    assert_eq!(place.apply(SECRET, &["--yes"]).await.succeeded().stdout, "Nothing is to be changed.\n");
    place.run(&["users", "update", "alice", "--set-attribute", "team=blue"]).await.succeeded();
    place.run(&["export", "-f", "all.yaml"]).await.succeeded();
    let again = place.run(&["apply", "-f", "all.yaml", "--yes"]).await.succeeded();
    assert_eq!(
        again.stdout,
        "Nothing is to be changed.\n",
        "{}",
        fs::read_to_string(place.path("all.yaml")).unwrap()
    );

    let changed = declared.replace("in_tokens: true, ", "");
    place.write("shop.yaml", &changed);
    let applied = place.apply(SECRET, &["--yes"]).await.succeeded();
    assert_eq!(applied.stdout, "~ attribute `team`\n    uses: tokens -> none\nApplied.\n");
    for (content, code, said) in [
        (
            changed.replace("string-list", "string"),
            1,
            "has the type `string-list`, which stays, and not `string`",
        ),
        (changed.replace("writer: user", "writer: admin"), 1, "has the writer `user`, which stays"),
        (
            changed.replace("in_userinfo", "in_tokens"),
            1,
            "must not be set for an attribute that users may write",
        ),
        (changed.replace("string-list", "string-lists"), 2, "shop.yaml:5"),
        (
            changed.replace("string-list", "string-lists"),
            2,
            "`string-lists` is not known: is `string-list` meant?",
        ),
        (changed.replace("string-list", "date"), 2, "`date` is not known: there are `string`, `integer`, "),
        (changed.replace("name: sites", "name: Sites"), 2, "shop.yaml:5"),
    ] {
        place.write("shop.yaml", &content);
        let refused = place.apply(SECRET, &["--yes"]).await;
        assert!(refused.failed(code).contains(said), "{content}: {}", refused.stderr);
    }

    // What was declared by hand is not the set's.
    place.run(&["attributes", "create", "level"]).await.succeeded();
    place.write("shop.yaml", "set: shop\nattributes: [{name: sites, type: string-list}]\n");
    let pruned = place.apply(SECRET, &["--yes", "--prune"]).await.succeeded();
    let gone =
        "- attribute `motto`, and what users have of it\n- attribute `team`, and what users have of it\n";
    let lines = pruned.stdout.lines().filter(|line| line.starts_with('-'));
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    assert_eq!(lines, gone.lines().collect::<Vec<_>>());
    let alice = place.run(&["users", "show", "alice", "--json"]).await.succeeded().object();
    assert!(alice["attributes"].as_object().is_none_or(serde_json::Map::is_empty), "{alice}");
    let left = place.run(&["attributes", "list"]).await.succeeded().stdout;
    assert!(left.contains("level") && left.contains("sites") && !left.contains("team"), "{left}");
    let events = place.run(&["audit", "list", "--json"]).await.succeeded().stdout;
    for event in ["attribute.created", "attribute.updated", "attribute.deleted"] {
        assert!(events.contains(event), "{event}: {events}");
    }
}

#[tokio::test]
async fn pruning_deletes_what_the_set_made_and_nothing_else() {
    let place = Place::migrated().await;
    let alice = place.create_user("alice").await["id"].as_str().unwrap().to_owned();
    place.create_user("bob").await;
    place.run(&["groups", "create", "leads"]).await.succeeded();
    place.write("shop.yaml", &shop(&alice, "alice"));
    place.apply(SECRET, &["--yes"]).await.succeeded();
    // By hand: what the set finds as it wants it, it has not made.
    place.run(&["groups", "add", "night", "--user", "bob"]).await.succeeded();
    place.run(&["groups", "remove", "night", "--user", "alice"]).await.succeeded();
    place.run(&["groups", "add", "night", "--user", "alice"]).await.succeeded();

    place.write("shop.yaml", "set: shop\ngroups: [{name: night}]\n");
    let kept = place.apply(SECRET, &["--yes"]).await.succeeded();
    assert!(kept.stdout.contains("client `billing` is no longer in the manifest: --prune deletes it"));
    let pruned = place.apply(SECRET, &["--yes", "--prune"]).await.succeeded();
    for line in
        ["- client `billing`", "- client `app`", "- role `picker`", "- binding of the client `billing`"]
    {
        assert!(pruned.stdout.contains(line), "{line}: {}", pruned.stdout);
    }
    assert!(!pruned.stdout.contains("leads") && !pruned.stdout.contains("membership"), "{}", pruned.stdout);
    let groups = place.run(&["groups", "list"]).await.succeeded().stdout;
    assert!(groups.contains("leads") && groups.contains("night"));
    let another =
        place.run(&["apply", "-f", &place.write("other.yaml", "set: other\n"), "--yes", "--prune"]).await;
    assert_eq!(another.succeeded().stdout, "Nothing is to be changed.\n");
}

#[tokio::test]
async fn pruning_takes_members_out_of_groups_and_groups_with_whoever_is_in_them() {
    let place = Place::migrated().await;
    let alice = place.create_user("alice").await["id"].as_str().unwrap().to_owned();
    place.create_user("bob").await;
    place.run(&["groups", "create", "leads"]).await.succeeded();
    let member = format!("members: [{{id: {alice}, name: alice}}]");
    place.write(
        "shop.yaml",
        &format!("set: shop\ngroups: [{{name: leads, {member}}}, {{name: night, {member}}}]\n"),
    );
    place.apply(SECRET, &["--yes"]).await.succeeded();
    place.run(&["groups", "add", "night", "--user", "bob"]).await.succeeded();
    place.run(&["groups", "add", "leads", "--user", "bob"]).await.succeeded();
    place.write("shop.yaml", "set: shop\ngroups: [{name: night}]\n");
    let pruned = place.apply(SECRET, &["--yes", "--prune"]).await.succeeded();
    assert!(
        pruned.stdout.contains("- membership of the user `alice` in the group `leads`"),
        "{}",
        pruned.stdout
    );
    let members = place.run(&["groups", "members", "leads"]).await.succeeded().stdout;
    assert!(members.contains("bob") && !members.contains("alice"), "{members}");
    place.write("shop.yaml", "set: shop\n");
    let pruned = place.apply(SECRET, &["--yes", "--prune"]).await.succeeded();
    for line in ["- group `night`", "- membership of the user `bob` in the group `night`"] {
        assert!(pruned.stdout.contains(line), "{line}: {}", pruned.stdout);
    }
    let groups = place.run(&["groups", "list"]).await.succeeded().stdout;
    assert!(groups.contains("leads") && !groups.contains("night"), "{groups}");
}

#[tokio::test]
async fn a_manifest_is_never_applied_here_for_a_service_elsewhere() {
    let place = Place::migrated().await;
    place.write("shop.yaml", "set: shop\ngroups: [{name: night}]\n");
    for command in [&["apply", "-f", "shop.yaml", "--yes"][..], &["export", "-f", "-"]] {
        let there = place.signet(command).env("SIGNET_SERVER", "127.0.0.1:1").run().await;
        assert!(there.failed(69).contains("cannot be reached"), "{command:?}");
    }
    assert_eq!(place.run(&["groups", "list", "--json"]).await.succeeded().stdout, "");
}

#[tokio::test]
async fn who_names_a_user_by_name_alone_is_told_what_to_write() {
    let place = Place::migrated().await;
    for user in ["alice", "{id: alice}"] {
        place.write("shop.yaml", &format!("set: shop\nbindings: [{{role: auditor, user: {user}}}]\n"));
        let refused = place.run(&["apply", "-f", "shop.yaml", "--yes"]).await;
        let said = refused.failed(2);
        assert!(said.contains("a user by id, as in `{id: 0190…, name: alice}`"), "{user}: {said}");
    }
}

#[tokio::test]
async fn what_is_exported_changes_nothing_where_it_is_applied() {
    let place = Place::migrated().await;
    let alice = place.create_user("alice").await["id"].as_str().unwrap().to_owned();
    place.write("shop.yaml", &shop(&alice, "alice"));
    place.apply(SECRET, &["--yes"]).await.succeeded();
    place.run(&["roles", "bind", "admin", "--user", "alice"]).await.succeeded();
    for file in ["all.yaml", "all.json"] {
        place.run(&["export", "-f", file]).await.succeeded();
        let text = fs::read_to_string(place.path(file)).unwrap();
        assert!(text.contains(&alice) && !text.contains(SECRET), "{text}");
        let applied = place.run(&["apply", "-f", file, "--yes"]).await.succeeded();
        assert_eq!(applied.stdout, "Nothing is to be changed.\n", "{text}");
    }
    let there = place.run(&["export", "-f", "all.yaml"]).await;
    assert!(there.failed(1).contains("cannot be written"));
    let there = place.run(&["export", "-f", "all.yaml", "--json"]).await;
    assert!(there.code == Some(1) && there.stderr.contains("FILE_EXISTS"), "{there:?}");
}

#[tokio::test]
async fn the_example_changes_nothing_when_it_is_applied_again() {
    let place = Place::migrated().await;
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/apply");
    let apply = || place.signet(&["apply", "-f", examples, "--yes"]).env("BILLING_SECRET", SECRET);
    let applied = apply().run().await.succeeded();
    assert!(applied.stdout.contains("+ client `shop-app`"), "{}", applied.stdout);
    assert_eq!(apply().run().await.succeeded().stdout, "Nothing is to be changed.\n");
}

#[tokio::test]
async fn a_binding_that_has_ended_is_told_and_not_made() {
    let place = Place::migrated().await;
    let ended = "set: shop\nbindings: [{role: auditor, client: signet, expire_time: 2020-01-01T00:00:00Z}]\n";
    place.write("shop.yaml", ended);
    let applied = place.apply(SECRET, &["--yes"]).await.succeeded();
    let said = "  binding of the client `signet` to the role `auditor` of the audience `signet`, at 2020-01-01T00:00:00Z: it has ended, and \
                gives nothing\nNothing is to be changed.\n";
    assert_eq!(applied.stdout, said);
    let applied = place.apply(SECRET, &["--yes", "--json"]).await.succeeded().object();
    assert_eq!(applied["ended"].as_array().unwrap().len(), 1, "{applied}");
}

#[tokio::test]
async fn what_a_manifest_gets_wrong_is_told_with_its_place() {
    let place = Place::migrated().await;
    let alice = place.create_user("alice").await["id"].as_str().unwrap().to_owned();
    for (content, code, sentence) in [
        (
            "set: shop\nroles:\n  - name: picker\n    scpoes: [a]\n",
            2,
            "shop.yaml:4:5: unknown field `scpoes`: is `scopes` meant?",
        ),
        ("set: shop\nroles:\n  - name: Picker\n", 2, "shop.yaml:3"),
        ("set: shop\ngroups: [{name: night, members: [{name: alice}]}]\n", 2, "missing field `id`"),
        ("set: shop\nset: other\n", 2, "duplicate"),
        (
            "set: shop\nclients: [{name: billing, secret: hunter2}]\n",
            2,
            "a secret never stands in a manifest",
        ),
        (
            "set: shop\nclients: [{name: billing}]\n",
            1,
            "the client `billing`: is new, and is either `public: true`",
        ),
        (
            "set: shop\nclients: [{name: billing, secret: 'env:SHORT'}]\n",
            1,
            "has not the form of one that Signet makes",
        ),
        (
            "set: shop\nbindings: [{role: nobody, audience: stock, client: signet}]\n",
            1,
            "there is no such role",
        ),
        ("set: shop\nroles: [{name: admin}]\n", 1, "is built in"),
        ("set: shop\ngroups: [{name: night}, {name: night}]\n", 1, "the group `night` comes twice"),
    ] {
        place.write("shop.yaml", content);
        let refused =
            place.signet(&["apply", "-f", "shop.yaml", "--yes"]).envs([("SHORT", "hunter2")]).run().await;
        let said = refused.failed(code);
        assert!(said.contains(sentence) && !said.contains("hunter2"), "{content}: {said}");
    }
    // Names are free for whoever registers first.
    place.write("shop.yaml", &shop(&alice, "bob"));
    let said = place.apply(SECRET, &["--yes"]).await;
    assert!(said.failed(1).contains("is not called `bob`"));

    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir(place.path("two")).unwrap();
    place.write("two/a.yaml", "set: shop\ngroups: [{name: night}]\n");
    place.write("two/b.yaml", "set: other\n");
    let two = place.run(&["apply", "-f", "two", "--yes"]).await;
    assert!(two.failed(2).contains("two/b.yaml: is of the set `other`, and the files before of `shop`"));
    place.write("two/b.yaml", "set: shop\ngroups: [{name: day}]\n");
    let one = place.run(&["apply", "-f", "two", "--yes"]).await.succeeded();
    assert_eq!(one.stdout, "+ group `night`\n+ group `day`\nApplied.\n");
    let nowhere = place.run(&["apply", "-f", "nofile.yaml", "--yes", "--json"]).await;
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("FILE_UNUSABLE"), "{nowhere:?}");
    place.write("shop.yaml", "set: shop\nroels: []\n");
    let unknown = place.run(&["apply", "-f", "shop.yaml", "--yes", "--json"]).await;
    assert!(unknown.code == Some(2) && unknown.stderr.contains("MANIFEST_REFUSED"), "{unknown:?}");
    let empty = place.run(&["apply", "-f", "empty", "--yes"]).await;
    assert!(empty.failed(2).contains("holds no *.yaml, *.yml or *.json"));
    let lines: Vec<_> = (0..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)).collect();
    let bomb = lines.concat();
    place.write("shop.yaml", &bomb.replacen("[*a-1, *a-1]", "[x, x]", 1));
    place.run(&["apply", "-f", "shop.yaml", "--yes"]).await.failed(2);
    place.write("shop.yaml", &format!("set: shop\n# {}\n", "x".repeat(4 << 20)));
    let huge = place.run(&["apply", "-f", "shop.yaml", "--yes"]).await;
    assert!(huge.failed(2).contains("at most 4 MiB"));
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_told_with_its_reason() {
    let place = Place::migrated().await;
    for (secret, code, reason) in [
        ("env:NOWHERE", 2, "SECRET_MISSING"),
        ("env:EMPTY", 2, "SECRET_MISSING"),
        ("file:nowhere", 1, "FILE_UNUSABLE"),
    ] {
        place.write("shop.yaml", &format!("set: shop\nclients: [{{name: billing, secret: '{secret}'}}]\n"));
        let refused =
            place.signet(&["--json", "apply", "-f", "shop.yaml", "--yes"]).env("EMPTY", "").run().await;
        let told: serde_json::Value = serde_json::from_str(refused.failed(code)).unwrap();
        assert_eq!(told["reason"], reason, "{told}");
        assert!(
            told["error"].as_str().unwrap().starts_with(&format!("the client `billing`: {secret} ")),
            "{told}"
        );
    }
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_and_of_two_at_once_one_wins() {
    let place = Place::migrated().await;
    let member = place.create_user("alice").await["id"].as_str().unwrap().to_owned();
    // The last change takes the SPIFFE ID of a client that is there: what comes before it is undone.
    place.run(&["clients", "create", "old", "--spiffe-id", "spiffe://a.example/b"]).await.succeeded();
    let taken =
        "set: shop\ngroups: [{name: night}]\nclients: [{name: new, spiffe_id: 'spiffe://a.example/b'}]\n";
    place.write("shop.yaml", taken);
    for more in [&["--dry-run"][..], &["--yes"]] {
        place.apply(SECRET, more).await.failed(1);
    }
    assert_eq!(place.run(&["groups", "list", "--json"]).await.succeeded().stdout, "");

    place.write("shop.yaml", &shop(&member, "alice"));
    let (one, other) = tokio::join!(place.apply(SECRET, &["--yes"]), place.apply(SECRET, &["--yes"]));
    let both = format!("{one:?}\n{other:?}");
    let (won, lost): (Vec<_>, Vec<_>) =
        [one, other].into_iter().partition(|finished| finished.stdout.ends_with("Applied.\n"));
    assert_eq!((won.len(), lost.len()), (1, 1), "{both}");
    assert_eq!(won[0].code, Some(0), "{both}");
    // The other one has found all of it done, or came too late for its plan.
    if lost[0].code == Some(0) {
        assert_eq!(lost[0].stdout, "Nothing is to be changed.\n", "{both}");
    } else {
        assert!(lost[0].failed(1).contains("has changed since the plan was made"), "{both}");
    }
}
