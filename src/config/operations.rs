//! Owns the settings of what is served to those who operate the service: where, and to which host names.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;

use super::{OptionalAddr, ip_and_port_or_off};
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
    #[arg(long, env = "SIGNET_OPERATIONS_ADDR", global = true, value_name = "IP:PORT|off", value_parser = ip_and_port_or_off)]
    pub operations_addr: Option<OptionalAddr>,

    /// More host names by which --operations-addr may be asked, separated by commas; `*.example` stands for all names below one. By
    /// itself it answers to IP addresses, `localhost`, the host of --issuer, `*.svc` and `*.svc.cluster.local`, so that no web page
    /// can read it under a name of its own (DNS rebinding).
    #[arg(long, env = "SIGNET_OPERATIONS_HOSTS", global = true, value_name = "HOSTS", value_delimiter = ',')]
    pub operations_hosts: Vec<HostPattern>,
}

impl OperationsConfig {
    /// Where operators are to be served, if anywhere.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        OptionalAddr::addr(self.operations_addr, DEFAULT_OPERATIONS_ADDR)
    }
}
