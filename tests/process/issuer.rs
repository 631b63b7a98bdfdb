//! Owns who issues the tokens where nobody has said it.

use serde_json::Value;

use crate::harness::Place;

#[tokio::test]
async fn the_issuer_follows_the_address_of_http_while_that_is_of_this_machine_alone() {
    let place = Place::new();
    let service = place.signet(&[]).without_env("SIGNET_ISSUER").serve().await;
    let issuer = format!("http://{}", service.http_addr());
    assert_eq!(service.started["issuer"], *issuer);
    let (_, metadata) = service.http_get("/.well-known/openid-configuration").await;
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["issuer"], *issuer, "a client compares it with where it asked");
    assert!(!service.stop().await.stderr.contains("nobody who follows the issuer"));

    let args = ["--issuer=https://id.example"];
    let service = place.signet(&args).without_env("SIGNET_ISSUER").serve().await;
    assert_eq!(service.started["issuer"], "https://id.example", "one that is set stays");
    assert!(!service.stop().await.stderr.contains("nobody who follows the issuer"));

    let service = place.signet(&["--http-addr=0.0.0.0:0"]).without_env("SIGNET_ISSUER").serve().await;
    assert_eq!(
        service.started["issuer"], "http://127.0.0.1:8080",
        "which of its names others call it by is not known"
    );
    let stopped = service.stop().await;
    assert!(stopped.stderr.contains("nobody who follows the issuer finds this service"), "{stopped:?}");
}
