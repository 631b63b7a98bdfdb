//! Owns the settings of the proxies in front that may name their clients by address.

use clap::Args;

use crate::model::{ForwardedHeader, ProxyNetwork};

/// Which proxies in front may name their clients by address.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Proxies")]
pub struct ProxyConfig {
    /// The proxies in front, by address or network such as `10.0.0.0/8`, that name the clients for whom they send requests; repeat for
    /// more, or separate them by commas. Sessions, the audit log and limits then go by the client's address. The header of anybody else
    /// is ignored. Whose *certificates* a proxy may tell of is another matter: --trusted-proxy.
    #[arg(
        long,
        env = "SIGNET_TRUSTED_PROXY_ADDRESSES",
        global = true,
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub trusted_proxy_addresses: Vec<ProxyNetwork>,

    /// The header by which they do: `x-forwarded-for` or `forwarded` (RFC 7239). It is read from the right, up to the first address that
    /// is no trusted proxy's; the other header is ignored.
    #[arg(
        long,
        env = "SIGNET_TRUSTED_PROXY_HEADER",
        global = true,
        value_name = "HEADER",
        default_value = "x-forwarded-for"
    )]
    pub trusted_proxy_header: ForwardedHeader,
}
