//! Owns what a mesh gets whose Envoy verifies tokens by itself.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::{task::block_in_place, time::Instant};
use tonic::Code;

use crate::{
    envoy::Envoy,
    issuer::Issuer,
    load::{Caller, Load},
    requests::{REPORTS_BY_SEMICOLON, Request, eventually, grpc, told, values},
    signet::Signet,
    upstream::Upstream,
};

/// A sidecar that fetches the keys of `signet`, and looks again after a second instead of minutes.
async fn sidecar(signet: &Signet, upstream: &Upstream) -> Envoy {
    sidecar_of(signet.http, upstream).await
}

/// One that fetches the keys at `issuer`.
async fn sidecar_of(issuer: SocketAddr, upstream: &Upstream) -> Envoy {
    let ports = [(8081, upstream.addr.port()), (8080, issuer.port())];
    Envoy::start("jwt-authn.yaml", &ports, &[("cache_duration: 300s", "cache_duration: 1s")]).await
}

#[tokio::test]
async fn the_service_is_told_what_the_token_says_and_nothing_that_a_client_made_up() {
    let (signet, upstream) = (Signet::start(&[]), Upstream::start().await);
    let envoy = sidecar(&signet, &upstream).await;
    let (alice, token) = signet.sign_up().await;
    let names = [
        "X-Signet-Subject",
        "x-signet-subject",
        "x-signet-scope",
        "x-signet-session",
        "x-signet-username",
        "x-signet-roles",
        "X-Signet-Roles",
        "x-signet-client",
    ];
    let spoofed = |path| names.iter().fold(Request::get(path), |request, name| request.header(name, "root"));

    let seen = told(spoofed("/x").bearer(&token).send(envoy.addr).await.unwrap().arrived());
    let [(_, scope), (session_name, _), (_, subject)] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(
        (scope.as_str(), session_name.as_str(), subject),
        ("profile account", "x-signet-session", &alice)
    );
    assert_eq!(told(spoofed("/public/x").send(envoy.addr).await.unwrap().arrived()), []);
    assert_eq!(Request::get("/x").send(envoy.addr).await.unwrap().status, 401);
    assert_eq!(Request::get("/x").bearer("a.b.c").send(envoy.addr).await.unwrap().status, 401);
    assert_eq!(Request::get("/public/../x").send(envoy.addr).await.unwrap().status, 401);
}

#[tokio::test]
async fn a_browser_may_ask_before_it_calls_though_it_shows_no_token() {
    let (signet, upstream) = (Signet::start(&[]), Upstream::start().await);
    let envoy = sidecar(&signet, &upstream).await;
    for (origin, allowed) in
        [("https://app.example", Some("https://app.example")), ("https://evil.example", None)]
    {
        let asked = Request::of("OPTIONS", "/x")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "GET");
        let answer = asked.send(envoy.addr).await.unwrap();
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, allowed));
        let refused = Request::get("/x").header("Origin", origin).send(envoy.addr).await.unwrap();
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, allowed));
    }
}

#[tokio::test]
async fn the_service_does_not_get_the_token_unless_it_is_asked_for() {
    let (signet, upstream) = (Signet::start(&[]), Upstream::start().await);
    let (alice, token) = signet.sign_up().await;
    let envoy = sidecar(&signet, &upstream).await;
    // An Envoy that has just started may not have the keys.
    let served = async |path: &str, envoy: &Envoy| {
        let answer = async || Request::get(path).bearer(&token).send(envoy.addr).await;
        let served = async || answer().await.ok().filter(|answer| answer.status == 200);
        eventually("it is served", served).await.arrived()
    };
    for path in ["/x", "/public/x"] {
        assert_eq!(values(&served(path, &envoy).await, "authorization"), [""; 0], "{path}");
    }
    let small = Request::get("/public/x").header("authorization", &format!("bearer {token}"));
    assert_eq!(values(&small.send(envoy.addr).await.unwrap().arrived(), "authorization"), [""; 0]);
    let bearer = format!("Bearer {token}");
    let seen = grpc(envoy.addr, "/any.Service/Method", &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(values(&seen, "authorization"), [""; 0]);
    assert_eq!(values(&seen, "x-signet-subject"), [alice.as_str()]);

    let ports = [(8081, upstream.addr.port()), (8080, signet.http.port())];
    let envoy = Envoy::start("jwt-authn.yaml", &ports, &[("forward: false", "forward: true")]).await;
    assert_eq!(values(&served("/x", &envoy).await, "authorization"), [bearer.as_str()]);
}

#[tokio::test]
async fn a_route_may_ask_for_scopes() {
    let (signet, upstream) = (Signet::start(&[]), Upstream::start().await);
    let envoy = sidecar(&signet, &upstream).await;
    let mut made = 0;
    let mut token_with = async |scopes: &str| {
        made += 1;
        let flags: Vec<_> = scopes.split(' ').flat_map(|scope| ["--scope", scope]).collect();
        signet.token_of_client(&format!("client-{made}"), &flags).await
    };
    let status = async |path: &str, token: &str| {
        Request::get(path).bearer(token).send(envoy.addr).await.unwrap().status
    };
    for scopes in ["reports.read", "a reports.read", "reports.read z", "a reports.read z"] {
        assert_eq!(status("/reports", &token_with(scopes).await).await, 200, "{scopes}");
    }
    let (_, alices) = signet.sign_up().await;
    for near in ["reportsXread", "reports.reader", "xreports.read", "a.reports.read reports.read.b"] {
        let token = token_with(near).await;
        assert_eq!(status("/reports", &token).await, 403, "{near}");
        assert_eq!(status("/x", &token).await, 200, "elsewhere any scope will do");
    }
    for path in ["/reports", "/reports/1", "//reports", "/x/../reports", "/./reports/", "/%72eports"] {
        let answer = Request::get(path).bearer(&alices).send(envoy.addr).await.unwrap();
        let inside = answer.body.lines().next().is_some_and(|line| line.starts_with("GET /reports"));
        assert!(answer.status != 200 || !inside, "{path}: {answer:?}");
    }
    assert_eq!(Request::get("/reports").send(envoy.addr).await.unwrap().status, 401, "the token comes first");
    for path in REPORTS_BY_SEMICOLON {
        for request in [Request::get(path), Request::get(path).bearer(&alices)] {
            let answer = request.send(envoy.addr).await.unwrap();
            assert!([400, 401, 403].contains(&answer.status), "{path}: {answer:?}");
        }
    }
    assert_eq!(status("/x?a=b;c=d%3b", &alices).await, 200, "a query may have semicolons");

    let call = async |path: &'static str, token: &str| {
        let metadata = [("authorization", &*format!("Bearer {token}"))];
        grpc(envoy.addr, path, &metadata).await.map(drop).map_err(|status| status.code())
    };
    let both = token_with("orders.read orders.write").await;
    assert_eq!(call("/orders.v1.Orders/Cancel", &both).await, Ok(()));
    for one in ["orders.read", "orders.write"] {
        let token = token_with(one).await;
        assert_eq!(call("/orders.v1.Orders/Cancel", &token).await, Err(Code::PermissionDenied), "{one}");
        assert_eq!(call("/orders.v1.Orders/Get", &token).await, Ok(()), "an RPC without a rule");
    }
}

/// Between the publication of a key and its first signature Envoy has fetched the keys a few times.
const AHEAD: &str = "--key-publish-ahead=15s";

/// Each kind.
const CALLERS: usize = 4;

/// Whose tokens are good, and so must never be refused.
enum Holder {
    /// Of one token, which the key before has signed.
    Old { envoy: SocketAddr, token: String },
    /// Of tokens that each are used once, as soon as they are issued.
    Fresh { envoy: SocketAddr, signet: Arc<Signet>, accepted: Arc<Accepted> },
}

/// How many fresh tokens of each key have been accepted.
type Accepted = Mutex<BTreeMap<String, usize>>;

impl Caller for Holder {
    async fn call(&mut self) -> Result<(), String> {
        let (envoy, token) = match self {
            Self::Old { envoy, token } => (*envoy, token.clone()),
            Self::Fresh { envoy, signet, .. } => (*envoy, signet.log_in().await),
        };
        let answer = Request::get("/x").bearer(&token).send(envoy).await;
        if !answer.as_ref().is_ok_and(|answer| answer.status == 200) {
            return Err(format!("{answer:?}"));
        }
        if let Self::Fresh { accepted, .. } = self {
            *accepted.lock().unwrap().entry(kid(&token)).or_default() += 1;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_keys_under_load_refuses_no_valid_token() {
    let flags = [AHEAD, "--clock-leeway=0s", "--standing-cache-max-age=1s"];
    let (signet, upstream) = (Arc::new(Signet::start(&flags)), Upstream::start().await);
    let sidecar = sidecar(&signet, &upstream).await;
    let (_, token) = signet.sign_up().await;
    let (envoy, accepted) = (sidecar.addr, Arc::new(Accepted::default()));
    let mut load = Load::default();
    for _ in 0..CALLERS {
        load.keep_calling(Holder::Old { envoy, token: token.clone() });
        let (signet, accepted) = (Arc::clone(&signet), Arc::clone(&accepted));
        load.keep_calling(Holder::Fresh { envoy, signet, accepted });
    }
    load.goes_on().await;
    let rotated = block_in_place(|| signet.operate(&["keys", "rotate"]));
    let next = rotated["kid"].as_str().unwrap_or_else(|| panic!("{rotated}")).to_owned();
    let of_next = async || (accepted.lock().unwrap().get(&next).copied() >= Some(100)).then_some(());
    eventually("many tokens of the next key are accepted", of_next).await;
    load.goes_on().await;
    load.finish().await;
    let accepted = accepted.lock().unwrap();
    assert!(
        accepted.len() == 2 && accepted[&kid(&token)] > 0,
        "the load began before the change: {accepted:?}"
    );
}

#[tokio::test]
async fn tokens_of_a_revoked_key_are_refused_once_the_keys_are_fetched_again() {
    let (signet, upstream) = (Signet::start(&[]), Upstream::start().await);
    let envoy = sidecar(&signet, &upstream).await;
    let (_, token) = signet.sign_up().await;
    let status = async |token: &str| Request::get("/x").bearer(token).send(envoy.addr).await.unwrap().status;
    // Envoy has seen it, and it has a quarter of an hour left: so it is the key that it is refused for.
    assert_eq!(status(&token).await, 200);
    signet.operate(&["keys", "revoke", &kid(&token), "--yes"]);
    eventually("it is refused", async || (status(&token).await == 401).then_some(())).await;
    let fresh = signet.log_in().await;
    assert_ne!(kid(&fresh), kid(&token));
    eventually("the next key is known", async || (status(&fresh).await == 200).then_some(())).await;
    assert_eq!(status(&token).await, 401);
}

#[tokio::test]
async fn a_token_must_end_and_soon() {
    let (issuer, upstream) = (Issuer::start().await, Upstream::start().await);
    let envoy = sidecar_of(issuer.addr(), &upstream).await;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let status = async |exp: Value| {
        let mut claims = json!({ "iss": "http://127.0.0.1:8080", "aud": "signet", "sub": "root" });
        if !exp.is_null() {
            claims["exp"] = exp;
        }
        let token = issuer.token(&claims);
        Request::get("/x").bearer(&token).send(envoy.addr).await.unwrap().status
    };
    assert_eq!(status(json!(now + 900)).await, 200);
    assert_eq!(status(json!(null)).await, 401, "it never ends");
    assert_eq!(status(json!(now + 7200)).await, 401, "Signet issues none for so long");
    assert_eq!(status(json!(now - 60)).await, 401, "it has ended");
}

#[tokio::test]
async fn what_envoy_does_not_take_for_a_token_tells_the_service_nothing() {
    let (signet, upstream) = (Signet::start(&[]), Upstream::start().await);
    let envoy = sidecar(&signet, &upstream).await;
    let (_, token) = signet.sign_up().await;
    for (query, header) in [
        (format!("?access_token={token}"), None),
        (String::new(), Some(format!("bearer {token}"))),
        (String::new(), Some(token.clone())),
    ] {
        let request = |path: &str| {
            let request = Request::get(&format!("{path}{query}"));
            header.iter().fold(request, |request, value| request.header("Authorization", value))
        };
        let refused = request("/x").send(envoy.addr).await.unwrap();
        assert_eq!(refused.status, 401, "{query}{header:?}: {refused:?}");
        assert_eq!(told(request("/public").send(envoy.addr).await.unwrap().arrived()), []);
    }
}

#[tokio::test]
async fn signet_may_be_away_when_envoy_starts_and_while_it_runs() {
    let (mut signet, upstream) = (Signet::start(&[]), Upstream::start().await);
    let (_, token) = signet.sign_up().await;
    signet.kill();
    let envoy = sidecar(&signet, &upstream).await;
    let status = async || Request::get("/x").bearer(&token).send(envoy.addr).await.unwrap().status;
    assert_eq!(status().await, 401, "it has no keys, and lets nobody in");
    signet.start_again();
    eventually("it has the keys", async || (status().await == 200).then_some(())).await;

    // Keys that a request had fetched count for cache_duration alone; those that Envoy fetches by itself, which it tries each second,
    // go on counting.
    let fetched = async || envoy.gauge("http.requests.jwt_authn.jwks_fetch_success").await;
    let before = fetched().await;
    eventually("it fetches them by itself", async || (fetched().await > before).then_some(())).await;
    // Away for longer than cache_duration.
    signet.kill();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(status().await, 200);
    }
    signet.start_again();
    assert_eq!(status().await, 200);
}

/// The key that `token` names, read without looking at its signature.
pub(crate) fn kid(token: &str) -> String {
    let header = token.split('.').next().unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}
