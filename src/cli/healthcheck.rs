//! Owns `signet healthcheck`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use serde_json::json;
use tonic::transport::{Endpoint, Uri};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Failure, Output};
use crate::{config::Config, model::error::chain, server::Probe};

/// How long the answer may take: container probes give a second or a few.
const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let addr = reachable(config.grpc_addr);
    let probe = Probe::new(&config.tls).map_err(|error| Failure::Usage(error.to_string()))?;
    let status = check(addr, probe)
        .await
        .map_err(|problem| Failure::Failed(format!("{addr} does not serve: {problem}")))?;
    if status != ServingStatus::Serving {
        return Err(Failure::Failed(format!("{addr} does not serve: it answers {}", status.as_str_name())));
    }
    output.answer(&format!("{addr} serves."), &json!({ "status": status.as_str_name() }))
}

async fn check(addr: SocketAddr, probe: Option<Probe>) -> Result<ServingStatus, String> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|error| error.to_string())?;
    let endpoint = endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT);
    let channel = match probe {
        None => endpoint.connect().await,
        Some(probe) => {
            let connect = move |_: Uri| {
                let probe = probe.clone();
                async move { probe.connect(addr).await.map(TokioIo::new) }
            };
            endpoint.connect_with_connector(tower::service_fn(connect)).await
        }
    };
    let channel = channel.map_err(|error| chain(&error))?;
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .map_err(|status| status.message().to_owned())?;
    Ok(answer.into_inner().status())
}

/// A server that listens on every address is asked on this machine's own.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}
