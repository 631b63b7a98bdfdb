//! Owns what is promised while no database can be reached at all, and afterwards, without a restart.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_types::StatusExt;

use crate::{
    client::{Client, PASSWORD, reason},
    harness::{PATIENCE, Place},
    load::{CALL_BOUND, by_default},
};

/// Asks for the health of `client`'s server until it is `wanted`.
async fn health_becomes(client: &Client, wanted: ServingStatus) {
    let becoming = async {
        loop {
            let answer = client.health().check(HealthCheckRequest::default()).await.unwrap();
            if answer.into_inner().status() == wanted {
                return;
            }
        }
    };
    timeout(PATIENCE, becoming).await.unwrap_or_else(|_| panic!("health becomes {wanted:?}"));
}

/// Runs the service on `place`, has its database taken away by `down`, and brought back by `up`.
pub(crate) async fn service_survives(place: &Place, down: impl Future, up: impl Future) {
    let service = by_default(place, &[]).await;
    // Somebody for whom a session that was known a minute ago is known well enough.
    let lenient = by_default(place, &["--standing-cache-max-age=1m"]).await;
    let (client, lenient_client) = (service.client().await, lenient.client().await);
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    client.get_me(&token).await.unwrap();
    lenient_client.get_me(&token).await.unwrap();

    down.await;
    health_becomes(&client, ServingStatus::NotServing).await;
    for call in 0..3 {
        let (start, name) = (Instant::now(), format!("user-{call}"));
        let results =
            tokio::join!(client.sign_up(&name), client.log_in("alice", PASSWORD), client.get_me(&token));
        let took: Duration = start.elapsed();
        assert!(took < CALL_BOUND, "{took:?}");
        for status in [results.0.unwrap_err(), results.1.unwrap_err(), results.2.unwrap_err()] {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert!(retry.is_some(), "{status:?}");
        }
        assert_eq!(
            reason(&lenient_client.get_me(&token).await),
            "OK",
            "what is known counts for as long as was said"
        );
        let jwks = service.http_status("/.well-known/jwks.json").await;
        assert_eq!(jwks, 200, "whoever verifies tokens himself goes on");
        assert_eq!(service.http_status("/readyz").await, 503);
        assert_eq!(service.http_status("/livez").await, 200, "a restart would not help");
    }

    up.await;
    health_becomes(&client, ServingStatus::Serving).await;
    client.get_me(&token).await.unwrap();
    // A primary reads before its standby has joined it again, and acknowledges commits only after that: one may have gone through whose
    // answer came too late.
    let committing = async {
        while let Err(status) = client.sign_up("user-0").await {
            match status.code() {
                Code::Unavailable => {}
                Code::AlreadyExists => break,
                _ => panic!("{status:?}"),
            }
        }
    };
    timeout(PATIENCE, committing).await.expect("it writes in time");
    client.log_in("alice", PASSWORD).await.unwrap();
    service.stop().await;
}
