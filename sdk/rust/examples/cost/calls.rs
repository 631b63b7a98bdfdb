//! Owns what a call costs its server, which is a process of its own.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use rustix::time::{ClockId, clock_gettime};
use signet_sdk::{
    Policy,
    proto::{
        DESCRIPTOR_SET,
        identity::v1::{
            GetJwksRequest, GetJwksResponse, IntrospectTokenRequest, IntrospectTokenResponse,
            token_service_client::TokenServiceClient,
            token_service_server::{TokenService, TokenServiceServer},
        },
    },
    testing::{TestIssuer, Token},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint, Server as TonicServer, server::TcpIncoming},
};

use crate::Problem;

/// Makes the process a server; behind the guard with the second one.
pub(crate) const SERVE: &str = "--serve";
pub(crate) const GUARDED: &str = "--guarded";

/// How many calls each turn makes, one after the other.
const CALLS: u16 = 2_000;

/// What the server calls itself.
const AUDIENCE: &str = "signet";

/// Answers nothing.
struct Service;

#[tonic::async_trait]
impl TokenService for Service {
    async fn introspect_token(
        &self,
        _: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        Ok(Response::new(IntrospectTokenResponse::default()))
    }

    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Result<Response<GetJwksResponse>, Status> {
        Ok(Response::new(GetJwksResponse::default()))
    }
}

/// Serves until stdin ends. It prints its address and a token, and for each line that it reads the CPU time that it has taken.
pub(crate) async fn serve(is_guarded: bool) -> Result<(), Problem> {
    let issuer = TestIssuer::new();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let token = issuer.sign(&Token::client().audiences([AUDIENCE]).scopes(["introspect"]));
    writeln!(std::io::stdout(), "{}\n{token}", listener.local_addr()?)?;
    std::thread::spawn(|| {
        for _ in std::io::stdin().lines() {
            let cpu = clock_gettime(ClockId::ProcessCPUTime);
            if writeln!(std::io::stdout(), "{}.{:09}", cpu.tv_sec, cpu.tv_nsec).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    let (incoming, service) = (TcpIncoming::from(listener), TokenServiceServer::new(Service));
    if is_guarded {
        let guard = issuer.verifier(AUDIENCE).guard(Policy::from_descriptor_set(DESCRIPTOR_SET)?);
        TonicServer::builder().layer(guard).add_service(service).serve_with_incoming(incoming).await?;
    } else {
        TonicServer::builder().add_service(service).serve_with_incoming(incoming).await?;
    }
    Ok(())
}

/// Both servers, each with a connection of its own.
pub(crate) struct Servers {
    bare: Server,
    guarded: Server,
}

impl Servers {
    pub(crate) async fn start() -> Result<Self, Problem> {
        Ok(Self { bare: Server::start(&[SERVE]).await?, guarded: Server::start(&[SERVE, GUARDED]).await? })
    }

    /// Microseconds of the server for each call: without the guard, and with it.
    pub(crate) async fn round(&mut self, is_turned: bool) -> Result<[f64; 2], Problem> {
        if is_turned {
            let guarded = self.guarded.turn().await?;
            Ok([self.bare.turn().await?, guarded])
        } else {
            let bare = self.bare.turn().await?;
            Ok([bare, self.guarded.turn().await?])
        }
    }
}

struct Server {
    process: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    client: TokenServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
}

impl Server {
    async fn start(arguments: &[&str]) -> Result<Self, Problem> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let stdin = process.stdin.take().ok_or("it has a stdin")?;
        let stdout = process.stdout.take().ok_or("it has a stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut next = || lines.next().ok_or("the server has ended");
        let address = format!("http://{}", next()??);
        let bearer = format!("Bearer {}", next()??).parse()?;
        let client = TokenServiceClient::new(Endpoint::from_shared(address)?.connect().await?);
        let mut this = Self { process, stdin, lines, client, bearer };
        // The first ones make what stays.
        this.turn().await?;
        Ok(this)
    }

    async fn turn(&mut self) -> Result<f64, Problem> {
        let before = self.cpu()?;
        for _ in 0..CALLS {
            let mut request = Request::new(IntrospectTokenRequest::default());
            request.metadata_mut().insert("authorization", self.bearer.clone());
            self.client.introspect_token(request).await?;
        }
        Ok((self.cpu()? - before) * 1e6 / f64::from(CALLS))
    }

    /// The CPU time that the server has taken, in seconds.
    fn cpu(&mut self) -> Result<f64, Problem> {
        writeln!(self.stdin)?;
        Ok(self.lines.next().ok_or("the server has ended")??.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
