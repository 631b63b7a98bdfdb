//! Owns what starting promises: what is printed, what is made, and that nothing is made twice.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};
use signet::config::{DEFAULT_ADMIN_ADDR, DEFAULT_OPERATIONS_ADDR};
use tokio::net::TcpListener;

use crate::{client::PASSWORD, harness::Place};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_start_prints_one_json_line_with_the_real_ports_and_listens_there() {
    let place = Place::new();
    let service = place.serve(&["serve"]).await;
    let started = service.started.as_object().unwrap();
    let members: Vec<_> = started.keys().map(String::as_str).collect();
    let expected = [
        "admin_addr",
        "admin_problem",
        "database",
        "explorer_url",
        "ext_authz_addr",
        "grpc_addr",
        "http_addr",
        "issuer",
        "master_key_made",
        "migrations_applied",
        "operations_addr",
        "operations_problem",
        "signing_key",
        "tls",
    ];
    assert_eq!(members, expected);
    assert!(service.grpc_addr().port() != 0 && service.http_addr().port() != 0, "{started:?}");
    assert_eq!(started["database"], "./signet-data/signet.db");
    assert_eq!(started["master_key_made"], "./signet-data/master.key");
    assert_ne!(started["migrations_applied"], json!([]));
    assert_eq!(started["ext_authz_addr"], json!(null));

    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    for path in ["/livez", "/readyz", "/.well-known/jwks.json"] {
        assert_eq!(service.http_status(path).await, 200, "{path}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(service.operations_get(path).await.0, 200, "{path}");
    }
    assert_eq!(started["operations_problem"], json!(null));
    let finished = service.stop().await;
    assert_eq!(finished.stdout.lines().count(), 1, "{finished:?}");
}

#[tokio::test]
async fn a_start_tells_people_what_it_did_where_it_listens_and_what_to_try() {
    let place = Place::new();
    // Without a command it serves.
    let mut process = place.signet(&[]).start();
    let mut said = String::new();
    while !said.contains("signet doctor") {
        said.push_str(&process.line().await.expect("it serves"));
        said.push('\n');
    }
    for part in [
        "Made the master key ./signet-data/master.key: keep a copy apart from the database.\n",
        " migration(s).\n",
        "Database:    ./signet-data/signet.db\n",
        "Signing key: ",
        "gRPC:        127.0.0.1:",
        "HTTP:        http://127.0.0.1:",
        "Explorer:    http://127.0.0.1:",
        "Admin API:   127.0.0.1:",
        "Operations:  http://127.0.0.1:",
        " (/metrics, /livez, /readyz)\n",
        "Try it:\n",
        " identity.v1.IdentityService/SignUp\n",
        " identity.v1.IdentityService/IssueToken\n",
        "/identity.v1.IdentityService/SignUp\n",
        "`signet top`",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    let grpc = said.lines().find_map(|line| line.strip_prefix("gRPC:")).unwrap().trim();
    let tries: Vec<_> = said.lines().filter(|line| line.contains("grpcurl ")).collect();
    assert!(tries.len() == 3 && tries.iter().all(|line| line.contains(&format!(" {grpc} "))), "{tries:?}");
    assert!(!grpc.ends_with(":0"), "{grpc}");
}

#[tokio::test]
async fn a_start_goes_on_without_the_default_of_the_operations_address_where_it_is_taken_and_says_so() {
    let place = Place::new();
    // If this fails, another program has it: that is all the same, unless it is a Signet, which answers a health check.
    let taken = TcpListener::bind(DEFAULT_OPERATIONS_ADDR).await;
    let is_taken_by_test = taken.is_ok();
    let taken = tokio::spawn(async move {
        let Ok(taken) = taken else { return };
        while taken.accept().await.is_ok() {}
    });
    let problem = format!("{DEFAULT_OPERATIONS_ADDR} cannot be taken: another process listens there");
    let service = place.signet(&[]).without_env("SIGNET_OPERATIONS_ADDR").serve().await;
    assert_eq!(service.started["operations_addr"], json!(null));
    assert_eq!(service.started["operations_problem"], json!(problem));
    assert_eq!(service.http_status("/readyz").await, 200);
    let http = format!("--http-addr={}", service.http_addr());
    let healthy = place.signet(&["healthcheck", &http]).without_env("SIGNET_OPERATIONS_ADDR").run().await;
    if is_taken_by_test {
        assert_eq!(healthy.succeeded().stdout, format!("{} serves.\n", service.http_addr()));
    }
    let log = service.stop().await.stderr;
    assert!(
        log.contains(" WARN ") && log.contains(&problem) && log.contains("set --operations-addr"),
        "{log}"
    );

    let mut process = place.signet(&[]).without_env("SIGNET_OPERATIONS_ADDR").start();
    let line = loop {
        let line = process.line().await.expect("it serves");
        if line.starts_with("Operations:") {
            break line;
        }
    };
    assert_eq!(line, format!("Operations:  nowhere: {problem}. Set --operations-addr, or `off`"));
    taken.abort();
}

#[tokio::test]
async fn a_start_goes_on_without_the_default_of_the_admin_address_where_it_is_taken_and_says_so() {
    let place = Place::new();
    // If this fails, another program has it: that is all the same.
    let _taken = TcpListener::bind(DEFAULT_ADMIN_ADDR).await;
    let problem = format!("{DEFAULT_ADMIN_ADDR} cannot be taken: another process listens there");
    let service = place.signet(&[]).without_env("SIGNET_ADMIN_ADDR").serve().await;
    assert_eq!(service.started["admin_addr"], json!(null));
    assert_eq!(service.started["admin_problem"], json!(problem));
    assert_eq!(service.http_status("/readyz").await, 200);
    let log = service.stop().await.stderr;
    assert!(log.contains(" WARN ") && log.contains(&problem) && log.contains("set --admin-addr"), "{log}");

    let mut process = place.signet(&[]).without_env("SIGNET_ADMIN_ADDR").start();
    let line = loop {
        let line = process.line().await.expect("it serves");
        if line.starts_with("Admin API:") {
            break line;
        }
    };
    assert_eq!(line, format!("Admin API:   nowhere: {problem}. Set --admin-addr, or `off`"));
}

#[tokio::test]
async fn the_admin_api_is_served_beyond_this_machine_in_plaintext_only_if_that_is_said_and_nowhere_if_it_is_off()
 {
    let place = Place::new();
    let service = place.serve(&["--admin-addr=0.0.0.0:0", "--admin-plaintext=on"]).await;
    assert_ne!(service.admin_addr().port(), 0);
    service.stop().await;
    let service = place.serve(&["--admin-addr=off"]).await;
    assert_eq!(
        (&service.started["admin_addr"], &service.started["admin_problem"]),
        (&json!(null), &json!(null))
    );
    let log = service.stop().await.stderr;
    assert!(!log.contains("admin"), "{log}");
}

#[tokio::test]
async fn operators_are_served_nowhere_where_that_is_off() {
    let place = Place::new();
    let service = place.serve(&["--operations-addr=off"]).await;
    assert_eq!(service.started["operations_addr"], json!(null));
    assert_eq!(service.started["operations_problem"], json!(null));
    assert_eq!(service.http_status("/livez").await, 200);
    assert_eq!(service.http_status("/metrics").await, 404);
    let log = service.stop().await.stderr;
    assert!(!log.contains("operations"), "{log}");
}

#[tokio::test]
async fn the_data_are_made_for_this_user_alone() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    service.client().await.sign_up("alice").await.unwrap();
    assert_eq!(mode(&place.data("")), 0o700);
    let found = names(&place.data(""));
    assert!(found.contains(&"master.key".to_owned()) && found.contains(&"signet.db".to_owned()), "{found:?}");
    for name in found {
        assert_eq!(mode(&place.data(&name)), 0o600, "{name}");
    }
    let key = fs::read_to_string(place.data("master.key")).unwrap();
    let digits = key.trim_end();
    assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "the key's form");
    service.stop().await;
    let left = ["master.key", "signet.db", "signet.db.lock"];
    assert_eq!(names(&place.data("")), left, "a stop leaves nothing half done");
}

#[tokio::test]
async fn a_second_start_makes_nothing_new_and_tokens_outlive_the_restart() {
    let place = Place::new();
    let first = place.serve(&[]).await;
    let client = first.client().await;
    let user = client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    let signing_key = first.started["signing_key"].clone();
    first.stop().await;
    let key = fs::read(place.data("master.key")).unwrap();

    let second = place.serve(&[]).await;
    assert_eq!(second.started["master_key_made"], Value::Null);
    assert_eq!(second.started["migrations_applied"], json!([]));
    assert_eq!(second.started["signing_key"], signing_key);
    assert_eq!(fs::read(place.data("master.key")).unwrap(), key);
    assert_eq!(second.client().await.get_me(&token).await.unwrap().id, user.id);
    second.stop().await;

    let mut third = place.signet(&[]).start();
    let first_line = third.line().await.unwrap();
    assert_eq!(
        first_line, "Database:    ./signet-data/signet.db",
        "nothing was made, so nothing is told of it"
    );
}

#[tokio::test]
async fn a_missing_or_exposed_or_foreign_master_key_is_refused_and_nothing_is_made_in_its_place() {
    let place = Place::new();
    place.serve(&[]).await.stop().await;
    let path = place.data("master.key");
    let key = fs::read_to_string(&path).unwrap();

    let foreign = "ab".repeat(32);
    let refused = place.run(&["--master-key", &foreign]).await;
    let sentence = refused.failed(2);
    assert!(sentence.starts_with("--master-key (SIGNET_MASTER_KEY): ") && !sentence.contains(&foreign));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = place.run(&[]).await;
    assert!(refused.failed(2).contains("chmod 600 ./signet-data/master.key"), "{refused:?}");

    fs::remove_file(&path).unwrap();
    let refused = place.run(&[]).await;
    assert!(refused.failed(2).contains("master.key is missing"), "{refused:?}");
    assert!(!path.exists(), "no other key is made in its place");

    // The copy that was kept apart opens it again.
    place.serve(&["--master-key", key.trim()]).await.stop().await;
}
