//! Owns what TLS promises: to those who connect, and to clients that are known by their certificates.

mod clients;
mod forwarded;
mod handshake;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Full;
use signet::{
    identity::ClientRegistry,
    model::Error,
    proto::identity::v1::{
        IssueTokenRequest, IssueTokenResponse, identity_service_client::IdentityServiceClient,
    },
};
use tempfile::TempDir;
use tonic::Status;

use crate::{
    clients::{self as registered, Registered, Wanted},
    harness::{Client, TestServer},
    http::client::{Answer, encoded, exchange},
    support::pki::{Authority, Dialer, Issued, SERVER},
};

/// A server that speaks TLS, the authority of its certificate and of its clients', and its operator.
struct Secured {
    server: TestServer,
    authority: Authority,
    operator: ClientRegistry,
    _dir: TempDir,
}

impl Secured {
    /// One that asks nobody for a certificate.
    async fn plain(args: &[&str]) -> Self {
        Self::start(args, false).await
    }

    /// One that asks its clients for certificates.
    async fn mutual(args: &[&str]) -> Self {
        Self::start(args, true).await
    }

    async fn start(args: &[&str], is_mutual: bool) -> Self {
        let (authority, dir) = (Authority::new("tests"), TempDir::new().unwrap());
        authority.issue(&[SERVER]).write(dir.path());
        std::fs::write(dir.path().join("ca.crt"), &authority.pem).unwrap();
        let file = |name| dir.path().join(name).display().to_string();
        let mut flags =
            vec![format!("--tls-cert={}", file("tls.crt")), format!("--tls-key={}", file("tls.key"))];
        flags.push("--standing-cache-max-age=0s".to_owned());
        if is_mutual {
            flags.push(format!("--tls-client-ca={}", file("ca.crt")));
        }
        let args: Vec<_> = flags.iter().map(String::as_str).chain(args.iter().copied()).collect();
        let server = TestServer::start(&args).await;
        let operator = registered::operator(&server).await;
        Self { server, authority, operator, _dir: dir }
    }

    async fn register(&self, name: &str, wanted: Wanted<'_>) -> Result<Registered, Error> {
        registered::register(&self.operator, name, wanted).await
    }

    /// A client `name` for which a certificate of `subject` stands.
    async fn register_by(&self, name: &str, subject: &str) -> Registered {
        self.register(name, wanted(subject)).await.unwrap()
    }

    fn dialer(&self, own: Option<&Issued>) -> Dialer {
        Dialer::new(&self.authority, own)
    }

    /// Somebody who calls by gRPC, and has shown `own`.
    async fn client(&self, own: &Issued) -> Client {
        let channel = self.dialer(Some(own)).channel(self.server.started.grpc_addr).await.unwrap();
        Client(IdentityServiceClient::new(channel))
    }

    /// Somebody who calls by gRPC, and has shown a certificate with `names`.
    async fn named(&self, names: &[&str]) -> Client {
        self.client(&self.authority.issue(names)).await
    }

    /// What HTTP answers to whoever shows `own` and posts `fields` with `headers`.
    async fn post(
        &self,
        own: Option<&Issued>,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::post(path)
            .header("host", SERVER)
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(encoded(fields)))).unwrap();
        self.exchange(own, request).await
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header("host", SERVER).body(Full::default()).unwrap();
        self.exchange(None, request).await
    }

    /// What operators get, who show no certificate either.
    async fn operations_get(&self, path: &str) -> Answer {
        let request = Request::get(path).header("host", "localhost").body(Full::default()).unwrap();
        self.exchange_at(self.server.started.operations_addr.unwrap(), None, request).await
    }

    async fn exchange(&self, own: Option<&Issued>, request: Request<Full<Bytes>>) -> Answer {
        self.exchange_at(self.server.started.http_addr, own, request).await
    }

    async fn exchange_at(
        &self,
        addr: SocketAddr,
        own: Option<&Issued>,
        request: Request<Full<Bytes>>,
    ) -> Answer {
        let stream = self.dialer(own).dial(addr).await.unwrap();
        Answer::of(exchange(stream, Version::HTTP_11, request).await)
    }
}

/// A client with the scope `a`, for which a certificate of `subject` stands.
fn wanted(subject: &str) -> Wanted<'_> {
    Wanted { certificate: Some(subject), ..Wanted::confidential("a introspect") }
}

async fn issue(client: &Client, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
    Ok(client.clone().0.issue_token(request).await?.into_inner())
}
