//! Owns what a service gets behind an nginx, or a Caddy, that asks Signet about every request.

use signet::proto::identity::v1::{SignUpRequest, identity_service_client::IdentityServiceClient};

use crate::{
    proxies::{Kind, Proxy},
    requests::{Answer, REPORTS_BY_SEMICOLON, Request, told, values},
    signet::PASSWORD,
};

/// What Signet tells of a caller.
const TOLD: [&str; 6] = ["subject", "username", "scope", "session", "roles", "client"];

/// Paths that a service may read otherwise than the proxy that chooses the rule.
const ODD_PATHS: [&str; 18] = [
    "/public/..%2freports",
    "//reports",
    "/public//../reports",
    "/public/..\\reports",
    // The rule would be that of the path without dots, and the service may have them.
    "/reports/../public/x",
    "/reports/%2e%2e/public/x",
    "/reports/.%2E/public/x",
    "/reports/..?/public/x",
    "/public/../reports/1",
    "/public/./x",
    "/public/..",
    "/public/%2E",
    "/public/%23/../x",
    "/reports%3f/../public/x",
    "/reports%00",
    "/public/x%00",
    "/x%0A",
    "/x%7f",
];

impl Proxy {
    async fn send(&self, request: Request) -> Answer {
        request.send(self.addr).await.expect("the proxy answers")
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Request::get(path).bearer(token)).await
    }
}

/// Every spelling of the header `name` that some server takes for it, or some proxy might pass on beside its own.
fn spellings(name: &str) -> Vec<String> {
    let upper = name.to_uppercase();
    let capital = format!("{}{}", &upper[..1], &name[1..]);
    [
        format!("x-signet-{name}"),
        format!("X-Signet-{capital}"),
        format!("X-SIGNET-{upper}"),
        format!("x-sIGNET-{name}"),
        format!("x_signet_{name}"),
        format!("X_Signet_{capital}"),
        format!("x-signet_{name}"),
        format!("x_signet-{name}"),
        format!("X_SIGNET_{upper}"),
        format!("x-signet.{name}"),
        format!("X.Signet.{capital}"),
    ]
    .into()
}

/// A request that claims to be somebody in every spelling, each by itself and all of them together, and by the tricks that take a
/// proxy's own headers off.
fn forged(request: &Request) -> Vec<Request> {
    let mut forged: Vec<_> = TOLD
        .iter()
        .flat_map(|name| spellings(name))
        .map(|name| request.clone().header(&name, "root"))
        .collect();
    let all = TOLD.iter().flat_map(|name| spellings(name));
    forged.push(all.fold(request.clone(), |request, name| request.header(&name, "root")));
    for name in TOLD {
        let named = format!("close, X-Signet-{name}, x_signet_{name}");
        let named = request.clone().header("Connection", &named).header(&format!("x-signet-{name}"), "root");
        forged.push(named);
        let folded = request.clone().header("X-Other", &format!("a\r\n x-signet-{name}: root"));
        forged.push(folded);
        forged.push(request.clone().header(&format!("x-signet-{name} "), "root"));
        forged.push(
            request
                .clone()
                .header(&format!("x-signet-{name}"), "")
                .header(&format!("X-Signet-{name}"), "root"),
        );
    }
    forged
}

#[tokio::test]
async fn the_service_is_told_who_is_calling_by_signet_alone_however_a_client_spells_it() {
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind).await;
        let (alice, token) = proxy.signet.sign_up().await;
        let seen = told(proxy.get("/x", &token).await.arrived());
        let value = |name: &str| {
            let [value] = values(&seen, name)[..] else { panic!("{kind:?} {name}: {seen:?}") };
            value.to_owned()
        };
        assert_eq!((value("x-signet-subject"), value("x-signet-username")), (alice, "alice".to_owned()));
        assert_eq!(
            (value("x-signet-scope"), value("x-signet-client")),
            ("profile account".to_owned(), "signet".to_owned())
        );
        assert_eq!(value("x-signet-session").len(), 36);
        let billing = proxy.signet.token_of_client("billing", &["--scope", "reports.read"]).await;

        let (everybody, known) = (Request::get("/public/x"), Request::get("/x"));
        let as_alice = known.clone().bearer(&token);
        let as_billing = Request::get("/reports/1").bearer(&billing);
        for (honest, may_be_told) in [(everybody, false), (as_alice, true), (as_billing, true)] {
            let right = told(proxy.send(honest.clone()).await.arrived());
            assert_eq!(right.iter().any(|(_, value)| !value.is_empty()), may_be_told, "{kind:?}: {right:?}");
            for request in forged(&honest) {
                let answer = proxy.send(request.clone()).await;
                // What is no header of HTTP a proxy may refuse.
                if answer.status == 400 {
                    continue;
                }
                let seen = answer.arrived();
                let said: Vec<_> = seen
                    .iter()
                    .filter(|(name, _)| name.replace(['_', '.', ' '], "-").contains("x-signet"))
                    .collect();
                assert!(
                    said.iter().all(|(_, value)| !value.contains("root")),
                    "{kind:?} {request:?}: {seen:?}"
                );
                assert!(seen.iter().all(|(_, value)| value != "root"), "{kind:?} {request:?}: {seen:?}");
                let told = told(seen.clone());
                assert!(told.iter().all(|header| right.contains(header)), "{kind:?} {request:?}: {told:?}");
            }
        }
        for request in forged(&known) {
            let status = proxy.send(request.clone()).await.status;
            assert!(matches!(status, 400 | 401), "{kind:?} {request:?}: {status}");
        }
    }
}

#[tokio::test]
async fn each_route_has_its_rule_and_the_service_gets_no_token() {
    for kind in Kind::ALL {
        let mut proxy = Proxy::start(kind).await;
        let (_, token) = proxy.signet.sign_up().await;
        let reader = proxy.signet.token_of_client("billing", &["--scope", "reports.read"]).await;
        let orders =
            proxy.signet.token_of_client("orders", &["--scope", "a", "--allow-audience", "orders"]).await;
        for (path, token, status) in [
            ("/public/x", None, 200),
            ("/public/x", Some(&token), 200),
            ("/public/x", Some(&orders), 401),
            ("/x", None, 401),
            ("/x", Some(&token), 200),
            ("/x", Some(&orders), 401),
            ("/REPORTS", None, 401),
            // What lets everybody in fits one spelling alone.
            ("/PUBLIC/x", None, 401),
            ("/Public/x", None, 401),
            ("/reports", None, 401),
            ("/reports", Some(&token), 403),
            ("/reports/1?a=;%2f", Some(&reader), 200),
            ("/reports-of-others", Some(&token), 200),
            ("/signet/anyone", None, if kind == Kind::Nginx { 404 } else { 401 }),
            ("/oauth2/verify?anonymous=allow", None, 401),
            // The rule is the proxy's to choose, and not the client's.
            ("/x?anonymous=allow", None, 401),
            ("/reports?anonymous=allow", None, 401),
            ("/reports?scope=profile", Some(&token), 403),
            ("/x?audience=orders", Some(&orders), 401),
        ] {
            let request = Request::get(path);
            let request = token.iter().fold(request, |request, token| request.bearer(token));
            let answer = proxy.send(request).await;
            assert_eq!(answer.status, status, "{kind:?} {path}: {answer:?}");
            if status == 200 {
                assert_eq!(values(&answer.arrived(), "authorization"), [""; 0], "{kind:?} {path}");
            }
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            let is_refused = matches!(status, 401 | 403);
            // nginx hands it on with 401 alone.
            if status != 403 || kind == Kind::Caddy {
                let is_challenge = challenge.starts_with(r#"Bearer realm="signet""#);
                assert_eq!(is_challenge, is_refused, "{kind:?} {path}: {answer:?}");
            }
        }
        for path in REPORTS_BY_SEMICOLON.into_iter().chain(ODD_PATHS) {
            assert_eq!(proxy.get(path, &token).await.status, 400, "{kind:?} {path}");
        }
        // What stands behind a `#` is of no request; nginx alone takes it for one.
        let status = proxy.get("/public/#/../reports", &token).await.status;
        assert_eq!(status, 400, "{kind:?}");
        let body = Request::of("POST", "/x").bearer(&token).body("of the service");
        assert_eq!(proxy.send(body).await.status, 200, "{kind:?}");
        proxy.signet.log_out(&token).await;
        assert_eq!(proxy.get("/x", &token).await.status, 401, "{kind:?}: at once");

        proxy.without_signet();
        for path in ["/x", "/public/x", "/reports"] {
            let status = proxy.get(path, &reader).await.status;
            assert!(matches!(status, 502 | 503), "{kind:?} {path}: {status}");
        }
        let past = Request::get("/x").send(proxy.service()).await.unwrap();
        assert_eq!(past.status, 200, "the service itself is there");
    }
}

#[tokio::test]
async fn no_client_gets_a_tunnel_to_the_service() {
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind).await;
        for (connection, protocol) in [
            ("Upgrade, HTTP2-Settings", "h2c"),
            ("upgrade", "H2C"),
            ("Upgrade", "websocket, h2c"),
            ("Upgrade", "TLS/1.0"),
        ] {
            let request = Request::get("/public/x")
                .header("Connection", connection)
                .header("Upgrade", protocol)
                .header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA");
            let seen = proxy.send(request).await.arrived();
            assert_eq!(values(&seen, "upgrade"), [""; 0], "{kind:?} {protocol}: {seen:?}");
            let connections = values(&seen, "connection").concat().to_lowercase();
            assert!(!connections.contains("upgrade"), "{kind:?} {protocol}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn large_cookies_of_the_service_are_not_signets() {
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind).await;
        let (_, token) = proxy.signet.sign_up().await;
        // More than Signet reads, less than Caddy does.
        let cookies = ["a", "b", "c"].map(|name| format!("{name}={}", "x".repeat(5_600)));
        let with_cookies = |request: Request| {
            cookies.iter().fold(request, |request, cookie| request.header("Cookie", cookie))
        };
        for (request, status) in [
            (Request::get("/x").bearer(&token), 200),
            (Request::get("/public/x"), 200),
            (Request::get("/x"), 401),
        ] {
            let answer = proxy.send(with_cookies(request)).await;
            assert_eq!(answer.status, status, "{kind:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn signet_itself_is_reached_by_grpc_and_by_http() {
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind).await;
        // The name that the proxy goes by.
        let origin = format!("http://id.example:{}", proxy.h2c.port()).parse().unwrap();
        let endpoint = tonic::transport::Channel::from_shared(format!("http://{}", proxy.h2c)).unwrap();
        let mut client = IdentityServiceClient::new(endpoint.origin(origin).connect().await.unwrap());
        let request = SignUpRequest {
            username: "carol".to_owned(),
            password: PASSWORD.to_owned(),
            ..SignUpRequest::default()
        };
        let user = client.sign_up(request.clone()).await.unwrap().into_inner().user.unwrap();
        assert_eq!(user.username, "carol");
        let taken = client.sign_up(request).await.unwrap_err();
        assert_eq!(taken.code(), tonic::Code::AlreadyExists, "{kind:?}: {taken:?}");
        let keys = proxy.send(Request::get("/.well-known/jwks.json").host("id.example")).await;
        assert!(keys.status == 200 && keys.body.contains("\"kty\""), "{kind:?}: {keys:?}");
        let form = "grant_type=password&username=carol&password=correct+horse+battery";
        let login = Request::of("POST", "/oauth2/token")
            .host("id.example")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("X-Forwarded-For", "203.0.113.9");
        let login = proxy.send(login.body(form)).await;
        assert!(login.status == 200 && login.body.contains("access_token"), "{kind:?}: {login:?}");
        // The address that the proxy saw, and not the one that the client claims.
        let sessions = proxy.signet.operate(&["users", "sessions", "carol"]);
        assert!(
            sessions.to_string().contains("127.0.0.1") && !sessions.to_string().contains("203.0.113.9"),
            "{kind:?}: {sessions}"
        );
        let verify = Request::get("/oauth2/verify?anonymous=allow").host("id.example");
        assert_eq!(proxy.send(verify).await.status, 404, "{kind:?}");
    }
}
