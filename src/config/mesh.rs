//! Owns the settings of what sidecars ask.

use std::net::SocketAddr;

use clap::Args;

use super::{ConfigError, Switch, ip_and_port};

/// The longest prefix in bytes.
const PREFIX_MAX_BYTES: usize = 64;

/// What sidecars may ask, and what they are told.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Mesh")]
pub struct MeshConfig {
    /// Whether Envoy's external authorization filter can ask if a request may pass. Whoever reaches the address can ask then, without
    /// a token of their own.
    #[arg(long, env = "SIGNET_EXT_AUTHZ", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::Off)]
    pub ext_authz: Switch,

    /// Where it asks: at --grpc-addr, if nothing is set. An address of its own serves that, health and forward-auth alone (`GET
    /// /oauth2/verify`, for nginx, Caddy and other proxies), and can be kept to those who ask. Port 0 takes a free port, which is printed.
    #[arg(long, env = "SIGNET_EXT_AUTHZ_ADDR", global = true, value_name = "IP:PORT", value_parser = ip_and_port)]
    pub ext_authz_addr: Option<SocketAddr>,

    /// How the headers begin that tell a service behind Envoy whom a request comes from: subject, username, scope and session follow.
    #[arg(long, env = "SIGNET_EXT_AUTHZ_HEADER_PREFIX", global = true, value_name = "PREFIX", default_value = "x-signet-", value_parser = header_prefix)]
    pub ext_authz_header_prefix: String,

    /// Whether the caller's token goes on to the service behind Envoy, on routes that do not say (`signet.forward_token`). With it a
    /// service can do at Signet what its caller can, and end the caller's account.
    #[arg(long, env = "SIGNET_EXT_AUTHZ_FORWARD_TOKEN", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::Off)]
    pub ext_authz_forward_token: Switch,

    /// Whether Envoy is told the same as dynamic metadata too (subject, username, scope, session, client), for its access log and its
    /// other filters.
    #[arg(long, env = "SIGNET_EXT_AUTHZ_DYNAMIC_METADATA", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::Off)]
    pub ext_authz_dynamic_metadata: Switch,
}

/// Where Envoy can ask if a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtAuthzAddr {
    /// Nowhere.
    Off,
    /// At `--grpc-addr`.
    Shared,
    /// At an address of its own.
    Own(SocketAddr),
}

impl MeshConfig {
    /// Where Envoy can ask.
    ///
    /// # Errors
    /// If an address is set, and nobody shall ask there.
    pub fn ext_authz_addr(&self) -> Result<ExtAuthzAddr, ConfigError> {
        match (self.ext_authz, self.ext_authz_addr) {
            (Switch::Off, None) => Ok(ExtAuthzAddr::Off),
            (Switch::Off, Some(_)) => {
                Err(ConfigError::new("--ext-authz-addr", "means nothing without --ext-authz on"))
            }
            (Switch::On, None) => Ok(ExtAuthzAddr::Shared),
            (Switch::On, Some(addr)) => Ok(ExtAuthzAddr::Own(addr)),
        }
    }
}

/// The beginning of a header's name as HTTP/2 has them: a token in lower case (RFC 9110 section 5.6.2, RFC 9113 section 8.2.1).
/// Without underscores, which many servers do not tell from hyphens.
fn header_prefix(text: &str) -> Result<String, String> {
    let good = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && text.len() <= PREFIX_MAX_BYTES;
    if good {
        return Ok(text.to_owned());
    }
    Err("must begin with a lower-case letter, and go on with lower-case letters, digits and hyphens"
        .to_owned())
}
