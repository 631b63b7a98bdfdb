//! Owns `grpc.health.v1.Health`: the readiness of the service as the protocol tells it, per service.

use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// The name of the server as a whole.
const WHOLE: &str = "";

/// Tells health checks and their watchers.
#[derive(Clone, Debug)]
pub(crate) struct HealthRpc {
    reporter: HealthReporter,
    /// Those that health is told of.
    services: Vec<&'static str>,
}

impl HealthRpc {
    /// Tells the health of the server as a whole, and of these services.
    pub(crate) fn new(services: impl IntoIterator<Item = &'static str>) -> Self {
        let services = [WHOLE].into_iter().chain(services).collect();
        Self { reporter: HealthReporter::new(), services }
    }

    /// The gRPC service that answers what was reported last.
    pub(crate) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Tells whether every service can serve.
    pub(crate) async fn report(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
