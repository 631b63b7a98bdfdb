//! Owns that a manifest makes nobody an owner of an audience by a secret of a client that owns one.

use serde_json::json;
use tonic::Code;

use super::{APPLIES, AdminApi, SECRET, told};
use crate::harness::assert_refused;

#[tokio::test]
async fn a_client_that_owns_an_audience_gets_no_secret_by_who_could_not_rule_that() {
    let api = AdminApi::start().await;
    let (root, mallory) =
        (api.admin_applier().await, api.applier("mallory", &format!("{APPLIES} signet.clients.write")).await);
    let with_client = |secret: &str, scopes: &[&str]| json!([{"name": "robot", "scopes": scopes, "audiences": ["stock"], "secret": secret}]);
    let owners = json!([{"name": "stock", "owners": [{"client": "robot"}]}]);
    root.apply(json!({"set": "staff", "clients": with_client(SECRET, &["stock.see"]), "audiences": owners}))
        .await
        .unwrap();
    let other = SECRET.replacen('A', "B", 1);
    let theirs = json!({"set": "mine", "clients": with_client(&other, &["stock.see"])});
    mallory.is_refused(theirs.clone(), "NOT_OWNER", "client `robot`").await;
    let refused = assert_refused(mallory.apply(theirs.clone()).await, Code::PermissionDenied, "NOT_OWNER");
    assert_eq!(told(&refused, "audience"), "stock");
    // What it has is no other secret, and what makes it nobody else's is the writer's still.
    mallory.apply(json!({"set": "mine", "clients": with_client(SECRET, &[])})).await.unwrap();
    root.apply(
        json!({"set": "staff", "clients": with_client(SECRET, &["stock.see"]), "audiences": [{"name": "stock"}]}),
    )
    .await
    .unwrap();
    mallory.apply(theirs).await.unwrap();
}
