//! Owns the tests of what an issuer may answer over HTTP and HTTPS, and of what becomes of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64ct::{Base64UrlUnpadded, Encoding};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as TlsKey};
use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    FetchSettings, RemoteKeys,
    fetch::HttpSource,
    locate::Issuer,
    refresh::{Fetched, KeySource},
};
use crate::{auth::Keys, model::Error};

const RFC_8414: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/keys";

/// What is answered to a request for a path: the whole answer, byte by byte.
type Answers = Arc<Mutex<Vec<(&'static str, String)>>>;

/// A server that answers what a test tells it to.
struct Web {
    addr: SocketAddr,
    answers: Answers,
    requests: Arc<AtomicU64>,
}

impl Web {
    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (answers, requests) = (Answers::default(), Arc::new(AtomicU64::new(0)));
        let (said, counted) = (Arc::clone(&answers), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, said, counted) = (tls.clone(), Arc::clone(&said), Arc::clone(&counted));
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => answer(stream, &said, &counted).await,
                            Err(_) => None, // It was not trusted.
                        },
                        None => answer(stream, &said, &counted).await,
                    }
                });
            }
        });
        Self { addr, answers, requests }
    }

    fn says(&self, path: &'static str, answer: String) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(known, _)| *known != path);
        answers.push((path, answer));
    }

    /// It is the issuer `issuer`, and its keys are at `jwks_uri`.
    fn describes(&self, path: &'static str, issuer: &str, jwks_uri: &str) {
        self.says(path, ok(&json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string()));
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads the head of a request, and writes what is to be answered; a path of which nothing is said is not found.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: &Answers,
    requests: &AtomicU64,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?;
    let said = answers.lock().unwrap().iter().find(|(known, _)| *known == path).map(|(_, said)| said.clone());
    let said = said.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned());
    stream.write_all(said.as_bytes()).await.ok()?;
    // Whoever asked ends it.
    stream.read_u8().await.ok().map(drop)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn keys() -> String {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = Base64UrlUnpadded::encode_string(pair.public_key().as_ref());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": x }] }).to_string()
}

fn source(issuer: &str) -> HttpSource {
    HttpSource::new(named(issuer), None).unwrap()
}

fn named(issuer: &str) -> Issuer {
    Issuer::parse(issuer).unwrap()
}

async fn problem(source: &mut HttpSource) -> String {
    source.fetch().await.map(|fetched| fetched.from).expect_err("it was taken for an answer")
}

#[tokio::test]
async fn the_keys_are_found_by_the_metadata_of_either_specification_once() {
    for place in [RFC_8414, OPENID] {
        let web = Web::start(None).await;
        let issuer = web.url("");
        web.describes(place, &issuer, &web.url(JWKS));
        web.says(JWKS, ok(&keys()));
        let mut source = source(&issuer);
        for _ in 0..3 {
            let Fetched { from, max_age, .. } = source.fetch().await.unwrap();
            assert_eq!((from, max_age), (web.url(JWKS), Some(Duration::from_mins(1))));
        }
        let looked = if place == RFC_8414 { 1 } else { 2 };
        assert_eq!(web.requests(), looked + 3, "where they are is not asked again");

        // They have moved.
        web.says(JWKS, "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n".to_owned());
        web.describes(place, &issuer, &web.url("/moved"));
        web.says("/moved", ok(&keys()));
        assert!(problem(&mut source).await.contains("410"));
        assert_eq!(source.fetch().await.unwrap().from, web.url("/moved"));
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_lead_nowhere() {
    let web = Web::start(None).await;
    let issuer = web.url("");
    web.says(JWKS, ok(&keys()));
    for said in [web.url("/"), "https://evil.example".to_owned(), String::new()] {
        web.describes(RFC_8414, &said, &web.url(JWKS));
        // What the second place says does not mend it.
        web.describes(OPENID, &issuer, &web.url(JWKS));
        assert!(problem(&mut source(&issuer)).await.contains("is of the issuer"), "{said}");
    }
}

#[tokio::test]
async fn nothing_is_followed_and_nothing_large_is_read() {
    let web = Web::start(None).await;
    let elsewhere = Web::start(None).await;
    elsewhere.says(JWKS, ok(&keys()));
    let mut source =
        HttpSource::new(named("http://id.example"), Some(web.url(JWKS).parse().unwrap())).unwrap();
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url(JWKS));
    let large = format!("{{\"keys\":[], \"padding\":\"{}\"}}", "x".repeat(1_100 * 1024));
    let endless =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n150000\r\n{}", "x".repeat(0x15_0000));
    for (answer, expected) in [
        (redirect, "302"),
        (ok(&large), "limit"),
        (endless, "limit"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}".to_owned(), ""),
        ("not HTTP at all\r\n\r\n".to_owned(), ""),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), "204"),
    ] {
        web.says(JWKS, answer.clone());
        // An answer that stops in the middle is given up by whoever fetches, not by the source.
        let fetched = tokio::time::timeout(Duration::from_secs(2), source.fetch()).await;
        let problem =
            fetched.map_or_else(|_| String::new(), |fetched| fetched.map(|it| it.from).unwrap_err());
        assert!(problem.contains(expected), "{}: {problem}", &answer[..20]);
    }
    assert_eq!(elsewhere.requests(), 0, "it did not go where it was sent");
}

#[tokio::test]
async fn an_issuer_that_never_ends_its_answer_is_given_up() {
    let web = Web::start(None).await;
    web.says(JWKS, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned());
    let settings = FetchSettings { timeout: Duration::from_millis(200), ..FetchSettings::default() };
    let keys = Arc::new(RemoteKeys::start("http://id.example", Some(&web.url(JWKS)), settings).unwrap());
    assert!(matches!(keys.current(None).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn over_https_only_whom_a_trusted_authority_vouches_for_is_believed() {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, TlsKey::generate().unwrap()).unwrap();
    let trusting = |is_trusted: bool, issuer: &str| {
        let mut roots = RootCertStore::empty();
        let other = CertificateParams::new(Vec::new()).unwrap().self_signed(&TlsKey::generate().unwrap());
        roots.add(if is_trusted { authority.der().clone() } else { other.unwrap().der().clone() }).unwrap();
        HttpSource::trusting(roots, named(issuer), None).unwrap()
    };
    for (name, is_trusted, expected) in [
        ("localhost", true, ""),
        ("localhost", false, "invalid peer certificate"),
        ("id.example", true, "invalid peer certificate"),
    ] {
        let key = TlsKey::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config =
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
        let web = Web::start(Some(TlsAcceptor::from(Arc::new(config)))).await;
        let issuer = format!("https://localhost:{}", web.addr.port());
        web.describes(RFC_8414, &issuer, &format!("{issuer}{JWKS}"));
        web.says(JWKS, ok(&keys()));
        let fetched = trusting(is_trusted, &issuer).fetch().await;
        match fetched {
            Ok(_) => assert!(expected.is_empty(), "{name}: it was believed"),
            Err(problem) => assert!(!expected.is_empty() && problem.contains(expected), "{name}: {problem}"),
        }
    }
    for issuer in ["https://id.example", "HTTPS://id.example"] {
        let source = HttpSource::trusting(RootCertStore::empty(), named(issuer), None);
        assert!(source.is_err(), "nobody can be believed");
    }
}
