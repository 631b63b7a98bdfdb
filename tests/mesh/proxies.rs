//! Owns running the nginx and the Caddy of `examples/deploy`, on free ports.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    requests::eventually,
    signet::Signet,
    support::{pki::Authority, ports::free_addr, program::find},
    upstream::Upstream,
};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
}

/// A proxy that ends with the test, the service behind it, and the Signet that it asks.
pub(crate) struct Proxy {
    process: Child,
    directory: TempDir,
    /// Where HTTP/1.1 comes in.
    pub(crate) addr: SocketAddr,
    /// Where HTTP/2 does, in plaintext.
    pub(crate) h2c: SocketAddr,
    pub(crate) signet: Signet,
    upstream: Upstream,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Nginx, Self::Caddy];

    /// The folder of its files below `examples/deploy`.
    pub(crate) fn folder(self) -> PathBuf {
        let name = match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy").join(name)
    }

    /// Its configuration.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Caddy => "Caddyfile",
        }
    }

    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::Nginx => find("SIGNET_TEST_NGINX", "nginx"),
            Self::Caddy => find("SIGNET_TEST_CADDY", "caddy"),
        }
    }

    /// The command by which it serves, or only checks, the configuration in `directory`, where it writes what it has to write.
    pub(crate) fn command(self, directory: &Path, checks: bool) -> Command {
        let mut command = Command::new(self.program());
        command.current_dir(directory).stdin(Stdio::null());
        match self {
            Self::Nginx => {
                let globals = format!("daemon off; master_process off; pid {}/pid;", directory.display());
                command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "stderr", "-g", &globals]);
                command.args(checks.then_some("-t"));
            }
            Self::Caddy => {
                let what = if checks { "validate" } else { "run" };
                command.args([what, "--adapter", "caddyfile", "--config", "Caddyfile"]);
                command.env("XDG_DATA_HOME", directory).env("XDG_CONFIG_HOME", directory);
            }
        }
        command
    }

    /// Copies its files into `directory`, where `text` is its configuration, and makes what that names.
    pub(crate) fn install(self, directory: &Path, text: &str) {
        let at = |name: &str| directory.join(name);
        let own = Authority::new("an authority").issue(&["id.example"]);
        fs::write(at("tls.crt"), own.cert).unwrap();
        fs::write(at("tls.key"), own.key).unwrap();
        for entry in fs::read_dir(self.folder()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
        }
        let mut text = text.replace("/etc/certs/", &format!("{}/", directory.display()));
        if self == Self::Nginx {
            // Where the package would have them.
            let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let folders = kinds.map(|kind| format!("{kind}_temp_path {}/{kind};\n", directory.display()));
            text = text.replace("http {\n", &format!("http {{\naccess_log off;\n{}", folders.concat()));
        }
        fs::write(at(self.file()), text).unwrap();
    }
}

impl Proxy {
    /// A Signet with forward-auth, and the proxy of the example in front of it and of a service.
    pub(crate) async fn start(kind: Kind) -> Self {
        let flags = ["--ext-authz=on", "--ext-authz-addr=127.0.0.1:0", "--trusted-proxy-addresses=127.0.0.1"];
        let (signet, upstream) = (Signet::start(&flags), Upstream::start().await);
        let (addr, h2c) = match kind {
            Kind::Nginx => (free_addr(), free_addr()),
            Kind::Caddy => {
                let addr = free_addr();
                (addr, addr)
            }
        };
        let text = fs::read_to_string(kind.folder().join(kind.file())).unwrap();
        let changes = match kind {
            Kind::Nginx => {
                vec![("listen 443 ssl http2;".to_owned(), format!("listen {addr};\nlisten {h2c} http2;"))]
            }
            Kind::Caddy => ["id", "service"]
                .map(|name| {
                    (format!("\n{name}.example {{"), format!("\nhttp://{name}.example:{} {{", addr.port()))
                })
                .into(),
        };
        let ports = [
            (50051, signet.grpc),
            (8080, signet.http),
            (50052, signet.ext_authz.unwrap()),
            (8081, upstream.addr),
        ]
        .map(|(port, addr)| (format!("127.0.0.1:{port}"), addr.to_string()));
        let text = changes.into_iter().chain(ports).fold(text, |text, (from, to)| {
            assert!(text.contains(&from), "{kind:?} does not say {from:?}");
            text.replace(&from, &to)
        });
        let text = match kind {
            Kind::Nginx => text,
            Kind::Caddy => {
                let how = "admin off\nauto_https off\npersist_config off\nservers {\nprotocols h1 h2c\n}";
                format!("{{\n{how}\n}}\n{text}")
            }
        };
        let directory = TempDir::new().unwrap();
        kind.install(directory.path(), &text);
        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = kind.command(directory.path(), false);
        let process = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut proxy = Self { process, directory, addr, h2c, signet, upstream };
        eventually("the proxy takes requests", async || {
            let ended = proxy.process.try_wait().unwrap();
            assert!(ended.is_none(), "{kind:?} does not start: {ended:?}");
            TcpStream::connect(addr).await.ok()
        })
        .await;
        proxy
    }

    /// Ends Signet, as its host going away would.
    pub(crate) fn without_signet(&mut self) {
        self.signet.kill();
    }

    /// Where the service is, past the proxy.
    pub(crate) const fn service(&self) -> SocketAddr {
        self.upstream.addr
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("the proxy's log:\n{log}");
        }
    }
}
