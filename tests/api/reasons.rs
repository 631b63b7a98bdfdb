//! Owns what the metrics tell of why requests are refused, of what they wait for, and that it is documented.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::collections::BTreeSet;

use signet::metrics::families;
use tonic::Code;

use crate::harness::{PASSWORD, TestServer, assert_refused};

#[tokio::test]
async fn refusals_are_counted_by_the_reason_that_was_told_over_whatever_protocol() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let before = server.scrape().await;
    let of = |reason| [("reason", reason)];
    // The first of each is an increase, and not a series that was not there.
    for reason in ["TOKEN_INVALID", "UNAVAILABLE", "none"] {
        assert!(before.text.contains(&format!("signet_errors_total{{reason=\"{reason}\"}} 0")), "{reason}");
    }
    assert_eq!(before.sum("signet_errors_total", &[]), 0.0);

    client.token_of_new("alice").await;
    assert_refused(client.sign_up("alice", PASSWORD).await, Code::AlreadyExists, "USERNAME_TAKEN");
    assert_refused(client.get_me("x").await, Code::Unauthenticated, "TOKEN_INVALID");
    let refused = server.http().post("/oauth2/token", &[("grant_type", "implicit")]).await;
    refused.assert_refused(400, "unsupported_grant_type", "UNSUPPORTED_GRANT_TYPE");
    assert_eq!(server.http_get("/made/up").await.status(), 404);
    let after = server.scrape().await;
    for (reason, count) in
        [("USERNAME_TAKEN", 1.0), ("TOKEN_INVALID", 1.0), ("UNSUPPORTED_GRANT_TYPE", 1.0), ("none", 1.0)]
    {
        assert_eq!(after.sum("signet_errors_total", &of(reason)), count, "{reason}");
    }
    assert_eq!(after.sum("signet_errors_total", &[]), 4.0, "a success is none of them");
}

#[tokio::test]
async fn each_hash_has_waited_for_its_thread_once() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.token_of_new("alice").await;
    assert_refused(client.log_in("alice", "wrong").await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let scrape = server.scrape().await;
    assert_eq!(scrape.sum("signet_hash_wait_seconds_count", &[]), 3.0);
    // A wait is told by its length: none of these was longer than the last bound.
    assert_eq!(scrape.sum("signet_hash_wait_seconds_bucket", &[("le", "10")]), 3.0);
}

#[tokio::test]
async fn the_connections_of_each_pool_are_told() {
    let server = TestServer::start(&[]).await;
    server.client().await.token_of_new("alice").await;
    let scrape = server.scrape().await;
    let mut all = 0.0;
    for pool in ["calls", "strangers", "service", "writer"] {
        let of = |state| scrape.sum("signet_database_connections", &[("pool", pool), ("state", state)]);
        let most = scrape.sum("signet_database_connections_max", &[("pool", pool)]);
        assert!(of("busy") + of("idle") <= most, "{pool}: {} and {} of {most}", of("busy"), of("idle"));
        // SQLite alone has a writer apart from the others.
        assert!(most > 0.0 || pool == "writer", "{pool}");
        all += of("busy") + of("idle");
    }
    assert!(all > 0.0, "some are open");
}

#[tokio::test]
async fn every_series_is_documented_and_every_documented_series_is_served() {
    let server = TestServer::start(&[]).await;
    server.client().await.token_of_new("alice").await;
    server.operations_get("/metrics").await;
    let scrape = server.scrape().await;
    // Where there is no TLS, no certificate can expire, and where no version of a policy is in SHADOW none judges. Their tests see these
    // series.
    let elsewhere = [
        ("signet_tls_certificate_expiry_timestamp_seconds", "gauge"),
        ("signet_policy_shadow_verdicts_total", "counter"),
    ];
    let families = scrape.families().into_iter().chain(elsewhere);
    let told: BTreeSet<_> = families.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    // Of which docs/METRICS.md is made.
    let listed = families::ALL
        .iter()
        .map(|family| (family.name, family.kind))
        .chain(families::OF_PROCESS.iter().copied());
    let listed: BTreeSet<_> = listed.map(|(name, kind)| (name.to_owned(), kind.name().to_owned())).collect();
    assert_eq!(told, listed);
    // And no series has other labels than are listed; buckets have their bound besides.
    for (name, labels) in scrape.labels() {
        let Some(family) = families::ALL.iter().find(|family| name == family.name) else { continue };
        let (labels, listed) = (BTreeSet::from_iter(labels), BTreeSet::from_iter(family.label_names()));
        assert_eq!(labels, listed, "{name}");
    }
}
