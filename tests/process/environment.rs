//! Owns what becomes of environment variables that mean nothing, or say nothing.

use crate::harness::Place;

/// What Kubernetes sets in the containers of a namespace with the Services `signet` and `signet-admin`.
const OF_KUBERNETES: [(&str, &str); 10] = [
    ("SIGNET_SERVICE_HOST", "10.96.0.7"),
    ("SIGNET_SERVICE_PORT", "50051"),
    ("SIGNET_SERVICE_PORT_GRPC", "50051"),
    ("SIGNET_PORT", "tcp://10.96.0.7:50051"),
    ("SIGNET_PORT_50051_TCP", "tcp://10.96.0.7:50051"),
    ("SIGNET_PORT_50051_TCP_PROTO", "tcp"),
    ("SIGNET_PORT_50051_TCP_PORT", "50051"),
    ("SIGNET_PORT_50051_TCP_ADDR", "10.96.0.7"),
    ("SIGNET_ADMIN_SERVICE_HOST", "10.96.0.8"),
    ("SIGNET_ADMIN_PORT_50053_UDP_ADDR", "10.96.0.8"),
];

#[tokio::test]
async fn a_misspelt_setting_is_refused_before_anything_is_made() {
    let place = Place::new();
    for (name, meant) in [
        ("SIGNET_DATABSE_URL_FILE", "SIGNET_DATABASE_URL_FILE"),
        ("SIGNET_DB_URL", "SIGNET_DATABASE_URL"),
        ("SIGNET_MASTERKEY", "SIGNET_MASTER_KEY"),
        ("SIGNET_GRPC_ADR", "SIGNET_GRPC_ADDR"),
    ] {
        for args in [&["serve"][..], &["users", "list"], &["migrate", "up"], &[]] {
            let refused = place.signet(args).env(name, "hunter2").run().await;
            assert_eq!(refused.failed(2), format!("{name} is no setting; the nearest is {meant}"));
        }
        let told = place.signet(&["jobs", "--json"]).env(name, "hunter2").run().await;
        let told: serde_json::Value = serde_json::from_str(&told.stderr).unwrap();
        assert_eq!(
            (&told["reason"], &told["violations"][0]["field"]),
            (&"INVALID_USAGE".into(), &name.into())
        );
        // What needs no setting, and whoever looks for the right name, is not held up.
        for args in [&["serve", "--help"][..], &["completions", "bash"], &["--version"]] {
            place.signet(args).env(name, "hunter2").run().await.succeeded();
        }
    }
    assert!(!place.has_data());
}

#[tokio::test]
async fn what_a_later_version_may_know_is_warned_of_and_refused_only_by_strict_settings() {
    let place = Place::embedded().await;
    let list = |more: &[&str]| {
        let invocation = place.signet(&[&["users", "list"], more].concat());
        invocation.env("SIGNET_PASSKEY_ORIGINS", "hunter2")
    };
    let warned = list(&[]).run().await.succeeded();
    assert!(warned.stderr.contains("WARN") && warned.stderr.contains("SIGNET_PASSKEY_ORIGINS"), "{warned:?}");
    assert!(!warned.stderr.contains("hunter2"), "{warned:?}");
    for strict in ["--strict-settings", "--strict-settings=true"] {
        let refused = list(&[strict]).run().await;
        assert!(
            refused.failed(2).starts_with("SIGNET_PASSKEY_ORIGINS is no setting of this version"),
            "{refused:?}"
        );
    }
    let by_variable = list(&[]).env("SIGNET_STRICT_SETTINGS", "on").run().await;
    assert!(by_variable.failed(2).starts_with("SIGNET_PASSKEY_ORIGINS"), "{by_variable:?}");
    let of_kubernetes = place.signet(&["users", "list", "--strict-settings"]).envs(OF_KUBERNETES);
    assert_eq!(of_kubernetes.run().await.succeeded().stderr, "");
}

#[tokio::test]
async fn an_empty_variable_counts_as_unset_but_where_it_would_begin_with_nothing() {
    let place = Place::new();
    for name in [
        "SIGNET_DATABASE_URL",
        "SIGNET_DATABASE_URL_FILE",
        "SIGNET_MASTER_KEY",
        "SIGNET_MASTER_KEY_FILE",
        "SIGNET_DATA_DIR",
    ] {
        let refused = place.signet(&[]).env(name, "").run().await;
        assert!(refused.failed(2).starts_with(&format!("{name} is set, and empty")), "{refused:?}");
    }
    assert!(!place.has_data());
    let empty = [
        "SIGNET_AUDIT_LOG",
        "SIGNET_EXT_AUTHZ",
        "SIGNET_EXT_AUTHZ_ADDR",
        "SIGNET_TLS_CERT",
        "SIGNET_GRPC_WEB_ORIGINS",
    ];
    let service = place.signet(&[]).envs(empty.map(|name| (name, ""))).serve().await;
    assert_eq!(service.started["ext_authz_addr"], serde_json::Value::Null);
    service.stop().await;
}
