//! Owns the settings of the admin API: where it is served, and whether tokens may pass there in plaintext.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use super::{ConfigError, OptionalAddr, Switch, TlsConfig, ip_and_port_or_off};

/// Where the admin API is served if nothing is set: on this machine alone.
pub const DEFAULT_ADMIN_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_053);

/// Where the admin API is served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct AdminConfig {
    /// Where the admin API (identity.admin.v1) is served, beside identity.v1 and nowhere else, with connections of its own; or `off`.
    /// 127.0.0.1:50053 unless set: if that port is taken, the service starts without it and says so. Beyond this machine it wants
    /// --tls-cert, or --admin-plaintext on. Port 0 takes a free port, which is printed.
    #[arg(long, env = "SIGNET_ADMIN_ADDR", global = true, value_name = "IP:PORT|off", value_parser = ip_and_port_or_off)]
    pub admin_addr: Option<OptionalAddr>,

    /// Whether --admin-addr may be reached from beyond this machine without TLS: for a sidecar that speaks it. Whoever reads the
    /// network reads tokens there that administer the service.
    #[arg(long, env = "SIGNET_ADMIN_PLAINTEXT", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::Off)]
    pub admin_plaintext: Switch,
}

impl AdminConfig {
    /// Where the admin API is to be served, if anywhere.
    ///
    /// # Errors
    /// If tokens would pass there in plaintext, and nobody has said that they may; or if somebody has, and there is TLS.
    pub fn addr(&self, tls: &TlsConfig) -> Result<Option<SocketAddr>, ConfigError> {
        let addr = OptionalAddr::addr(self.admin_addr, DEFAULT_ADMIN_ADDR);
        let is_plaintext = self.admin_plaintext == Switch::On;
        if tls.tls_cert.is_some() {
            if is_plaintext {
                let problem = "means nothing with --tls-cert, by which every address speaks TLS";
                return Err(ConfigError::new("--admin-plaintext", problem));
            }
            return Ok(addr);
        }
        match addr {
            Some(addr) if !is_plaintext && !addr.ip().to_canonical().is_loopback() => {
                let problem = format!(
                    "{addr} is reached from other machines, and tokens that administer the service would pass there in plaintext: set \
                     --tls-cert and --tls-key, or --admin-plaintext on if a sidecar speaks TLS, or an address of this machine alone"
                );
                Err(ConfigError::new("--admin-addr", problem))
            }
            addr => Ok(addr),
        }
    }
}
