//! Owns what `signet doctor` sees through a real nginx, Envoy, Caddy and `HAProxy` that are set up as they should not be, and that it names
//! the line that mends it.

use std::{
    fs::{self, File},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    envoy::Envoy,
    proxies::Kind,
    requests::eventually,
    signet::Signet,
    support::{pki::Authority, ports::free_addr, program::find, runner::Invocation},
};

/// A proxy that ends with the test.
struct InFront {
    process: Child,
    directory: TempDir,
}

impl Drop for InFront {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log"));
            eprintln!("what the proxy had to say:\n{}", log.unwrap_or_default());
        }
    }
}

impl InFront {
    /// Runs `command` of the directory in which its files are, until it takes requests at `addr`.
    async fn start(directory: TempDir, command: &mut Command, addr: SocketAddr) -> Self {
        let log = File::create(directory.path().join("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut proxy = Self { process, directory };
        eventually("the proxy takes requests", async || {
            let ended = proxy.process.try_wait().unwrap();
            assert!(ended.is_none(), "it does not start: {ended:?}");
            TcpStream::connect(addr).await.ok()
        })
        .await;
        proxy
    }

    /// An nginx with these `servers`, the last of which listens at `addr`. It has a certificate of `localhost`.
    async fn nginx(servers: &str, addr: SocketAddr) -> (Self, String) {
        let (directory, authority) = (TempDir::new().unwrap(), Authority::new("tests"));
        authority.issue(&["localhost"]).write(directory.path());
        let at = directory.path().display().to_string();
        let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        let tls = format!("ssl_certificate {at}/tls.crt;\nssl_certificate_key {at}/tls.key;\n");
        let text = format!("events {{}}\nhttp {{\naccess_log off;\n{folders}{tls}{servers}\n}}\n");
        fs::write(directory.path().join("nginx.conf"), text).unwrap();
        let ca = directory.path().join("ca.crt");
        fs::write(&ca, &authority.pem).unwrap();
        let mut command = Kind::Nginx.command(directory.path(), false);
        let ca = format!("--tls-ca={}", ca.display());
        (Self::start(directory, &mut command, addr).await, ca)
    }

    /// A Caddy with `sites`, that takes requests at `addr`.
    async fn caddy(sites: &str, addr: SocketAddr) -> Self {
        let directory = TempDir::new().unwrap();
        let how = "admin off\nauto_https off\npersist_config off\nservers {\nprotocols h1 h2c\n}";
        fs::write(directory.path().join("Caddyfile"), format!("{{\n{how}\n}}\n{sites}\n")).unwrap();
        let mut command = Kind::Caddy.command(directory.path(), false);
        Self::start(directory, &mut command, addr).await
    }

    /// An `HAProxy` before `server`, with `more` of the settings of its front, that takes requests at `addr`.
    async fn haproxy(addr: SocketAddr, more: &str, server: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let text = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
             frontend grpc\n  bind {addr}\n{more}\n  default_backend signet\nbackend signet\n  server signet {server}\n"
        );
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(find("SIGNET_TEST_HAPROXY", "haproxy"));
        Self::start(directory, command.arg("-db").arg("-f").arg(file), addr).await
    }
}

/// What the doctor finds by `args`, check by check.
struct Found(Vec<Value>);

impl Found {
    /// Asserts what the check `check` came to, what it says, and what mends it.
    #[track_caller]
    fn is(&self, check: &str, result: &str, says: &str, mend: &str) {
        let found = self.0.iter().find(|found| found["check"] == check);
        let found = found.unwrap_or_else(|| panic!("nothing of {check}: {:?}", self.0));
        assert_eq!(found["result"], result, "{found}");
        assert!(found["seen"].as_str().unwrap().contains(says), "{found}");
        assert!(found["mend"].as_str().unwrap_or_default().contains(mend), "{found}");
    }

    #[track_caller]
    fn are_ok(&self, checks: &[&str]) {
        for check in checks {
            self.is(check, "ok", "", "");
        }
    }
}

async fn doctor(args: &[&str]) -> Found {
    let directory = TempDir::new().unwrap();
    // What idles is looked at only where a test is about that.
    let idle =
        if args.iter().any(|arg| arg.starts_with("--idle-for")) { &[][..] } else { &["--idle-for=0s"] };
    let run = Invocation::signet().args(["doctor", "--json"]).args(idle).args(args).within(directory.path());
    let finished = run.run().await;
    let found = finished.objects();
    assert!(!found.is_empty(), "{finished:?}");
    Found(found)
}

/// The flags that name gRPC, and the issuer of `signet` past all proxies.
fn past(signet: &Signet, grpc: SocketAddr) -> [String; 2] {
    [format!("--url=http://{}", signet.http), format!("--grpc-url=http://{grpc}")]
}

/// What is found of gRPC at `grpc` with `more`.
async fn of_grpc(signet: &Signet, grpc: SocketAddr, more: &[&str]) -> Found {
    let [url, grpc] = past(signet, grpc);
    doctor(&[&[&*url, &*grpc], more].concat()).await
}

#[tokio::test]
async fn an_nginx_that_agrees_on_no_http2_or_hands_calls_on_by_http1_is_told() {
    let signet = Signet::start_as_issuer(&[]);
    let (tls, plain, good) = (free_addr(), free_addr(), free_addr());
    let grpc = signet.grpc;
    let servers = format!(
        "server {{ listen {tls} ssl; location / {{ grpc_pass grpc://{grpc}; }} }}\n\
         server {{ listen {plain} http2; location / {{ proxy_pass http://{grpc}; }} }}\n\
         server {{ listen {good} http2; location / {{ grpc_pass grpc://{grpc}; grpc_read_timeout 1h; }} }}"
    );
    let (_nginx, ca) = InFront::nginx(&servers, good).await;

    let at =
        [format!("--url=http://{}", signet.http), format!("--grpc-url=https://localhost:{}", tls.port())];
    let found = doctor(&[&at[0], &at[1], &ca]).await;
    found.are_ok(&["grpc.certificate", "grpc.reached"]);
    found.is("grpc.alpn", "wrong", "in the place of HTTP/2", "nginx: `listen 443 ssl http2;`");
    found.is("grpc.call", "skipped", "", "");

    let found = of_grpc(&signet, plain, &[]).await;
    found.is("grpc.call", "wrong", "speaks HTTP/1.1 to Signet", "nginx: `grpc_pass grpc://SIGNET:50051;`");
    assert!(
        found.0.iter().all(|found| !found["mend"].to_string().contains("Caddy")),
        "nginx is known: {:?}",
        found.0
    );

    let found = of_grpc(&signet, good, &[]).await;
    found.are_ok(&[
        "issuer.name",
        "issuer.endpoints",
        "keys.published",
        "keys.cache",
        "keys.agree",
        "grpc.http2",
        "grpc.call",
        "grpc.trailers",
        "grpc.errors",
        "grpc.headers",
        "grpc.goaway",
        "grpc.stream",
    ]);
}

#[tokio::test]
async fn an_nginx_with_small_buffers_and_short_times_is_told() {
    let signet = Signet::start_as_issuer(&[]);
    let (small, short, once) = (free_addr(), free_addr(), free_addr());
    let pass = format!("location / {{ grpc_pass grpc://{}; }}", signet.grpc);
    let servers = format!(
        "server {{ listen {small} http2; large_client_header_buffers 4 2k; {pass} }}\n\
         server {{ listen {short} http2; grpc_read_timeout 1s; keepalive_timeout 1s; {pass} }}\n\
         server {{ listen {once} http2; keepalive_requests 2; {pass} }}"
    );
    let (_nginx, _) = InFront::nginx(&servers, once).await;
    let found = of_grpc(&signet, small, &[]).await;
    found.is("grpc.headers", "wrong", "4 KiB", "nginx: `large_client_header_buffers 4 16k;`");
    let found = of_grpc(&signet, short, &["--idle-for=5s"]).await;
    found.is("grpc.stream", "wrong", "ends after ", "nginx: `grpc_read_timeout 1h;`");
    found.is("grpc.idle", "warning", "GOAWAY", "nginx: `keepalive_timeout 1h;`");
    let found = of_grpc(&signet, once, &[]).await;
    found.is("grpc.goaway", "warning", "GOAWAY", "nginx: `keepalive_requests 100000;");
}

#[tokio::test]
async fn an_nginx_that_keeps_keys_for_a_day_or_leads_discovery_elsewhere_is_told() {
    let addr = free_addr();
    let elsewhere = free_addr();
    let issuer = format!("http://{addr}");
    let signet = Signet::start(&[&format!("--issuer={issuer}")]);
    let servers = format!(
        "server {{ listen {elsewhere}; location / {{ return 404; }} }}\n\
         server {{ listen {addr}; location / {{ proxy_pass http://{}; expires 1d; }} }}",
        signet.http
    );
    let (_nginx, _) = InFront::nginx(&servers, addr).await;
    let grpc = format!("--grpc-url=http://{}", signet.grpc);
    let found = doctor(&[&format!("--url={issuer}"), &grpc]).await;
    found.are_ok(&["issuer.name", "issuer.discovery", "keys.agree"]);
    found.is("keys.cache", "wrong", "kept for 1day", "nginx: `expires off;`");
    found.are_ok(&["issuer.endpoints", "keys.published"]);
    let found = doctor(&[&format!("--url=http://{elsewhere}"), &grpc]).await;
    found.is("issuer.discovery", "wrong", "404", "nginx: `location / { proxy_pass");
}

#[tokio::test]
async fn an_nginx_that_asks_for_a_password_of_its_own_or_lets_no_post_pass_is_told() {
    for (fault, says) in [
        (
            "location /oauth2/ { auth_basic staff; auth_basic_user_file nobody; proxy_pass http://SIGNET; }",
            "401",
        ),
        ("location = /oauth2/userinfo { auth_basic staff; auth_basic_user_file nobody; }", "userinfo"),
        ("location = /oauth2/token { limit_except GET { deny all; } proxy_pass http://SIGNET; }", "403"),
    ] {
        let addr = free_addr();
        let issuer = format!("http://{addr}");
        let signet = Signet::start(&[&format!("--issuer={issuer}")]);
        let fault = fault.replace("SIGNET", &signet.http.to_string());
        let servers = format!(
            "server {{ listen {addr}; {fault} location / {{ proxy_pass http://{}; }} }}",
            signet.http
        );
        let (_nginx, _) = InFront::nginx(&servers, addr).await;
        let found =
            doctor(&[&format!("--url={issuer}"), &format!("--grpc-url=http://{}", signet.grpc)]).await;
        found.is("issuer.endpoints", "wrong", says, "nginx: `location / { proxy_pass");
        found.are_ok(&["issuer.name", "issuer.discovery", "keys.agree"]);
    }
}

/// The Envoy of the example for browsers, with `changes`.
async fn envoy(signet: &Signet, changes: &[(&str, &str)]) -> Envoy {
    Envoy::start("web.yaml", &[(50051, signet.grpc.port())], changes).await
}

#[tokio::test]
async fn an_envoy_with_a_small_header_limit_or_http1_behind_it_is_told() {
    let signet = Signet::start_as_issuer(&[]);
    let small = envoy(
        &signet,
        &[("stat_prefix: requests", "stat_prefix: requests\n          max_request_headers_kb: 6")],
    )
    .await;
    let found = of_grpc(&signet, small.addr, &[]).await;
    found.are_ok(&["grpc.call", "grpc.trailers", "grpc.errors", "grpc.web"]);
    found.is("grpc.headers", "warning", "7 KiB", "Envoy: `max_request_headers_kb: 60`");

    let http1 = envoy(&signet, &[("{http2_protocol_options: {}}", "{http_protocol_options: {}}")]).await;
    let found = of_grpc(&signet, http1.addr, &[]).await;
    found.is(
        "grpc.call",
        "wrong",
        "speaks HTTP/1.1 to Signet",
        "Envoy: `explicit_http_config: {http2_protocol_options: {}}`",
    );
}

#[tokio::test]
async fn an_envoy_whose_routes_are_for_grpc_alone_or_end_streams_is_told() {
    let signet = Signet::start_as_issuer(&[]);
    let routes = "routes: [{match: {prefix: /identity.v1.}, route: {cluster: signet}}]";
    let by_kind = "routes: [{match: {prefix: /, grpc: {}}, route: {cluster: signet, timeout: 1s}}]";
    let no_web = (
        "          - name: envoy.filters.http.grpc_web\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}\n",
        "",
    );
    let envoy = envoy(&signet, &[(routes, by_kind), no_web]).await;
    let found = of_grpc(&signet, envoy.addr, &["--idle-for=5s"]).await;
    found.is("grpc.connect", "warning", "404", "Envoy: `match: {prefix: /identity.v1.}` without `grpc: {}`");
    found.is("grpc.stream", "wrong", "ends after ", "Envoy: `timeout: 0s` for the route");
}

#[tokio::test]
async fn a_caddy_that_hands_calls_on_by_http1_or_by_their_content_is_told() {
    let signet = Signet::start_as_issuer(&[]);
    let (http1, by_kind) = (free_addr(), free_addr());
    let sites = format!(
        "http://127.0.0.1:{} {{\nreverse_proxy {grpc}\n}}\n\
         http://127.0.0.1:{} {{\n@grpc header Content-Type application/grpc\nreverse_proxy @grpc h2c://{grpc}\nreverse_proxy {http}\n}}",
        http1.port(),
        by_kind.port(),
        grpc = signet.grpc,
        http = signet.http,
    );
    let _caddy = InFront::caddy(&sites, by_kind).await;
    let found = of_grpc(&signet, http1, &[]).await;
    found.is("grpc.call", "wrong", "speaks HTTP/1.1 to Signet", "Caddy: `reverse_proxy h2c://SIGNET:50051`");
    let found = of_grpc(&signet, by_kind, &[]).await;
    found.are_ok(&["grpc.call", "grpc.trailers", "grpc.errors", "grpc.headers"]);
    found.is("grpc.web", "warning", "404", "Caddy: `@grpc path ...`");

    // The issuer that is reached by Caddy, and does not know it.
    let found = doctor(&[&format!("--url=http://{by_kind}"), &format!("--grpc-url=http://{by_kind}")]).await;
    found.is(
        "issuer.name",
        "wrong",
        &format!("it calls itself http://{}", signet.http),
        "`--issuer http://127.0.0.1:",
    );
}

#[tokio::test]
async fn an_haproxy_that_speaks_http1_to_signet_or_takes_details_away_is_told() {
    let signet = Signet::start_as_issuer(&[]);
    let (http1, stripped) = (free_addr(), free_addr());
    let _one = InFront::haproxy(http1, "", &signet.grpc.to_string()).await;
    let found = of_grpc(&signet, http1, &[]).await;
    // Nothing in its answers tells that it is there.
    found.is(
        "grpc.call",
        "wrong",
        "speaks HTTP/1.1 to Signet",
        "HAProxy: `server signet SIGNET:50051 proto h2`",
    );
    let removing = "  http-response del-header grpc-status-details-bin";
    let server = format!("{} proto h2\n  timeout server 1s", signet.grpc);
    let _other = InFront::haproxy(stripped, removing, &server).await;
    let found = of_grpc(&signet, stripped, &["--idle-for=5s"]).await;
    found.are_ok(&["grpc.call", "grpc.trailers"]);
    found.is("grpc.errors", "warning", "without their details", "HAProxy: no `http-response del-header`");
    found.is("grpc.stream", "wrong", "ends after ", "HAProxy: `timeout client 1h` and `timeout server 1h`");
}
