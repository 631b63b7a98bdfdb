//! Owns `grpc.health.v1.Health`: the readiness of the service as the protocol tells it, per service.

use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};

/// The services that health is told of; the empty name stands for the server as a whole.
const SERVICES: [&str; 3] = ["", "identity.v1.IdentityService", "identity.v1.TokenService"];

/// Tells health checks and their watchers.
#[derive(Clone, Debug)]
pub(crate) struct HealthRpc(HealthReporter);

impl HealthRpc {
    /// A reporter, and the service that answers what it last heard.
    pub(crate) fn new() -> (Self, HealthServer<impl Health>) {
        let (reporter, server) = tonic_health::server::health_reporter();
        (Self(reporter), server)
    }

    /// Tells whether every service can serve.
    pub(crate) async fn report(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.0.set_service_status(service, status).await;
        }
    }

    /// Ends the streams of those who watch, after they have heard the last report: they would keep their connections open.
    pub(crate) async fn end_watches(mut self) {
        for service in SERVICES {
            self.0.clear_service_status(service).await;
        }
    }
}
