//! Owns reaching Signet: the addresses of its replicas, one after the other, and that no secret goes over an open connection.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::{
    Code, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt;
use tower::service_fn;

/// How long a connection may take to be made. Then the next address is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long Signet may take to answer a call. Then the next address is tried.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a `RetryInfo` may have anybody wait.
const MAX_RETRY_DELAY: Duration = Duration::from_mins(1);

/// Where Signet is: its replicas, each asked when the one before does not answer.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Signet {
    addresses: Vec<String>,
    tls: Option<ClientTlsConfig>,
    plaintext: Option<String>,
}

/// Why Signet, or a service, cannot be called as the settings say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The text is not a valid address.
    #[error("`{0}` is not an http or https address")]
    Address(String),
    /// No address is given.
    #[error("there is no address of Signet")]
    NoAddress,
    /// Secrets and tokens would go over a connection that anybody on the way can read.
    #[error(
        "`{0}` is neither https nor a loopback address: tokens go over plaintext only where `allow_plaintext` says why, as where a sidecar \
         encrypts"
    )]
    Plaintext(String),
    /// The channel is to another server than the token source is made for.
    #[error("the token source is made for {target}, and not for `{authority}`")]
    OtherTarget {
        /// Whom the channel is to.
        authority: String,
        /// The target that the source is made for.
        target: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] tonic::transport::Error),
    /// A private key cannot be used.
    #[error("the private key {0}")]
    PrivateKey(&'static str),
    /// A descriptor set cannot be read.
    #[error("the descriptor set cannot be read")]
    Descriptors(#[from] prost::DecodeError),
}

impl Signet {
    /// Signet at these addresses: `https://signet.example:50051`, or `127.0.0.1:50051` for one that has no TLS.
    pub fn at<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> Self {
        Self { addresses: addresses.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// By what its certificates are verified, and with which certificate of one's own: for `tls_client_auth` (RFC 8705). Without it, by the
    /// certification authorities of the system.
    pub fn tls(self, tls: ClientTlsConfig) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Lets secrets go over plaintext to what is not this machine, for this `reason`: as where a sidecar of the mesh encrypts them.
    pub fn allow_plaintext(self, reason: impl Into<String>) -> Self {
        Self { plaintext: Some(reason.into()), ..self }
    }

    /// The channels, none of which is connected yet.
    pub(crate) fn connect(&self) -> Result<Channels, ClientError> {
        let channels =
            self.addresses.iter().map(|address| self.channel(address)).collect::<Result<Vec<_>, _>>()?;
        if channels.is_empty() {
            return Err(ClientError::NoAddress);
        }
        Ok(Channels(Arc::new(Inner { channels, current: AtomicUsize::new(0) })))
    }

    fn channel(&self, address: &str) -> Result<Channel, ClientError> {
        let endpoint = endpoint_of(address)?;
        let uri = endpoint.uri().clone();
        let is_secure = is_https(&uri);
        if !is_secure && !is_loopback(&uri) && self.plaintext.is_none() {
            return Err(ClientError::Plaintext(address.to_owned()));
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            // A stream that says nothing for long is ended by its reader; this finds a connection that is dead.
            .http2_keep_alive_interval(Duration::from_secs(20));
        let endpoint = if is_secure {
            let tls = self.tls.clone().unwrap_or_else(|| ClientTlsConfig::new().with_native_roots());
            endpoint.tls_config(tls).map_err(ClientError::Tls)?
        } else {
            endpoint
        };
        Ok(connect_lazy(&endpoint, is_secure || self.plaintext.is_some()))
    }
}

/// A channel to `endpoint`, which connects when it is first used: to loopback addresses alone unless it `may_leave` the machine.
pub(crate) fn connect_lazy(endpoint: &Endpoint, may_leave: bool) -> Channel {
    if may_leave {
        endpoint.connect_lazy()
    } else {
        endpoint.connect_with_connector_lazy(service_fn(connect_here))
    }
}

/// A connection to `uri`, whose name is one of this machine. The machine may know that name otherwise.
async fn connect_here(uri: Uri) -> io::Result<TokioIo<TcpStream>> {
    let (host, port) = (literal(&uri).to_owned(), uri.port_u16().unwrap_or(80));
    connect_to_loopback(tokio::net::lookup_host((host, port)).await?).await.map(TokioIo::new)
}

/// A connection to the first loopback address among these that takes one.
async fn connect_to_loopback(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut problem =
        io::Error::new(io::ErrorKind::AddrNotAvailable, "the name leads to no loopback address");
    for address in addresses.into_iter().filter(|address| address.ip().is_loopback()) {
        match TcpStream::connect(address).await {
            Ok(connection) => {
                connection.set_nodelay(true)?;
                return Ok(connection);
            }
            Err(refused) => problem = refused,
        }
    }
    Err(problem)
}

/// The endpoint at `address`, which may lack its scheme.
pub(crate) fn endpoint_of(address: &str) -> Result<Endpoint, ClientError> {
    let bad = || ClientError::Address(address.to_owned());
    let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(whole).map_err(|_| bad())?;
    let is_known = matches!(endpoint.uri().scheme_str(), Some("http" | "https"));
    if is_known && endpoint.uri().host().is_some() { Ok(endpoint) } else { Err(bad()) }
}

pub(crate) fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// Whether `uri` is of this machine itself: a loopback address, or `localhost` (RFC 6761 section 6.3).
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    let host = literal(uri);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host of `uri`, an address without its brackets.
fn literal(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Connections to the replicas. Clones share them, and which one is asked first.
#[derive(Clone)]
pub(crate) struct Channels(Arc<Inner>);

struct Inner {
    channels: Vec<Channel>,
    current: AtomicUsize,
}

impl Channels {
    /// The channel of the replica that is asked first, and its number.
    pub(crate) fn current(&self) -> (usize, Channel) {
        let number = self.0.current.load(Ordering::Relaxed);
        (number, self.0.channels[number % self.0.channels.len()].clone())
    }

    /// How many replicas there are.
    pub(crate) fn count(&self) -> usize {
        self.0.channels.len()
    }

    /// Asks the one behind `number` first from now on, unless another is by now.
    pub(crate) fn pass_over(&self, number: usize) {
        let next = number.wrapping_add(1);
        let _ = self.0.current.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// What `call` is answered by the first replica that answers it.
    pub(crate) async fn call<T, F>(&self, call: impl Fn(Channel) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut answer = Err(Status::unavailable("no replica was asked"));
        for _ in 0..self.0.channels.len() {
            let (number, channel) = self.current();
            let asked = tokio::time::timeout(CALL_TIMEOUT, call(channel)).await;
            answer = asked.unwrap_or_else(|_| Err(Status::unavailable("Signet did not answer in time")));
            match &answer {
                Err(status) if is_away(status) => self.pass_over(number),
                _ => break,
            }
        }
        answer
    }
}

/// How long Signet asks to wait with its `status`, if it does (`RetryInfo`): no longer than a minute counts.
pub(crate) fn retry_delay(status: &Status) -> Option<Duration> {
    let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
    told.map(|delay| delay.min(MAX_RETRY_DELAY))
}

/// Whether `status` says that another replica may answer.
fn is_away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("replicas", &self.0.channels.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn secrets_go_over_plaintext_to_this_machine_alone_unless_a_reason_is_given() {
        for good in
            ["127.0.0.1:1", "http://127.8.0.1:1", "http://[::1]:1", "localhost:1", "https://signet.example"]
        {
            assert!(Signet::at([good]).connect().is_ok(), "{good}");
        }
        for bad in ["signet:50051", "http://10.0.0.1:1", "http://127.0.0.1.example:1", "http://[::2]:1"] {
            assert!(matches!(Signet::at([bad]).connect(), Err(ClientError::Plaintext(_))), "{bad}");
            assert!(Signet::at([bad]).allow_plaintext("the sidecar encrypts").connect().is_ok(), "{bad}");
        }
        for none in ["", "ftp://a", "http://", "a b"] {
            assert!(matches!(Signet::at([none]).connect(), Err(ClientError::Address(_))), "{none}");
        }
        assert!(matches!(Signet::at(Vec::<String>::new()).connect(), Err(ClientError::NoAddress)));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_that_leads_elsewhere_is_not_followed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        // All addresses: it would be connected to.
        let elsewhere = SocketAddr::from(([0, 0, 0, 0], here.port()));
        TcpStream::connect(elsewhere).await.unwrap();
        let refused = connect_to_loopback([elsewhere]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
        let connected = connect_to_loopback([elsewhere, here]).await.unwrap();
        assert_eq!(connected.peer_addr().unwrap(), here);
    }

    #[tokio::test]
    async fn the_next_replica_is_asked_when_one_is_away_and_a_refusal_is_an_answer() {
        let channels = Signet::at(["127.0.0.1:1", "127.0.0.1:2"]).connect().unwrap();
        let asked = AtomicUsize::new(0);
        let answer = channels.call(|_| async {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 { Err(Status::unavailable("")) } else { Ok(7) }
        });
        assert_eq!(answer.await.unwrap(), 7);
        assert_eq!(channels.current().0, 1, "it is asked first from now on");
        let refused: Result<(), _> = channels.call(|_| async { Err(Status::unauthenticated("")) }).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
        assert_eq!(channels.current().0, 1);
    }
}
