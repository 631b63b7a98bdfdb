//! Owns what a mesh gets whose Envoy asks Signet about every request.

use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    envoy::Envoy,
    requests::{Answer, REPORTS_BY_SEMICOLON, Request, eventually, grpc, told, values},
    signet::Signet,
    upstream::Upstream,
};

/// A sidecar before a service, and the Signet that it asks.
struct Mesh {
    signet: Signet,
    envoy: Envoy,
    _upstream: Upstream,
}

impl Mesh {
    async fn start() -> Self {
        Self::with(Signet::start(&["--ext-authz=on", "--ext-authz-dynamic-metadata=on"])).await
    }

    async fn with(signet: Signet) -> Self {
        Self::changed(signet, &[]).await
    }

    /// The same with `changes` made to the configuration.
    async fn changed(signet: Signet, changes: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start().await;
        let asked = signet.ext_authz.unwrap_or(signet.grpc);
        let ports = [(8081, upstream.addr.port()), (50051, asked.port())];
        let envoy = Envoy::start("ext-authz.yaml", &ports, changes).await;
        Self { signet, envoy, _upstream: upstream }
    }

    async fn send(&self, request: Request) -> Answer {
        request.send(self.envoy.addr).await.expect("Envoy answers")
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Request::get(path).bearer(token)).await
    }
}

/// A request that claims to be somebody, in every way that HTTP/1.1 has.
fn spoofed(request: Request) -> Request {
    ["X-Signet-Subject", "x-signet-subject", "X-SIGNET-SUBJECT", "x-signet-username", "X-Signet-Username"]
        .into_iter()
        .chain(["x-signet-scope", "X-Signet-Scope", "x-signet-session", "X-sIGNET-sESSION"])
        .chain(["x-signet-roles", "X-Signet-Roles", "X-SIGNET-ROLES", "x-signet-client", "X-Signet-Client"])
        .fold(request, |request, name| request.header(name, "root"))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn reason(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body["details"][0]["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_service_is_told_who_is_calling_by_signet_alone() {
    let mesh = Mesh::start().await;
    let (alice, token) = mesh.signet.sign_up().await;

    let seen = told(mesh.send(spoofed(Request::get("/x").bearer(&token))).await.arrived());
    let session = seen.iter().find(|(name, _)| name == "x-signet-session").unwrap().1.clone();
    assert_eq!(session.len(), 36);
    let expected = pairs(&[
        ("x-signet-client", "signet"),
        ("x-signet-scope", "profile account"),
        ("x-signet-session", &session),
        ("x-signet-subject", &alice),
        ("x-signet-username", "alice"),
    ]);
    assert_eq!(seen, expected);
    let metadata = [
        ("authorization", &*format!("Bearer {token}")),
        ("x-signet-subject", "root"),
        ("x-signet-subject", "root"),
        ("x-signet-username", "root"),
        ("x-signet-roles", "root"),
        ("x-signet-client", "root"),
    ];
    assert_eq!(told(grpc(mesh.envoy.addr, "/any.Service/Method", &metadata).await.unwrap()), expected);

    // A client by itself has neither session nor username, and gets none from what it sent.
    let billing = mesh.signet.token_of_client("billing", &["--scope", "reports.read"]).await;
    let seen = told(mesh.send(spoofed(Request::get("/reports/1").bearer(&billing))).await.arrived());
    let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-signet-client", "x-signet-scope", "x-signet-subject"]);
    assert!(seen.iter().all(|(_, value)| value != "root"), "{seen:?}");

    // Nor has somebody who showed no token.
    assert_eq!(told(mesh.send(spoofed(Request::get("/public/x"))).await.arrived()), []);
    let metadata = [("x-signet-subject", "root"), ("x-signet-session", "root")];
    assert_eq!(told(grpc(mesh.envoy.addr, "/public/Method", &metadata).await.unwrap()), []);
    for name in ["X_Signet_Subject", "x_signet_roles", "x-signet_roles", "x_signet-client", "X_Signet_Client"]
    {
        assert_eq!(mesh.send(Request::get("/public/x").header(name, "root")).await.status, 400, "{name}");
    }
}

#[tokio::test]
async fn what_a_signet_of_the_release_before_says_nothing_of_no_client_can_say() {
    // One that is not asked at all says less than that.
    let unasked = ("check_settings: {context_extensions: {signet.anonymous: allow}}", "disabled: true");
    let mesh = Mesh::changed(Signet::start(&["--ext-authz=on"]), &[unasked]).await;
    let seen = told(mesh.send(spoofed(Request::get("/public/x"))).await.arrived());
    let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"x-signet-subject"), "nobody has overwritten what was sent: {names:?}");
    assert!(!names.contains(&"x-signet-roles") && !names.contains(&"x-signet-client"), "{names:?}");
}

#[tokio::test]
async fn the_service_does_not_get_the_token_unless_its_route_asks_for_it() {
    let asks = ("{signet.anonymous: allow}", "{signet.anonymous: allow, signet.forward_token: allow}");
    for (changes, of_public) in [(&[][..], 0), (&[asks], 1)] {
        let mesh = Mesh::changed(Signet::start(&["--ext-authz=on"]), changes).await;
        let (alice, token) = mesh.signet.sign_up().await;
        for (path, count) in [("/x", 0), ("/public/x", of_public)] {
            let seen = mesh.get(path, &token).await.arrived();
            assert_eq!(values(&seen, "authorization").len(), count, "{path}: {seen:?}");
            assert_eq!(values(&seen, "x-signet-subject"), [alice.as_str()], "{path}");
        }
        let bearer = format!("Bearer {token}");
        let metadata = [("authorization", bearer.as_str())];
        let seen = grpc(mesh.envoy.addr, "/any.Service/Method", &metadata).await.unwrap();
        assert_eq!(values(&seen, "authorization"), [""; 0]);
        assert_eq!(values(&seen, "x-signet-subject"), [alice.as_str()]);
    }
}

#[tokio::test]
async fn a_browser_may_ask_before_it_calls_though_it_shows_no_token() {
    let mesh = Mesh::start().await;
    for (origin, allowed) in
        [("https://app.example", Some("https://app.example")), ("https://evil.example", None)]
    {
        let asked = Request::of("OPTIONS", "/reports")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", "authorization");
        let answer = mesh.send(asked).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{answer:?}");
        assert_eq!(answer.status, 200, "{answer:?}");
        // What it then sends is judged as anybody's, and its page reads why it is refused.
        let refused = mesh.send(Request::get("/reports").header("Origin", origin)).await;
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, allowed));
    }
    assert_eq!(mesh.send(Request::of("OPTIONS", "/reports")).await.status, 401, "that is no preflight");
}

#[tokio::test]
async fn the_service_is_told_the_address_of_the_client_behind_what_that_claims() {
    let mesh = Mesh::start().await;
    let (_, token) = mesh.signet.sign_up().await;
    let forged = Request::get("/x").bearer(&token).header("X-Forwarded-For", "203.0.113.9");
    let seen = mesh.send(forged).await.arrived();
    let [told] = values(&seen, "x-forwarded-for")[..] else { panic!("{seen:?}") };
    // Of a client on its own machine Envoy tells the machine's address, not the loopback's.
    let seen_by_envoy = told.strip_prefix("203.0.113.9,").unwrap_or_else(|| panic!("{told}"));
    assert!(seen_by_envoy.parse::<std::net::IpAddr>().is_ok(), "{told}");
}

#[tokio::test]
async fn envoy_may_ask_at_an_address_of_its_own() {
    let mesh = Mesh::with(Signet::start(&["--ext-authz=on", "--ext-authz-addr=127.0.0.1:0"])).await;
    let (alice, token) = mesh.signet.sign_up().await;
    let seen = told(mesh.get("/x", &token).await.arrived());
    assert!(seen.contains(&("x-signet-subject".to_owned(), alice)), "{seen:?}");
    assert_eq!(mesh.send(Request::get("/x")).await.status, 401);
}

#[tokio::test]
async fn envoy_itself_learns_who_is_calling_for_its_access_log() {
    let mesh = Mesh::start().await;
    let (alice, token) = mesh.signet.sign_up().await;
    mesh.get("/x?of=alice", &token).await.arrived();
    mesh.send(spoofed(Request::get("/public/x"))).await.arrived();
    mesh.send(Request::get("/x")).await;
    let logged = async || Some(mesh.envoy.access_log()).filter(|lines| lines.len() == 3);
    let logged = eventually("the access log has every request", logged).await;
    let told: Vec<_> = logged
        .iter()
        .map(|line| ["path", "status", "subject", "username", "client"].map(|key| line[key].clone()))
        .collect();
    let anonymous =
        |path: &str, status: u16| [json!(path), json!(status), json!(null), json!(null), json!(null)];
    let alices = [json!("/x"), json!(200), json!(alice), json!("alice"), json!("signet")];
    assert_eq!(told, [alices, anonymous("/public/x", 200), anonymous("/x", 401)]);
}

#[tokio::test]
async fn a_refusal_can_be_read_by_every_client() {
    let mesh = Mesh::start().await;
    let (_, token) = mesh.signet.sign_up().await;

    let missing = mesh.send(Request::get("/x")).await;
    assert_eq!((missing.status, &*reason(&missing)), (401, "TOKEN_MISSING"));
    assert_eq!(missing.header("www-authenticate"), Some(r#"Bearer realm="signet""#));
    let forged = mesh.get("/x", "a.b.c").await;
    assert_eq!((forged.status, &*reason(&forged)), (401, "TOKEN_INVALID"));
    assert!(forged.header("www-authenticate").unwrap().contains(r#"error="invalid_token""#));
    let twice = mesh.send(Request::get("/x").bearer(&token).bearer(&token)).await;
    assert_eq!((twice.status, &*reason(&twice)), (401, "TOKEN_INVALID"), "Envoy joins them with a comma");
    let open = mesh.get("/public/x", "a.b.c").await;
    assert_eq!((open.status, &*reason(&open)), (401, "TOKEN_INVALID"), "a token that is shown must be good");
    let scope = mesh.get("/reports", &token).await;
    assert_eq!((scope.status, &*reason(&scope)), (403, "INSUFFICIENT_SCOPE"));
    let challenge = scope.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"error="insufficient_scope", scope="reports.read""#), "{challenge}");

    let bearer = format!("Bearer {token}");
    let authorized = [("authorization", bearer.as_str())];
    for (path, metadata, code, reason) in [
        ("/any.Service/Method", &[][..], Code::Unauthenticated, "TOKEN_MISSING"),
        ("/any.Service/Method", &[("authorization", "Bearer x")], Code::Unauthenticated, "TOKEN_INVALID"),
        ("/orders.v1.Orders/Get", &authorized, Code::Unauthenticated, "TOKEN_INVALID"),
        ("/reports/Get", &authorized, Code::PermissionDenied, "INSUFFICIENT_SCOPE"),
    ] {
        let status = grpc(mesh.envoy.addr, path, metadata).await.unwrap_err();
        let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
        assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{path}: {status:?}");
        assert!(!status.message().is_empty(), "{status:?}");
    }
    let orders = mesh.signet.token_of_client("buyer", &["--allow-audience", "orders"]).await;
    let metadata = [("authorization", &*format!("Bearer {orders}"))];
    grpc(mesh.envoy.addr, "/orders.v1.Orders/Get", &metadata).await.unwrap();
    assert_eq!(mesh.get("/x", &orders).await.status, 401, "it is not meant for Signet");
}

#[tokio::test]
async fn a_session_that_has_ended_is_refused_at_once() {
    let mesh = Mesh::start().await;
    let (_, token) = mesh.signet.sign_up().await;
    let other = mesh.signet.log_in().await;
    mesh.get("/x", &token).await.arrived();
    mesh.signet.log_out(&other).await;
    let refused = mesh.get("/x", &token).await;
    assert_eq!((refused.status, &*reason(&refused)), (401, "TOKEN_REVOKED"));
}

#[tokio::test]
async fn a_disabled_user_is_refused_and_an_enabled_one_logs_in_again() {
    let mesh = Mesh::start().await;
    let (_, token) = mesh.signet.sign_up().await;
    mesh.get("/x", &token).await.arrived();
    let metadata = [("authorization", &*format!("Bearer {token}"))];
    grpc(mesh.envoy.addr, "/any.Service/Method", &metadata).await.unwrap();

    mesh.signet.operate(&["users", "disable", "alice", "--yes"]);
    // The token has a quarter of an hour left; that another process has disabled her Signet learns within --standing-cache-max-age.
    let refused = async || Some(mesh.get("/x", &token).await).filter(|answer| answer.status != 200);
    let refused = eventually("she is refused", refused).await;
    assert_eq!((refused.status, &*reason(&refused)), (401, "TOKEN_REVOKED"));
    let status = grpc(mesh.envoy.addr, "/any.Service/Method", &metadata).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(mesh.get("/public", &token).await.status, 401, "a token that is shown must be good");

    mesh.signet.operate(&["users", "enable", "alice"]);
    let again = mesh.signet.log_in().await;
    let let_in = async || (mesh.get("/x", &again).await.status == 200).then_some(());
    eventually("she is let in again", let_in).await;
    assert_eq!(mesh.get("/x", &token).await.status, 401, "what she had has ended");
}

#[tokio::test]
async fn no_spelling_of_a_path_widens_access() {
    let mesh = Mesh::start().await;
    let (_, token) = mesh.signet.sign_up().await;
    for path in [
        "/public/../reports",
        "/public/%2e%2e/reports",
        "/public/./../reports",
        "/public//../reports",
        "/public%2f..%2freports",
        "/public/..%2freports",
        "/public\\..\\reports",
        "//public/../reports",
        "/publicity",
        "/PUBLIC/x",
        "/%70ublic/../reports",
        "/x?/public",
        "/x#/public",
        "http://service.example/public/../reports",
    ] {
        for method in ["GET", "get", "POST", "REPORTS"] {
            let answer = mesh.send(Request::of(method, path)).await;
            let served = answer.status == 200;
            let arrived = answer.body.lines().next().unwrap_or_default().split(' ').nth(1);
            // Under /public everybody is served; nobody is elsewhere.
            let inside = arrived.is_some_and(|path| path.starts_with("/public/") && !path.contains("/../"));
            assert!(!served || inside, "{method} {path}: {answer:?}");
        }
    }
    // And no spelling lets a token without the scope through to what needs it.
    for path in ["/reports", "//reports", "/./reports", "/x/../reports", "/%72eports", "/reports/"] {
        let answer = mesh.get(path, &token).await;
        let arrived = answer.body.lines().next().unwrap_or_default().split(' ').nth(1);
        let inside = arrived.is_some_and(|path| path.starts_with("/reports"));
        assert!(answer.status != 200 || !inside, "{path}: {answer:?}");
    }
    for path in REPORTS_BY_SEMICOLON {
        for answer in [mesh.send(Request::get(path)).await, mesh.get(path, &token).await] {
            assert!([400, 401, 403].contains(&answer.status), "{path}: {answer:?}");
        }
    }
    mesh.get("/x?a=b;c=d%3b", &token).await.arrived();
}

#[tokio::test]
async fn without_signet_nobody_passes_and_with_it_again_everybody_does() {
    let mut mesh = Mesh::start().await;
    let (_, token) = mesh.signet.sign_up().await;
    mesh.get("/x", &token).await.arrived();
    mesh.signet.kill();
    assert_eq!(mesh.get("/x", &token).await.status, 503);
    assert_eq!(mesh.send(Request::get("/x")).await.status, 503, "whether a token is needed cannot be told");
    assert_eq!(mesh.send(Request::get("/public")).await.status, 503);
    let metadata = [("authorization", &*format!("Bearer {token}"))];
    let status = grpc(mesh.envoy.addr, "/any.Service/Method", &metadata).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    mesh.signet.start_again();
    eventually("it passes again", async || (mesh.get("/x", &token).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_route_asks_for_a_role_and_the_service_is_told_which_the_caller_has() {
    let rule = (
        "{signet.require_scope: reports.read}",
        "{signet.require_audience: signet, signet.require_role: picker}",
    );
    let mesh = Mesh::changed(Signet::start(&["--ext-authz=on"]), &[rule]).await;
    let (_, token) = mesh.signet.sign_up().await;
    let asked = || spoofed(Request::get("/reports/1").bearer(&token));
    let refused = mesh.send(asked()).await;
    assert_eq!((refused.status, &*reason(&refused)), (403, "INSUFFICIENT_ROLE"));
    for role in ["picker", "packer"] {
        mesh.signet.operate(&["roles", "create", role, "--scope", "stock.pick"]);
        mesh.signet.operate(&["roles", "bind", role, "--user", "alice"]);
    }
    let told = async || {
        let answer = mesh.send(asked()).await;
        (answer.status == 200).then(|| values(&answer.arrived(), "x-signet-roles").join(","))
    };
    // Nothing that was sent under the name arrives beside it.
    let both = async || told().await.filter(|roles| roles == "packer picker");
    eventually("both roles are heard of", both).await;
    mesh.signet.operate(&["roles", "unbind", "picker", "--user", "alice"]);
    eventually("the role is gone", async || told().await.is_none().then_some(())).await;
}
