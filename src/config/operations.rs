//! Owns the settings of what is served to those who operate the service: where, and to which host names.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;

use super::ip_and_port;
use crate::model::HostPattern;

/// Where operators are served if nothing is set: on this machine alone.
pub const DEFAULT_OPERATIONS_ADDR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8089);

/// What is served to operators.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct OperationsConfig {
    /// Where operators are served: metrics (/metrics) and probes (/livez, /readyz), with connections of their own, which no flood at
    /// the other addresses takes; or `off`. 127.0.0.1:8089 unless set: if that port is taken, the service starts without it and says
    /// so. Port 0 takes a free port, which is printed.
    #[arg(long, env = "SIGNET_OPERATIONS_ADDR", global = true, value_name = "IP:PORT|off", value_parser = operations_addr)]
    pub operations_addr: Option<OperationsAddr>,

    /// More host names by which --operations-addr may be asked, separated by commas; `*.example` stands for all names below one. By
    /// itself it answers to IP addresses, `localhost`, the host of --issuer, `*.svc` and `*.svc.cluster.local`, so that no web page
    /// can read it under a name of its own (DNS rebinding).
    #[arg(long, env = "SIGNET_OPERATIONS_HOSTS", global = true, value_name = "HOSTS", value_delimiter = ',')]
    pub operations_hosts: Vec<HostPattern>,
}

/// Where operators are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationsAddr {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl OperationsConfig {
    /// Where operators are to be served, if anywhere.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        match self.operations_addr {
            None => Some(DEFAULT_OPERATIONS_ADDR),
            Some(OperationsAddr::At(addr)) => Some(addr),
            Some(OperationsAddr::Off) => None,
        }
    }
}

fn operations_addr(text: &str) -> Result<OperationsAddr, String> {
    if text == "off" {
        return Ok(OperationsAddr::Off);
    }
    ip_and_port(text).map(OperationsAddr::At).map_err(|problem| format!("{problem}; or `off`"))
}
