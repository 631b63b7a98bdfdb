//! Owns what `--bootstrap` promises: a manifest that counts at the first start, whole, once, and for one of several processes.

use crate::harness::Place;

/// A client that administers, and a group.
const MANIFEST: &str = "set: first
groups: [{name: operators}]
clients:
  - name: ops
    scopes: [signet.users.read]
    secret: env:OPS_SECRET
bindings:
  - {role: auditor, client: ops}
";

/// 256 bits in base64url, as Signet makes secrets.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

const SERVE: &[&str] = &["serve", "--bootstrap", "first.yaml"];
const APPLIED: &str = "applied --bootstrap";
const LEFT_ALONE: &str = "--bootstrap is left alone";

impl Place {
    fn bootstrapping(&self) -> crate::harness::Invocation {
        self.signet(SERVE).env("OPS_SECRET", SECRET)
    }

    async fn groups(&self) -> String {
        self.run(&["groups", "list", "--json"]).await.succeeded().stdout
    }
}

#[tokio::test]
async fn what_cannot_be_read_refuses_the_first_start_before_anything_is_made() {
    let place = Place::new();
    let no_file = place.bootstrapping().run().await;
    assert!(no_file.failed(2).starts_with("--bootstrap (SIGNET_BOOTSTRAP): first.yaml: cannot be read"));
    place.write("first.yaml", "set: first\nroels: []\n");
    let misspelt = place.bootstrapping().run().await;
    assert!(misspelt.failed(2).contains("first.yaml:2:1: unknown field `roels`: is `roles` meant?"));
    place.write("first.yaml", MANIFEST);
    let no_secret = place.signet(SERVE).without_env("OPS_SECRET").run().await;
    assert!(no_secret.failed(2).contains("env:OPS_SECRET is not set in the environment"));
    assert!(!place.has_data());
}

#[tokio::test]
async fn a_database_that_is_away_is_not_taken_for_a_first_start() {
    let place = Place::new();
    place.write("first.yaml", "set: first\nroels: []\n");
    let key = format!("--master-key={}", "00".repeat(32));
    let away = ["--database-url=postgres://signet:x@127.0.0.1:1/signet", &key, "--database-wait=1s"];
    let refused = place.run(&[SERVE, &away].concat()).await;
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.stderr.contains("cannot be reached"), "{refused:?}");
    assert!(!refused.stderr.contains("roels"), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_made_true_leaves_neither_key_nor_anything_of_it() {
    let place = Place::on_database().await;
    let user = "bindings: [{role: admin, user: {id: 01900000-0000-7000-8000-000000000000}}]\n";
    // The last one is refused in the transaction, when the key and the group are there.
    let twice = "set: first\ngroups: [{name: operators}]\nclients:\n\
                 - {name: one, spiffe_id: 'spiffe://a.example/b'}\n- {name: two, spiffe_id: 'spiffe://a.example/b'}\n";
    for (manifest, said) in [
        (format!("set: first\n{user}"), "there is no user `01900000-0000-7000-8000-000000000000`"),
        (twice.to_owned(), "another client has this SPIFFE ID"),
    ] {
        place.write("first.yaml", &manifest);
        let refused = place.bootstrapping().run().await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let is_said =
            refused.stderr.contains("--bootstrap (SIGNET_BOOTSTRAP): ") && refused.stderr.contains(said);
        assert!(is_said, "{refused:?}");
        assert_eq!(place.run(&["keys", "list", "--json"]).await.succeeded().stdout, "");
        assert_eq!(place.groups().await, "");
    }
    place.write("first.yaml", MANIFEST);
    let mut service = place.bootstrapping().serve().await;
    service.logs(APPLIED).await;
    assert!(place.groups().await.contains("operators"));
}

#[tokio::test]
async fn it_counts_at_the_first_start_and_never_again() {
    let place = Place::on_database().await;
    place.write("first.yaml", MANIFEST);
    let mut service = place.bootstrapping().serve().await;
    // By its id it is called, and nobody here can look that up.
    service.logs("ops=0").await;
    let shown = place.run(&["access", "show", "--client", "ops"]).await.succeeded().stdout;
    assert!(shown.contains("signet.audit.read") && shown.contains("auditor"), "{shown}");
    let events = place.run(&["audit", "list", "--json"]).await.succeeded().stdout;
    for event in ["manifest.applied", "client.created", "role.bound"] {
        assert!(events.contains(event), "{event}: {events}");
    }
    service.kill().await;

    // What was deleted by hand stays deleted, whatever the file says by now, and whether it can be read.
    place.run(&["groups", "delete", "operators"]).await.succeeded();
    for manifest in [MANIFEST, "set: first\nroels: []\n"] {
        place.write("first.yaml", manifest);
        let mut service = place.bootstrapping().serve().await;
        service.logs(LEFT_ALONE).await;
        service.stop().await;
        assert_eq!(place.groups().await, "");
    }
    // By the same set it is applied like any other manifest from then on.
    place.write("first.yaml", MANIFEST);
    let applied = place.signet(&["apply", "-f", "first.yaml", "--yes"]).env("OPS_SECRET", SECRET).run().await;
    assert_eq!(applied.succeeded().stdout, "+ group `operators`\nApplied.\n");
}

#[tokio::test]
async fn a_service_that_has_started_without_it_leaves_it_alone() {
    let place = Place::on_database().await;
    place.serve(&["serve"]).await.stop().await;
    place.write("first.yaml", MANIFEST);
    let mut service = place.bootstrapping().serve().await;
    service.logs(LEFT_ALONE).await;
    assert_eq!(place.groups().await, "");
}

#[tokio::test]
async fn of_two_that_start_at_once_one_applies_it() {
    let place = Place::migrated().await;
    place.write("first.yaml", MANIFEST);
    let (one, other) = tokio::join!(place.bootstrapping().serve(), place.bootstrapping().serve());
    let kids = [&one, &other].map(|service| service.started["signing_key"].clone());
    assert_eq!(kids[0], kids[1], "the one key");
    let events = place.run(&["audit", "list", "--json"]).await.succeeded().stdout;
    let applied = events.lines().filter(|line| line.contains("manifest.applied")).count();
    assert_eq!(applied, 1, "{events}");
    assert_eq!(place.groups().await.lines().count(), 1);
}
