//! Owns what is promised of commands that work over the admin API: the same answers as on the database, and tokens that nobody else gets.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::{
    client::{PASSWORD, reason},
    harness::{Finished, Invocation, Place, Service},
    support::pki::Authority,
};

/// A machine without database and master key, and the service that it works with.
pub(crate) struct Desk {
    pub(crate) own: Place,
    server: String,
}

impl Desk {
    fn of(server: &impl ToString) -> Self {
        Self { own: Place::new(), server: server.to_string() }
    }

    /// `signet` with the words of `line`, and with `more`.
    fn signet(&self, line: &str, more: &[&str]) -> Invocation {
        let words: Vec<_> =
            line.split(' ').chain(["--server", &self.server]).chain(more.iter().copied()).collect();
        self.own.signet(&words).env("XDG_STATE_HOME", &self.own.path("state").display().to_string())
    }

    async fn run(&self, line: &str) -> Finished {
        self.signet(line, &[]).run().await
    }

    pub(crate) async fn done(&self, line: &str) -> Finished {
        self.run(line).await.succeeded()
    }

    /// What a command that fails says.
    pub(crate) async fn refused(&self, line: &str, code: i32) -> String {
        self.run(line).await.failed(code).to_owned()
    }

    /// Logs in; what is kept of it.
    pub(crate) async fn log_in(&self, username: &str) -> (PathBuf, Value) {
        let finished = self.signet(&format!("login {username}"), &[]).password().run().await.succeeded();
        let kept = self.kept().expect("a login is kept");
        let tokens = [&kept.1["access_token"], &kept.1["refresh_token"]].map(|token| token.as_str().unwrap());
        assert!(tokens.iter().all(|token| !token.is_empty() && !format!("{finished:?}").contains(token)));
        kept
    }

    /// The file of the login, and what it holds.
    fn kept(&self) -> Option<(PathBuf, Value)> {
        let files = fs::read_dir(self.own.path("state/signet")).ok()?;
        let mut paths = files.map(|file| file.unwrap().path());
        let path = paths.find(|path| path.extension().is_some_and(|extension| extension == "json"))?;
        let kept = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        Some((path, kept))
    }
}

impl Place {
    /// A service on a database in which alice has `role` at the service itself.
    pub(crate) async fn serving_alice_as(role: &str) -> (Self, Service, Desk) {
        let place = Self::migrated().await;
        let service = place.serve(&[]).await;
        place.create_user("alice").await;
        place.run(&["roles", "bind", role, "--user", "alice"]).await.succeeded();
        let desk = Desk::of(&service.admin_addr());
        (place, service, desk)
    }

    /// That `line` answers the same here, on the database, and at the desk.
    pub(crate) async fn answers_as(&self, desk: &Desk, line: &str) -> Finished {
        let [here, there] = [self.run(&line.split(' ').collect::<Vec<_>>()).await, desk.run(line).await];
        let (here, there) = (here.succeeded(), there.succeeded());
        assert_eq!(here.stdout, there.stdout, "{line}");
        there
    }
}

#[tokio::test]
async fn a_support_desk_needs_a_login_alone() {
    let (place, service, desk) = Place::serving_alice_as("user-manager").await;
    place.create_user("bob").await;
    let client = service.client().await;
    let bobs = client.log_in("bob", PASSWORD).await.unwrap();
    assert!(
        desk.refused("users list", 77)
            .await
            .starts_with("log in first: `signet login --server http://127.0.0.1:")
    );

    let (file, kept) = desk.log_in("alice").await;
    let bits = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((bits(&file), bits(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(kept["username"], "alice");

    for line in ["users search --username bo", "users show bob", "users sessions bob", "users list --limit 1"]
    {
        place.answers_as(&desk, line).await;
        place.answers_as(&desk, &format!("{line} --json")).await;
    }
    assert_eq!(desk.done("users end-sessions bob --json").await.object(), json!({ "ended": 1 }));
    assert_eq!(reason(&client.get_me(&bobs).await), "TOKEN_REVOKED");
    let reset = desk.done("users reset-password bob --json").await.object();
    let secret = reset["one_time_password"].as_str().unwrap();
    assert_eq!(reason(&client.log_in("bob", secret).await), "PASSWORD_CHANGE_REQUIRED");
    let shown = place.answers_as(&desk, "users show bob --json").await.object();
    assert_eq!(
        (&shown["password_state"], shown["one_time_password_expire_time"].is_string()),
        (&json!("one-time"), true)
    );
    let made = desk.done("users create carol --email c@example.com --json").await.object();
    assert_eq!((&made["username"], made["one_time_password"].is_string()), (&json!("carol"), true));
    let changed = desk.done("users update carol --no-email --display-name Carol --json").await.object();
    assert_eq!((&changed["email"], &changed["display_name"]), (&Value::Null, &json!("Carol")));
    assert_eq!(desk.done("users disable carol --json").await.object()["is_active"], false);
    assert!(desk.done("users delete carol").await.stdout.starts_with("Deleted carol ("));

    // What it may not, what is not there, and what only the machine of the service does.
    assert!(desk.refused("roles list", 77).await.contains("signet.roles.read"));
    let [here, there] = [place.run(&["users", "show", "nobody"]).await, desk.run("users show nobody").await];
    assert_eq!((here.failed(1), here.stdout.as_str()), (there.failed(1), there.stdout.as_str()));
    let here = place.run(&["users", "update", "bob", "--email", "none"]).await;
    assert_eq!(here.failed(2), desk.refused("users update bob --email none", 2).await);
    for line in ["users set-password bob", "users export", "users list --collisions", "users list --after 0"]
    {
        desk.refused(line, 2).await;
    }
    assert!(desk.refused("backup copy.db", 2).await.contains("--server"));

    desk.done("logout").await;
    assert!(desk.kept().is_none());
    let old = kept["access_token"].as_str().unwrap();
    assert_eq!(reason(&client.get_me(old).await), "TOKEN_REVOKED");
    desk.refused("users list", 77).await;
    assert!(!desk.own.has_data(), "no database is made");
}

#[tokio::test]
async fn an_admin_gets_the_same_answers_as_on_the_database() {
    let (place, _service, desk) = Place::serving_alice_as("admin").await;
    desk.log_in("alice").await;
    for line in [
        "roles create picker --audience stock --scope stock.pick --description Picks.",
        "roles update picker --audience stock --add-scope stock.look --remove-scope stock.pick",
        "attributes create team --in-tokens --description Team.",
        "attributes create motto --writer user --type string",
        "attributes update team --in-introspection --not-in-tokens",
        "users update alice --set-attribute team=blue --set-attribute motto=go",
        "users update alice --unset-attribute motto",
        "groups create pickers",
        "groups add pickers --user alice",
        "roles bind picker --audience stock --group pickers",
        "roles bind picker --audience stock --user alice --expires 8h",
        "roles bind picker --audience stock --user alice --expires 9h",
        "audiences add-owner stock --group pickers",
        "audiences update stock --token-typ JWT",
        "clients create shelf --scope stock.look --allow-audience stock",
        "clients update shelf --add-scope stock.pick --add-token-claim roles",
        "clients rotate-secret shelf --end-older",
        "clients disable shelf",
        "clients enable shelf",
        "roles bind picker --audience stock --client shelf",
    ] {
        desk.done(line).await;
    }
    for line in [
        "roles list",
        "roles list --audience stock",
        "attributes list",
        "attributes show team",
        "users show alice",
        "groups list",
        "groups list --user alice",
        "groups members pickers",
        "bindings list",
        "bindings list --role picker --audience stock",
        "bindings list --scope stock.look --audience stock --user alice",
        "audiences list",
        "audiences show stock",
        "access show alice --audience stock",
        "access show --client shelf --audience stock",
        "clients list",
        "clients show shelf",
        "keys list",
        "audit list --by-user alice --event role.bound",
    ] {
        place.answers_as(&desk, &format!("{line} --json")).await;
        place.answers_as(&desk, line).await;
    }
    for line in [
        "audiences remove-owner stock --group pickers",
        "roles unbind picker --audience stock --client shelf",
        "groups remove pickers --user alice",
        "groups delete pickers",
        "roles delete picker --audience stock",
        "clients delete shelf",
        "keys rotate",
    ] {
        desk.done(line).await;
    }
    assert!(desk.refused("roles unbind auditor --user alice", 1).await.contains("does not have the role"));
    let last = desk.refused("roles unbind admin --user alice", 1).await;
    assert!(last.contains("admin"), "{last}");
    desk.refused("keys rotate --now", 2).await;
}

#[tokio::test]
async fn a_manifest_goes_over_the_admin_api_as_it_does_on_the_database() {
    let (place, _service, desk) = Place::serving_alice_as("admin").await;
    desk.log_in("alice").await;
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let shop = "set: shop\ngroups: [{name: night}]\nclients: [{name: billing, secret: env:BILLING}]\n";
    desk.own.write("shop.yaml", shop);
    let apply = async |more: &[&str]| {
        let args = [&["--yes"], more].concat();
        desk.signet("apply -f shop.yaml", &args).env("BILLING", secret).run().await
    };
    let tried = apply(&["--dry-run"]).await.succeeded();
    assert!(
        tried.stdout.contains("+ group `night`\n") && tried.stdout.ends_with("--dry-run.\n"),
        "{tried:?}"
    );
    let nobody_to_ask = desk.signet("apply -f shop.yaml", &[]).env("BILLING", secret).run().await;
    assert!(nobody_to_ask.failed(2).contains("say --yes"));
    assert!(apply(&[]).await.succeeded().stdout.ends_with("Applied.\n"));
    assert_eq!(apply(&[]).await.succeeded().stdout, "Nothing is to be changed.\n");
    place.answers_as(&desk, "export -f - --json").await;
    place.answers_as(&desk, "export -f -").await;

    // On the database any set is applied, and stays whose it is.
    place.write("shop.yaml", "set: shop\ngroups: [{name: night}, {name: day}]\n");
    place.run(&["apply", "-f", "shop.yaml", "--yes"]).await.succeeded();
    desk.own.write("shop.yaml", "set: shop\nclients: [{name: billing, scopes: [stock.pick]}]\n");
    let pruned = apply(&["--prune", "--json"]).await.succeeded().object();
    assert_eq!(
        (&pruned["applied"], pruned["changes"].as_array().unwrap().len()),
        (&json!(true), 3),
        "{pruned}"
    );
    place.write("shop.yaml", "set: shop\ngroups: [{name: night}]\n");
    let taken = place.run(&["apply", "-f", "shop.yaml", "--yes", "--take-over"]).await.succeeded();
    assert!(taken.stdout.starts_with("~ set `shop`\n    owners: the user `"), "{taken:?}");
    let said = apply(&["--prune"]).await;
    let owned = "belongs to the operator: to take it over has to be said, by --take-over";
    assert!(said.failed(1).contains(owned), "{said:?}");
    apply(&["--prune", "--take-over"]).await.succeeded();

    // What is refused names its change, and what a file gets wrong is told before anybody is called.
    desk.own.write("shop.yaml", "set: shop\nroles: [{name: boss, scopes: [signet.of-tomorrow]}]\n");
    assert!(apply(&[]).await.failed(1).contains("role `boss`"));
    desk.own.write("shop.yaml", "set: shop\ngrops: []\n");
    assert!(apply(&[]).await.failed(2).contains("is `groups` meant?"));
}

#[tokio::test]
async fn no_token_passes_in_plaintext_beyond_this_machine() {
    let desk = Desk::of(&"http://203.0.113.1:50053");
    for line in ["users list", "login alice", "logout"] {
        let refused = desk.signet(line, &[]).password().run().await;
        assert!(refused.failed(2).contains("plaintext"), "{refused:?}");
    }
    let refused = Desk::of(&"127.0.0.1:1").signet("users list", &["--tls-ca", "ca.crt"]).run().await;
    assert!(refused.failed(2).contains("plaintext"), "{refused:?}");
    let own = Place::new();
    assert!(own.run(&["users", "list", "--client-id", "x"]).await.failed(2).contains("--server"));
    assert!(!own.has_data());
}

#[tokio::test]
async fn a_login_is_believed_to_be_at_the_service_whose_certificate_says_so() {
    let (place, authority, other) =
        (Place::migrated().await, Authority::new("tests"), Authority::new("others"));
    authority.issue(&["localhost"]).write(&place.path(""));
    let (ca, wrong) = (place.write("ca.crt", &authority.pem), place.write("other.crt", &other.pem));
    let service = place.serve(&["--tls-cert=tls.crt", "--tls-key=tls.key"]).await;
    place.create_user("alice").await;
    place.run(&["roles", "bind", "auditor", "--user", "alice"]).await.succeeded();
    let port = service.admin_addr().port();

    let desk = Desk::of(&format!("https://localhost:{port}"));
    for (server, ca) in [(&desk.server, &wrong), (&format!("https://127.0.0.1:{port}"), &ca)] {
        let elsewhere = Desk::of(server);
        let refused = elsewhere.signet("login alice", &["--tls-ca", ca]).password().run().await;
        assert!(refused.failed(69).contains("certificate"), "{refused:?}");
        assert!(elsewhere.kept().is_none());
    }
    desk.signet("login alice", &["--tls-ca", &ca]).password().run().await.succeeded();
    let listed = desk.signet("users list --json", &["--tls-ca", &ca]).run().await.succeeded();
    assert_eq!(listed.objects().len(), 1);
    desk.signet("users list", &["--tls-ca", &wrong]).run().await.failed(69);
    let plain = Desk::of(&format!("127.0.0.1:{port}"));
    let refused = plain.signet("login alice", &[]).password().run().await;
    // Whether TLS's alert is read, or the pipe found broken before.
    let said = refused.failed(69);
    assert!(said.contains("--admin-addr") && !said.contains("Some("), "{said}");
}

#[tokio::test]
async fn commands_at_once_exchange_a_token_once() {
    let (_place, service, desk) = Place::serving_alice_as("auditor").await;
    let (file, mut kept) = desk.log_in("alice").await;
    for _ in 0..2 {
        // As if its time were over.
        kept["expire_time"] = json!("2026-01-01T00:00:00Z");
        fs::write(&file, kept.to_string()).unwrap();
        let (one, other) = tokio::join!(desk.run("users list"), desk.run("users list"));
        one.succeeded();
        other.succeeded();
        let (_, next) = desk.kept().unwrap();
        assert_ne!(next["refresh_token"], kept["refresh_token"]);
        kept = next;
    }
    let metrics = service.operations_get("/metrics").await.1;
    for (result, count) in [("done", 2), ("repeated", 0)] {
        let counted = format!("signet_refreshes_total{{result=\"{result}\"}} {count}\n");
        assert!(metrics.contains(&counted), "no refresh token is used twice: {metrics}");
    }

    let (place, _service, desk) = Place::serving_alice_as("auditor").await;
    let (file, mut kept) = desk.log_in("alice").await;
    place.run(&["users", "end-sessions", "alice"]).await.succeeded();
    kept["expire_time"] = json!("2026-01-01T00:00:00Z");
    fs::write(&file, kept.to_string()).unwrap();
    assert!(desk.refused("users list", 77).await.contains("has ended"));
    assert!(desk.kept().is_none());
}

#[tokio::test]
async fn who_may_administer_nothing_is_not_logged_in() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    place.create_user("bob").await;
    let desk = Desk::of(&service.admin_addr());
    let refused = desk.signet("login bob", &[]).password().run().await;
    assert!(refused.failed(1).contains("`signet.` scope"), "{refused:?}");
    let wrong = desk.signet("login", &[]).stdin("bob\nnot the password\n").run().await;
    wrong.failed(77);
    // Where no admin API is, nobody is asked for a password.
    let elsewhere = Desk::of(&service.started["grpc_addr"].as_str().unwrap());
    let refused = elsewhere.signet("login bob", &[]).password().run().await;
    assert!(refused.failed(1).contains("--admin-addr"), "{refused:?}");
    assert!(desk.kept().is_none());
    let listed = place.run(&["users", "sessions", "bob", "--json"]).await.succeeded();
    assert_eq!(listed.stdout, "", "no session is left");
}

#[tokio::test]
async fn a_client_administers_with_its_secret_or_its_key() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    place.create_user("alice").await;
    let desk = Desk::of(&service.admin_addr());
    let create = ["clients", "create", "ci", "--scope", "signet.users.read", "--json"];
    let made = place.run(&create).await.succeeded().object();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let file = desk.own.write("secret", &format!("{secret}\n"));
    let listed =
        desk.signet("users list --json", &["--client-id", id, "--client-secret-file", &file]).run().await;
    assert_eq!(listed.succeeded().objects()[0]["username"], "alice");
    let with =
        |secret: &str| desk.signet("users list", &["--client-id", id]).env("SIGNET_CLIENT_SECRET", secret);
    with(secret).run().await.succeeded();
    with("another").run().await.failed(77);
    assert!(
        desk.signet("users disable alice", &["--client-id", id, "--client-secret-file", &file])
            .run()
            .await
            .failed(77)
            .contains("signet.users.write")
    );
    desk.signet("users list", &["--client-id", id]).run().await.failed(2);
    desk.signet("users list", &["--client-secret-file", &file]).run().await.failed(2);
    assert!(desk.kept().is_none());

    let key = KeyPair::generate().unwrap();
    let (public, private) =
        (place.write("public.pem", &key.public_key_pem()), desk.own.write("key.pem", &key.serialize_pem()));
    let create =
        ["clients", "create", "deploy", "--scope", "signet.users.read", "--public-key", &public, "--json"];
    let made = place.run(&create).await.succeeded().object();
    let id = made["id"].as_str().unwrap();
    desk.signet("users list", &["--client-id", id, "--client-key-file", &private]).run().await.succeeded();
    desk.signet("users list", &["--client-id", id, "--client-key-file", &file]).run().await.failed(2);
}

#[tokio::test]
async fn a_list_goes_on_past_whom_the_caller_may_not_read() {
    let (place, _service, desk) = Place::serving_alice_as("admin").await;
    for line in [
        "groups create night",
        "groups create day",
        "roles bind auditor --group night",
        "roles bind auditor --group day",
        "audiences add-owner signet --group night",
    ] {
        place.run(&line.split(' ').collect::<Vec<_>>()).await.succeeded();
    }
    let made =
        ["clients", "create", "ci", "--scope", "signet.bindings.read", "--scope", "signet.audiences.read"];
    let made = place.run(&[&made[..], &["--json"]].concat()).await.succeeded().object();
    let [id, secret] = ["id", "secret"].map(|name| made[name].as_str().unwrap());
    let with = async |line: &str| {
        let run = desk.signet(line, &["--client-id", id]).env("SIGNET_CLIENT_SECRET", secret);
        run.run().await.succeeded()
    };
    let groups = place.run(&["groups", "list", "--json"]).await.succeeded().objects();
    let night = groups[0]["id"].as_str().unwrap();
    let listed = with("bindings list --json").await.objects();
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert!(
        listed.iter().all(|row| row["subject_name"] == row["subject_id"] && row["role"] == row["role_id"])
    );
    let owners = with("audiences list --json").await.object();
    assert_eq!(owners["owners"][0]["name"], night);
    assert!(with("bindings list").await.stdout.contains(&format!("group {night}")));
    // Each kind that may not be read is asked for once a list, whose refusals are events.
    let refused = ["audit", "list", "--json", "--event", "admin.refused", "--by-client", id];
    let refused = place.run(&refused).await.succeeded().objects();
    assert!(refused.len() <= 3, "{refused:?}");
}

#[tokio::test]
async fn a_filter_that_means_nothing_is_refused_over_the_admin_api_too() {
    let (place, _service, desk) = Place::serving_alice_as("admin").await;
    desk.log_in("alice").await;
    for line in [
        "roles list --audience nowhere",
        "bindings list --audience nowhere",
        "bindings list --audience nowhere --scope x",
        "bindings list --role boss",
        "access show alice --audience nowhere",
        "audit list --role boss",
        "audit list --group day",
    ] {
        let here = place.run(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(here.failed(1), desk.refused(line, 1).await, "{line}");
    }
    for line in ["roles show auditor", "roles show auditor --json", "audit list --role admin"] {
        place.answers_as(&desk, line).await;
    }

    let failed = desk.run("users show nobody --json").await;
    let told: Value = serde_json::from_str(&failed.stderr).expect("one object");
    assert_eq!((&told["reason"], &told["code"]), (&json!("USER_NOT_FOUND"), &json!("NOT_FOUND")));
    assert!(told["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{told}");
    let failed = desk.run("users update alice --email none --json").await;
    let told: Value = serde_json::from_str(&failed.stderr).expect("one object");
    assert_eq!((failed.code, &told["violations"][0]["field"]), (Some(2), &json!("email")));
    let said = desk.refused("users create x --email none", 2).await;
    assert!(said.contains("the email ") && !said.contains("user."), "{said}");
}

#[tokio::test]
async fn who_logs_out_of_a_service_that_is_away_forgets_the_tokens_alone() {
    let (_place, service, desk) = Place::serving_alice_as("auditor").await;
    desk.log_in("alice").await;
    service.stop().await;
    let refused = desk.refused("logout", 69).await;
    assert!(
        refused.contains("cannot be reached") && refused.contains("with --local deletes them"),
        "{refused}"
    );
    assert!(desk.kept().is_some());
    let done = desk.done("logout --local --json").await.object();
    assert_eq!((&done["username"], &done["session_ended"]), (&json!("alice"), &json!(false)));
    assert!(desk.kept().is_none());
    assert!(desk.refused("logout --local", 77).await.starts_with("nobody is logged in at "));
}

#[tokio::test]
async fn the_environment_says_where_and_as_whom() {
    let (place, service, desk) = Place::serving_alice_as("auditor").await;
    let server = [("SIGNET_SERVER", desk.server.as_str())];
    let state = desk.own.path("state").display().to_string();
    let at_desk = |args: &[&str]| desk.own.signet(args).env("XDG_STATE_HOME", &state).envs(server);
    at_desk(&["login", "alice"]).password().run().await.succeeded();
    let listed = at_desk(&["users", "list", "--json"]).run().await.succeeded();
    assert_eq!(listed.object()["username"], "alice");
    let wrong = at_desk(&["users", "list", "--server", "127.0.0.1:1"]).run().await;
    assert!(wrong.failed(69).contains("127.0.0.1:1"), "an option wins: {wrong:?}");
    at_desk(&["logout"]).run().await.succeeded();
    let refused = desk.own.signet(&["users", "list"]).env("SIGNET_SERVER", "nowhere").run().await;
    assert!(
        refused.failed(2).starts_with("--server (SIGNET_SERVER): `nowhere` cannot be used: "),
        "{refused:?}"
    );

    // Without a service to call, who works on the database is not told of them; and the service does not take them up.
    let others = [("SIGNET_CLIENT_ID", "ci"), ("SIGNET_TLS_CA", "/nowhere")];
    place.signet(&["users", "list"]).envs(others).run().await.succeeded();
    service.stop().await;
    let service = place.signet(&[]).envs(others).envs(server).serve().await;
    service.client().await.log_in("alice", PASSWORD).await.unwrap();
}
