//! Owns that a scope is renamed in three steps, as docs/POLICY.md has them, and no call is refused that was valid before.

use tempfile::TempDir;
use tonic::Code;

use crate::{
    policies::{TAKE, before, call, change, push, rules},
    signet::Signet,
    upstream::Upstream,
};

#[tokio::test]
async fn a_scope_is_renamed_in_three_steps_and_sessions_of_before_go_on_until_they_end() {
    let directory = TempDir::new().unwrap();
    let signet = Signet::start(&["--ext-authz=on", "--standing-cache-max-age=0s"]);
    let upstream = Upstream::start().await;
    signet.sign_up().await;
    let scopes = ["--scope", "profile", "--scope", "stock.write", "--allow-audience", "stock"];
    let client = signet.operate(&[&["clients", "create", "shop", "--public"], &scopes[..]].concat());
    let shop = client["id"].as_str().unwrap();
    signet.operate(&["roles", "create", "picker", "--audience", "stock", "--scope", "stock.write"]);
    signet.operate(&["roles", "bind", "picker", "--audience", "stock", "--user", "alice"]);
    for (version, rule) in [
        ("v1", r#"required_scopes: "stock.write""#),
        ("v2", r#"any_scopes: ["stock.write", "stock.reserve"]"#),
        ("v3", r#"required_scopes: "stock.reserve""#),
    ] {
        push(&signet, version, &rules(&directory, version, &format!("authenticated: {{ {rule} }}")));
    }
    change(&signet, "activate", "v1");
    let envoy = before(&signet, &upstream, &[]).await;
    let passes = async |token: &str| call(&envoy, TAKE, Some(token)).await.unwrap();
    let mut old = signet.log_in_by(shop).await;
    assert_eq!(old.scope, "stock.write");
    passes(&old.access_token).await;

    // 1: either will do.
    change(&signet, "activate", "v2");
    passes(&old.access_token).await;
    change(&signet, "retire", "v1");
    passes(&old.access_token).await;

    // 2: roles and clients get the new one beside the old one. A session that began before never gets it, and goes on without.
    signet.operate(&["roles", "update", "picker", "--audience", "stock", "--add-scope", "stock.reserve"]);
    signet.operate(&["clients", "update", "shop", "--add-scope", "stock.reserve"]);
    for _ in 0..2 {
        passes(&old.access_token).await;
        old = signet.refresh(shop, old.refresh_token.as_deref().unwrap()).await.unwrap();
        assert_eq!(old.scope, "stock.write");
    }
    passes(&old.access_token).await;
    let began = signet.log_in_by(shop).await;
    assert_eq!(began.scope, "stock.write stock.reserve");
    passes(&began.access_token).await;
    // Once the sessions of before have ended, by themselves or since somebody ends them, nobody is left without.
    signet.operate(&["users", "end-sessions", "alice", "--yes"]);
    let ended = signet.refresh(shop, old.refresh_token.as_deref().unwrap()).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    let mut new = signet.log_in_by(shop).await;
    passes(&new.access_token).await;

    // 3: the new one alone, and then the old one is taken away.
    change(&signet, "activate", "v3");
    passes(&new.access_token).await;
    change(&signet, "retire", "v2");
    passes(&new.access_token).await;
    signet.operate(&["roles", "update", "picker", "--audience", "stock", "--remove-scope", "stock.write"]);
    signet.operate(&["clients", "update", "shop", "--remove-scope", "stock.write"]);
    passes(&new.access_token).await;
    new = signet.refresh(shop, new.refresh_token.as_deref().unwrap()).await.unwrap();
    assert_eq!(new.scope, "stock.reserve");
    passes(&new.access_token).await;
}
