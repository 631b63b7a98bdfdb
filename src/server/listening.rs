//! Owns taking the addresses to listen at. Nothing listens before everything else of the start has succeeded; a default that nobody asked
//! for is done without where it cannot be had.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::{TcpListener, TcpSocket};

use crate::config::{Config, ConfigError, ExtAuthzAddr};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// An address that is taken, and not listened at yet.
pub(super) struct Bound {
    setting: &'static str,
    addr: SocketAddr,
    socket: TcpSocket,
}

/// One that is done without if it is the default and cannot be had: a second service on this machine, say, must not fail to start for an
/// address that nobody asked for.
pub(super) struct BoundIfFree {
    bound: Result<Option<Bound>, ConfigError>,
    /// Whether the operator has named the address: then it must be had.
    is_set: bool,
}

/// Where something is served that can be turned off.
pub(super) enum Optional {
    /// Here, if it is to be served at all.
    Served(Option<TcpListener>),
    /// Nowhere, though it was to be.
    Unserved(ConfigError),
}

/// Refuses settings of which two ask for one port: that is no other process's fault. Those that nobody has set give way.
pub(super) fn refuse_twice(config: &Config) -> Result<(), ConfigError> {
    let ext_authz = match config.mesh.ext_authz_addr()? {
        ExtAuthzAddr::Own(addr) => Some(addr),
        ExtAuthzAddr::Off | ExtAuthzAddr::Shared => None,
    };
    let operations = config.operations.addr().filter(|_| config.operations.operations_addr.is_some());
    let admin = config.admin.addr(&config.tls)?.filter(|_| config.admin.admin_addr.is_some());
    let all = [
        ("--grpc-addr", Some(config.grpc_addr)),
        ("--http-addr", Some(config.http_addr)),
        ("--ext-authz-addr", ext_authz),
        ("--operations-addr", operations),
        ("--admin-addr", admin),
    ];
    let said: Vec<_> = all.into_iter().filter_map(|(name, addr)| Some((name, addr?))).collect();
    for (at, &(second, addr)) in said.iter().enumerate() {
        if let Some((first, other)) = said[..at].iter().find(|(_, other)| meet(*other, addr)) {
            let problem = format!(
                "{addr} is taken by {first} of this service itself ({other}): each needs a port of its own"
            );
            return Err(ConfigError::new(second, problem));
        }
    }
    Ok(())
}

/// Whether nobody can listen at both. Port 0 is another one each time.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    // Every address of IPv6 has those of IPv4 among them.
    let has = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    let shares_ip = ip == other_ip || has(ip, other_ip) || has(other_ip, ip);
    one.port() != 0 && one.port() == other.port() && shares_ip
}

/// Takes `addr`, without listening yet.
pub(super) fn bind(setting: &'static str, addr: SocketAddr) -> Result<Bound, ConfigError> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        // A restart need not wait for the connections of the process before.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        Ok(Bound { setting, addr, socket })
    });
    bound.map_err(|error| cannot_take(setting, addr, &error))
}

impl Bound {
    /// The address that was taken: a port was chosen, if it was to be any free one.
    pub(super) fn local_addr(&self) -> Result<SocketAddr, ConfigError> {
        self.socket.local_addr().map_err(|error| cannot_take(self.setting, self.addr, &error))
    }

    pub(super) fn listen(self) -> Result<TcpListener, ConfigError> {
        let Self { setting, addr, socket } = self;
        socket.listen(BACKLOG).map_err(|error| cannot_take(setting, addr, &error))
    }
}

impl BoundIfFree {
    /// Takes `addr`, if there is one, without listening yet.
    ///
    /// # Errors
    /// If it is set, and cannot be taken.
    pub(super) fn bind(
        setting: &'static str,
        addr: Option<SocketAddr>,
        is_set: bool,
    ) -> Result<Self, ConfigError> {
        let bound = addr.map(|addr| bind(setting, addr)).transpose();
        match bound {
            Err(error) if is_set => Err(error),
            bound => Ok(Self { bound, is_set }),
        }
    }

    /// Listens there; `without` is what the log says where it is done without.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub(super) fn listen(self, without: &'static str) -> Result<Optional, ConfigError> {
        let listening = self.bound.and_then(|bound| bound.map(Bound::listen).transpose());
        match listening {
            Err(error) if self.is_set => Err(error),
            Err(error) => {
                tracing::warn!(error = %error, "{without}");
                Ok(Optional::Unserved(error))
            }
            Ok(listener) => Ok(Optional::Served(listener)),
        }
    }
}

impl Optional {
    /// Where it is served, and if it is not though nobody has turned it off, why.
    pub(super) fn told(&self) -> (Option<SocketAddr>, Option<String>) {
        match self {
            Self::Served(listener) => {
                (listener.as_ref().and_then(|listener| listener.local_addr().ok()), None)
            }
            Self::Unserved(error) => (None, Some(error.problem.clone())),
        }
    }

    pub(super) fn listener(self) -> Option<TcpListener> {
        match self {
            Self::Served(listener) => listener,
            Self::Unserved(_) => None,
        }
    }
}

/// Why `addr` cannot be taken. Another process that took it after this one bound, and before it listened, is seen last.
fn cannot_take(setting: &'static str, addr: SocketAddr, error: &io::Error) -> ConfigError {
    let problem = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not take that port".to_owned(),
        _ => error.to_string(),
    };
    ConfigError::new(setting, format!("{addr} cannot be taken: {problem}"))
}
