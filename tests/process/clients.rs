//! Owns what `signet clients` promises, to people and with --json to programs, while the service runs.

use serde_json::{Value, json};
use signet::proto::identity::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, PasswordGrant,
    client_authentication::Credential, issue_token_request::Grant,
};
use tokio::time::timeout;

use crate::{
    audit::PUBLIC_KEY,
    client::{Client, PASSWORD, reason},
    commands::field,
    harness::{PATIENCE, Place},
};

const CLIENT_MEMBERS: [&str; 12] = [
    "audiences",
    "create_time",
    "id",
    "is_active",
    "kind",
    "may_claim_address",
    "name",
    "public_keys",
    "scopes",
    "secrets",
    "token_claims",
    "update_time",
];

fn request(id: &str, secret: &str) -> IssueTokenRequest {
    let credential = Some(Credential::ClientSecret(secret.to_owned()));
    IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client: Some(ClientAuthentication { client_id: id.to_owned(), credential }),
        ..IssueTokenRequest::default()
    }
}

/// Waits until the client with this secret is answered with `expected`.
async fn becomes(client: &Client, id: &str, secret: &str, expected: &str) {
    let waiting = async { while reason(&client.issue(request(id, secret)).await) != expected {} };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it does not become {expected}"));
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_else(|| panic!("no {name}: {object}"))
}

#[tokio::test]
async fn a_client_is_registered_with_a_secret_that_is_shown_once_and_works() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    let args = [
        "clients",
        "create",
        "billing",
        "--scope=orders.read",
        "--scope=introspect",
        "--allow-audience=orders",
    ];
    let created = place.run(&args).await.succeeded();
    for (name, value) in [
        ("name", "billing"),
        ("state", "active"),
        ("kind", "confidential"),
        ("scopes", "orders.read introspect"),
        ("audiences", "orders"),
        ("secrets", "1"),
        ("public keys", "-"),
    ] {
        assert_eq!(field(&created, name), value, "{name}");
    }
    let (id, secret) = (field(&created, "id"), field(&created, "secret"));
    assert_eq!(secret.len(), 43);
    let issued = client.issue(request(id, secret)).await.unwrap();
    assert_eq!(issued.scope, "orders.read introspect");

    for who in [id, "billing"] {
        let shown = place.run(&["clients", "show", who]).await.succeeded().stdout;
        assert!(shown.contains(id) && !shown.contains("secret: ") && !shown.contains(secret), "{shown}");
        let shown = place.run(&["clients", "show", who, "--json"]).await.succeeded();
        assert!(!shown.stdout.contains(secret));
        let members: Vec<_> = shown.object().as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, CLIENT_MEMBERS);
    }
}

#[tokio::test]
async fn a_client_is_rotated_disabled_enabled_and_deleted_while_the_service_runs() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    let first = place.run(&["clients", "create", "billing", "--json"]).await.succeeded().object();
    let (id, first) = (text(&first, "id"), text(&first, "secret"));
    client.issue(request(id, first)).await.unwrap();

    let second = place.run(&["clients", "rotate-secret", "billing", "--json"]).await.succeeded().object();
    let second = text(&second, "secret");
    becomes(&client, id, second, "OK").await;
    client.issue(request(id, first)).await.unwrap();
    let third = place.run(&["clients", "rotate-secret", id, "--end-older"]).await.succeeded();
    assert_eq!(field(&third, "secrets"), "1");
    becomes(&client, id, field(&third, "secret"), "OK").await;
    for ended in [first, second] {
        becomes(&client, id, ended, "INVALID_CLIENT").await;
    }

    let secret = field(&third, "secret");
    let disabled = place.run(&["clients", "disable", "billing", "--json"]).await.succeeded().object();
    assert_eq!((&disabled["is_active"], disabled.get("secret")), (&json!(false), None));
    becomes(&client, id, secret, "INVALID_CLIENT").await;
    place.run(&["clients", "enable", "billing"]).await.succeeded();
    becomes(&client, id, secret, "OK").await;
    let deleted = place.run(&["clients", "delete", "billing"]).await.succeeded();
    assert_eq!(deleted.stdout, format!("Deleted billing ({id}).\n"));
    becomes(&client, id, secret, "INVALID_CLIENT").await;
    let gone = place.run(&["clients", "show", "billing"]).await;
    assert_eq!(gone.failed(1), "there is no client `billing`");
    place.run(&["clients", "create", "billing"]).await.succeeded();
}

#[tokio::test]
async fn who_may_tell_its_users_addresses_is_said_by_the_operator() {
    let place = Place::new();
    let created = place.run(&["clients", "create", "shop", "--json"]).await.succeeded().object();
    assert_eq!(created["may_claim_address"], false);
    let created = place.run(&["clients", "create", "gateway", "--json", "--may-claim-address"]).await;
    assert_eq!(created.succeeded().object()["may_claim_address"], true);
    for (whether, may) in [("off", false), ("on", true)] {
        let set = place.run(&["clients", "set-may-claim-address", "gateway", whether, "--json"]).await;
        assert_eq!(set.succeeded().object()["may_claim_address"], may);
    }
    let shown = place.run(&["clients", "show", "gateway"]).await.succeeded();
    assert!(shown.stdout.contains("\nuser address: may be told\n"), "{shown:?}");
    let both = ["clients", "create", "app", "--public", "--may-claim-address"];
    assert!(place.run(&both).await.failed(2).contains("--may-claim-address"));
    // Its users would have tokens with which nothing can be done.
    let created = place.run(&["clients", "create", "app", "--public"]).await.succeeded();
    assert!(created.stderr.contains("--scope profile"), "{created:?}");
    let created = place.run(&["clients", "create", "web", "--public", "--scope=profile"]).await.succeeded();
    assert!(!created.stderr.contains("--scope profile"), "{created:?}");
    let public = place.run(&["clients", "set-may-claim-address", "app", "on"]).await;
    let sentence = "`app` is a public client: it proves nothing, so it may not tell its users' addresses";
    assert_eq!(public.failed(1), sentence);
}

#[tokio::test]
async fn clients_are_listed_in_the_order_of_their_making() {
    let place = Place::new();
    let mut made = Vec::new();
    for args in [&["carol"][..], &["app", "--public", "--scope=profile"], &["bob"]] {
        let all = [&["clients", "create", "--json"], args].concat();
        let mut created = place.run(&all).await.succeeded().object();
        for only_then in ["secret", "user_scopes"] {
            created.as_object_mut().unwrap().remove(only_then);
        }
        made.push(created);
    }
    let listed = place.run(&["clients", "list", "--json"]).await.succeeded().objects();
    assert_eq!((&listed[0]["id"], &listed[0]["name"]), (&json!("signet"), &json!("signet")));
    assert_eq!(listed[1..], made);
    let first = place.run(&["clients", "list", "--json", "--limit=2"]).await.succeeded().objects();
    assert_eq!(first, listed[..2]);
    let after = ["clients", "list", "--json", "--after", "signet"];
    assert_eq!(place.run(&after).await.succeeded().objects(), made);
    let after = ["clients", "list", "--json", "--after", text(&made[1], "id")];
    assert_eq!(place.run(&after).await.succeeded().objects(), made[2..]);
    let table = place.run(&["clients", "list"]).await.succeeded().stdout;
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "STATE", "KIND", "NAME"]);
    assert_eq!(rows[3], [text(&made[1], "id"), "active", "public", "app"]);
}

#[tokio::test]
async fn public_keys_are_read_from_files_and_anything_else_is_refused_in_a_sentence() {
    let place = Place::new();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let file = place.write("key.json", &jwk.to_string());
    let args = ["clients", "create", "signer", "--json", "--public-key", &file];
    let created = place.run(&args).await.succeeded().object();
    // The thumbprint of that key in RFC 8037 appendix A.3.
    assert_eq!(created["public_keys"], json!(["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]));
    assert!(created.get("secret").is_none(), "who signs needs no secret");

    let mut private = jwk.clone();
    private["d"] = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A".into();
    for (name, content, problem) in [
        (
            "private.json",
            private.to_string(),
            "holds a private or symmetric key: register the public part alone",
        ),
        ("text", "no key".to_owned(), "is neither PEM, nor a JWK, nor a JWK Set"),
        ("empty", String::new(), "is neither PEM, nor a JWK, nor a JWK Set"),
    ] {
        let file = place.write(name, &content);
        for args in [
            ["clients", "create", "other", "--public-key"],
            ["clients", "set-keys", "signer", "--public-key"],
        ] {
            let refused = place.run(&[&args[..], &[&*file]].concat()).await;
            assert_eq!(refused.failed(2), format!("--public-key: {file} {problem}"));
        }
    }
    let missing = place.run(&["clients", "create", "other", "--public-key=/nowhere"]).await;
    assert_eq!(
        missing.failed(2),
        "--public-key: /nowhere cannot be read: No such file or directory (os error 2)"
    );
    let set = json!({ "keys": [{ "kid": "next", "kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"] }] });
    let file = place.write("set.json", &set.to_string());
    let shown = place.run(&["clients", "set-keys", "signer", "--public-key", &file]).await.succeeded();
    assert_eq!(field(&shown, "public keys"), "next");
}

#[tokio::test]
async fn what_a_client_cannot_be_is_refused_in_a_sentence_and_makes_nothing() {
    let place = Place::new();
    for (args, problem) in [
        (&["Billing"][..], "lower-case"),
        (&["signet"], "the service itself"),
        (&["01a20a05-adfd-7f0f-a948-424ae62fc105"], "which is an id"),
        (&[""], "must not be empty"),
        (&["billing", "--scope=a b"], "without spaces"),
        (&["billing", "--scope="], "printable ASCII"),
        (&["billing", "--allow-audience=é"], "printable ASCII"),
        (&["billing", "--public", "--public-key=x"], "--public"),
        (&["billing", "--audience=orders"], "a client's are given by --allow-audience"),
        (&["billing", "--audience", "orders"], "a client's are given by --allow-audience"),
    ] {
        let refused = place.run(&[&["clients", "create"], args].concat()).await;
        let sentence = refused.failed(2);
        assert!(sentence.contains(problem), "{args:?}: {sentence}");
        assert!(!place.has_data(), "{args:?}");
    }
    for command in ["list", "show x", "rotate-secret x", "disable x", "enable x", "delete x"] {
        let args: Vec<_> = ["clients"].into_iter().chain(command.split(' ')).collect();
        let refused = place.run(&args).await;
        assert!(refused.failed(2).contains("there is no database"), "{refused:?}");
    }
    place.run(&["clients", "create", "billing"]).await.succeeded();
    assert_eq!(place.run(&["clients", "create", "billing"]).await.failed(1), "the name is taken");
    place.run(&["clients", "create", "app", "--public"]).await.succeeded();
    for args in [
        &["rotate-secret", "app"][..],
        &["set-keys", "app", "--public-key", &place.write("key.json", PUBLIC_KEY)],
        &["set-certificate", "app", "--tls-san-dns=app.example"],
    ] {
        let refused = place.run(&[&["clients"], args].concat()).await;
        assert_eq!(
            refused.failed(1),
            "`app` is a public client: it has no secret, no public keys and no certificate"
        );
    }
    for who in ["nobody", "No Name", "01a20a05-adfd-7f0f-a948-424ae62fc105"] {
        let refused = place.run(&["clients", "disable", who]).await;
        assert_eq!(refused.failed(1), format!("there is no client `{who}`"));
    }
}

#[tokio::test]
async fn the_built_in_client_is_changed_as_others_are_and_stays() {
    let place = Place::new();
    let service = place.serve(&["--standing-cache-max-age=0s"]).await;
    let shown = place.run(&["clients", "show", "signet"]).await.succeeded();
    for (name, value) in
        [("id", "signet"), ("kind", "public"), ("state", "active"), ("scopes", "profile account")]
    {
        assert_eq!(field(&shown, name), value, "{name}");
    }
    let args = ["clients", "update", "signet", "--add-scope=openid", "--add-token-claim=roles"];
    let updated = place.run(&args).await.succeeded();
    assert_eq!(field(&updated, "scopes"), "profile account openid");
    place.run(&["roles", "update", "everyone", "--add-scope=openid"]).await.succeeded();
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let password = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
    let asked = IssueTokenRequest { grant: Some(Grant::Password(password)), ..IssueTokenRequest::default() };
    assert_eq!(client.issue(asked).await.unwrap().scope, "profile account openid");

    for (args, code, because) in [
        (&["delete", "signet"][..], 1, "it cannot be deleted"),
        (&["disable", "signet"], 1, "it cannot be disabled"),
        (&["update", "signet", "--name=other"], 1, "it keeps its name"),
        (&["rotate-secret", "signet"], 1, "it is public, and proves nothing"),
        (&["set-certificate", "signet", "--tls-san-dns=a.example"], 1, "it is public, and proves nothing"),
        (&["update", "signet", "--add-scope=signet.users.read"], 2, "may be asked for every scope"),
    ] {
        let refused = place.run(&[&["clients"], args].concat()).await;
        let sentence = refused.failed(code);
        assert!(sentence.contains(because), "{args:?}: {sentence}");
    }
    place.run(&["clients", "enable", "signet"]).await.succeeded();
    client.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_client_has_scopes_of_the_services_own_by_their_names_alone() {
    let place = Place::new();
    let created = place.run(&["clients", "create", "sync", "--scope=signet.users.read"]).await.succeeded();
    assert_eq!(field(&created, "scopes"), "signet.users.read");
    for args in [
        &["create", "other", "--scope=signet.user.read"][..],
        &["update", "sync", "--add-scope=signet.user.read"],
    ] {
        let refused = place.run(&[&["clients"], args].concat()).await;
        let sentence = refused.failed(2);
        assert!(sentence.contains("is `signet.users.read` meant?"), "{args:?}: {sentence}");
    }
}

#[tokio::test]
async fn a_client_that_gives_its_users_nothing_says_so_when_it_is_made() {
    let place = Place::new();
    let shop = ["--public", "--scope=orders.read", "--scope=introspect", "--allow-audience=orders"];
    let made = place.run(&[&["clients", "create", "shop"], &shop[..]].concat()).await.succeeded();
    assert_eq!(field(&made, "user scopes"), "-");
    assert!(made.stderr.contains("get none of its scopes"), "{made:?}");
    let args = ["roles", "update", "everyone", "--audience=orders", "--add-scope=orders.read"];
    place.run(&args).await.succeeded();
    let made = place.run(&[&["clients", "create", "web"], &shop[..]].concat()).await.succeeded();
    assert_eq!(field(&made, "user scopes"), "orders.read");
    assert!(!made.stderr.contains("get none of its scopes"), "{made:?}");
    // One that asks in its own name alone need not have any: nothing is wrong with it.
    let made = place.run(&["clients", "create", "billing", "--json"]).await.succeeded();
    assert_eq!(made.object()["user_scopes"], json!([]));
    assert!(!made.stderr.contains("get none of its scopes"), "{made:?}");
}
