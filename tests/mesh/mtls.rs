//! Owns what a mesh gets whose Envoy verifies the certificates of Signet's clients.

use std::fs;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use signet::proto::identity::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest,
    identity_service_client::IdentityServiceClient, issue_token_request::Grant,
};
use tempfile::TempDir;
use tonic::{Code, Request, Status};

use crate::{
    envoy::Envoy,
    signet::Signet,
    support::pki::{Authority, Dialer, Issued, SERVER},
};

const GATEWAY: &str = "spiffe://example.org/gateway";
const BILLING: &str = "spiffe://example.org/billing";
const ORDERS: &str = "spiffe://example.org/orders";

/// Signet, and an Envoy before it with a certificate as `GATEWAY`.
struct Mesh {
    authority: Authority,
    signet: Signet,
    envoy: Envoy,
    _certs: TempDir,
}

impl Mesh {
    /// Signet trusts the proxies `trusted`.
    async fn start(trusted: &[&str]) -> Self {
        Self::telling("{cert: true}", trusted).await
    }

    /// The same, of an Envoy that tells `details` of a certificate.
    async fn telling(details: &str, trusted: &[&str]) -> Self {
        let (authority, certs) = (Authority::new("mesh"), TempDir::new().unwrap());
        let path = |name: &str| certs.path().join(name);
        authority.issue(&[SERVER]).write(certs.path());
        // Envoy shows clients the same certificate, so it has a name for them.
        let own = authority.issue(&[GATEWAY, SERVER]);
        for (name, text) in [("envoy.crt", &own.cert), ("envoy.key", &own.key), ("ca.crt", &authority.pem)] {
            fs::write(path(name), text).unwrap();
        }
        let flag = |flag: &str, file: &str| format!("--tls-{flag}={}", path(file).display());
        let mut flags = vec![flag("cert", "tls.crt"), flag("key", "tls.key"), flag("client-ca", "ca.crt")];
        flags.extend(trusted.iter().map(|proxy| format!("--trusted-proxy={proxy}")));
        let signet = Signet::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        let ports = [(50051, signet.grpc.port()), (8080, signet.http.port())];
        let certs_at = certs.path().display().to_string();
        let envoy =
            Envoy::start("mtls.yaml", &ports, &[("/etc/certs", &certs_at), ("{cert: true}", details)]).await;
        Self { authority, signet, envoy, _certs: certs }
    }

    /// The id of the new client `name`, for which a certificate stands by the flag `by`.
    fn register(&self, name: &str, by: &str) -> String {
        let created = self.signet.operate(&["clients", "create", name, by]);
        created["id"].as_str().unwrap().to_owned()
    }

    /// Whose token somebody is given who shows Envoy `own`, says that it is `client_id`, and sends `forged` along.
    async fn ask(&self, own: &Issued, client_id: Option<&str>, forged: &[String]) -> Result<String, Status> {
        let channel = Dialer::new(&self.authority, Some(own)).channel(self.envoy.addr).await.unwrap();
        let client = client_id
            .map(|id| ClientAuthentication { client_id: id.to_owned(), ..ClientAuthentication::default() });
        let grant = Some(Grant::ClientCredentials(ClientCredentialsGrant {}));
        let mut request = Request::new(IssueTokenRequest { grant, client, ..IssueTokenRequest::default() });
        for value in forged {
            request.metadata_mut().append("x-forwarded-client-cert", value.parse().unwrap());
        }
        let token = IdentityServiceClient::new(channel).issue_token(request).await?.into_inner().access_token;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        Ok(claims["sub"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn a_client_is_known_by_the_certificate_that_envoy_has_verified() {
    let mesh = Mesh::start(&[GATEWAY]).await;
    let billing = mesh.register("billing", &format!("--spiffe-id={BILLING}"));
    let reports = mesh.register("reports", "--tls-san-dns=reports.example.org");
    let own = mesh.authority.issue(&[BILLING]);
    assert_eq!(mesh.ask(&own, None, &[]).await.unwrap(), billing);
    assert_eq!(mesh.ask(&own, Some(&billing), &[]).await.unwrap(), billing);
    let by_name = mesh.authority.issue(&["x.example.org", "reports.example.org"]);
    assert_eq!(mesh.ask(&by_name, Some(&reports), &[]).await.unwrap(), reports);
    let refused = mesh.ask(&own, Some(&reports), &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(mesh.envoy.gauge("cluster.signet-grpc.ssl.versions.TLSv1.2").await > 0, "as Envoy is by default");

    // By OAuth 2.0 as well.
    let dialer = Dialer::new(&mesh.authority, Some(&own));
    let stream = hyper_util::rt::TokioIo::new(dialer.dial(mesh.envoy.addr).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("https://{SERVER}/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(http_body_util::Full::new(bytes::Bytes::from("grant_type=client_credentials")));
    assert_eq!(sender.send_request(request.unwrap()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn nobody_passes_for_another_by_what_it_sends_or_is_called() {
    let mesh = Mesh::start(&[GATEWAY]).await;
    let billing = mesh.register("billing", &format!("--spiffe-id={BILLING}"));
    let orders = mesh.register("orders", &format!("--spiffe-id={ORDERS}"));
    let own = mesh.authority.issue(&[ORDERS]);
    let forged =
        [mesh.authority.issue(&[BILLING]).forwarded(), format!("By={GATEWAY};Hash=00;URI={BILLING}")];
    for lines in [&forged[..1], &forged[1..], &forged] {
        assert_eq!(mesh.ask(&own, None, lines).await.unwrap(), orders, "Envoy has replaced it");
        let refused = mesh.ask(&own, Some(&billing), lines).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let both = mesh.authority.issue(&[BILLING, ORDERS]);
    for id in [None, Some(&*billing), Some(&*orders)] {
        let refused = mesh.ask(&both, id, &[]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "two names are none");
    }
}

#[tokio::test]
async fn no_name_in_a_certificate_passes_for_another_certificate() {
    let mesh = Mesh::telling("{cert: true, subject: true, uri: true, dns: true}", &[GATEWAY]).await;
    let billing = mesh.register("billing", &format!("--spiffe-id={BILLING}"));
    let orders = mesh.register("orders", &format!("--spiffe-id={ORDERS}"));
    let billings = mesh.authority.issue(&[BILLING]).forwarded();
    // Envoy quotes a subject, so whatever stands in it stays there.
    for subject in [
        format!("x,URI={BILLING}"),
        format!("x\",URI={BILLING};Subject=\"y"),
        format!("x\\\",{billings};Subject=\"y"),
        format!("x\\\\\",{billings},"),
        "x\\".to_owned(),
        "x\"".to_owned(),
    ] {
        let own = mesh.authority.issue_to(&subject, &[ORDERS]);
        assert_eq!(mesh.ask(&own, None, &[]).await.unwrap(), orders, "{subject}");
        let refused = mesh.ask(&own, Some(&billing), &[]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{subject}");
    }
    // It does not quote a URI.
    for uri in [
        format!("https://x.example/;{billings}"),
        format!("https://x.example/,{billings}"),
        format!("https://x.example/;URI={BILLING}"),
        format!("https://x.example/,URI={BILLING}"),
    ] {
        let own = mesh.authority.issue(&[&uri]);
        for id in [None, Some(&*billing)] {
            let refused = mesh.ask(&own, id, &[]).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{uri}");
        }
    }
}

#[tokio::test]
async fn an_envoy_that_is_not_trusted_speaks_for_nobody() {
    let mesh = Mesh::start(&["spiffe://example.org/another-gateway"]).await;
    let billing = mesh.register("billing", &format!("--spiffe-id={BILLING}"));
    let own = mesh.authority.issue(&[BILLING]);
    for id in [None, Some(&*billing)] {
        assert_eq!(mesh.ask(&own, id, &[]).await.unwrap_err().code(), Code::Unauthenticated);
    }
}
