//! Owns `grpc.health.v1.Health`: the readiness of the service as the protocol tells it, per service.

use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};

/// The services that are always there; the empty name stands for the server as a whole.
const SERVICES: [&str; 3] = ["", "identity.v1.IdentityService", "identity.v1.TokenService"];

/// Tells health checks and their watchers.
#[derive(Clone, Debug)]
pub(crate) struct HealthRpc {
    reporter: HealthReporter,
    /// Those that health is told of.
    services: Vec<&'static str>,
}

impl HealthRpc {
    /// A reporter, and the service that answers what it last heard, of `further` services too.
    pub(crate) fn new(further: Option<&'static str>) -> (Self, HealthServer<impl Health>) {
        let (reporter, server) = tonic_health::server::health_reporter();
        (Self { reporter, services: SERVICES.into_iter().chain(further).collect() }, server)
    }

    /// Tells whether every service can serve.
    pub(crate) async fn report(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
