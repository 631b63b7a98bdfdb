//! A service that lets in only whom Signet knows. What protects it is marked in [`serve`]; who is calling is read in `StockRpc`.
//!
//! Its settings are variables of the environment: `STOCK_ADDR` is where it listens, `STOCK_ISSUER` the `--issuer` of Signet, and
//! `STOCK_JWKS_URI` where that one's keys are, if not where its metadata say.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{IsTerminal, Write},
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use signet::{
    auth::{Caller, Policy, ResourceServer, ResourceServerSettings},
    model::Subject,
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH;

/// The generated code.
#[allow(
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/"
)]
mod proto {
    tonic::include_proto!("stock.v1");

    /// The encoded descriptor set, from which the access rules are read.
    pub(crate) const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
}

use proto::{
    DESCRIPTOR_SET, GetItemRequest, GetItemResponse, ListItemsRequest, ListItemsResponse, TakeItemRequest,
    TakeItemResponse,
    stock_service_server::{StockService, StockServiceServer},
};

/// What tokens for this service are meant for (`aud`).
const AUDIENCE: &str = "stock";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let to_people = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(to_people).init();
    let set = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let addr: SocketAddr = set("STOCK_ADDR", "127.0.0.1:50052").parse()?;
    let mut settings = ResourceServerSettings::new(set("STOCK_ISSUER", "http://127.0.0.1:8080"), AUDIENCE);
    settings.jwks_uri = env::var("STOCK_JWKS_URI").ok();
    serve(addr, settings).await
}

async fn serve(addr: SocketAddr, settings: ResourceServerSettings) -> Result<(), Box<dyn Error>> {
    // Health is everybody's, and true to the keys: without them, nobody can be let in.
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_not_serving::<StockServiceServer<StockRpc>>().await;

    // These three lines protect the service, health alone excepted.
    let auth = ResourceServer::start(settings)?;
    let policy = Policy::from_descriptor_set(DESCRIPTOR_SET)?.with_public(HEALTH, "grpc.health.v1.Health")?;
    let mut server = Server::builder().layer(auth.protect(policy));

    tokio::spawn(async move {
        auth.ready().await;
        reporter.set_serving::<StockServiceServer<StockRpc>>().await;
    });
    let listener = TcpListener::bind(addr).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let stopped = async {
        // Without the signal to wait for, it serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server
        .add_service(health)
        .add_service(StockServiceServer::new(StockRpc::default()))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped)
        .await?;
    Ok(())
}

/// The warehouse.
struct StockRpc {
    counts: Mutex<BTreeMap<String, u32>>,
}

impl Default for StockRpc {
    fn default() -> Self {
        let counts = [("bolt".to_owned(), 1_000), ("crane".to_owned(), 1)];
        Self { counts: Mutex::new(counts.into()) }
    }
}

#[tonic::async_trait]
impl StockService for StockRpc {
    async fn list_items(&self, _: Request<ListItemsRequest>) -> Result<Response<ListItemsResponse>, Status> {
        let names = self.counts.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        Ok(Response::new(ListItemsResponse { names }))
    }

    async fn get_item(&self, request: Request<GetItemRequest>) -> Result<Response<GetItemResponse>, Status> {
        let caller_id = caller_id(&request)?;
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&request.get_ref().name).copied().ok_or_else(no_such_item)?;
        Ok(Response::new(GetItemResponse { count, caller_id }))
    }

    async fn take_item(
        &self,
        request: Request<TakeItemRequest>,
    ) -> Result<Response<TakeItemResponse>, Status> {
        let caller_id = caller_id(&request)?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get_mut(&request.get_ref().name).ok_or_else(no_such_item)?;
        *count = count.checked_sub(1).ok_or_else(|| Status::failed_precondition("there is none left"))?;
        Ok(Response::new(TakeItemResponse { count: *count, caller_id }))
    }
}

/// Who is calling. The layer has seen to it that somebody is.
fn caller_id<T>(request: &Request<T>) -> Result<String, Status> {
    Ok(match Caller::of(request)?.subject() {
        Subject::User(user, _session) => user.to_string(),
        Subject::Client(client) => client.to_string(),
    })
}

fn no_such_item() -> Status {
    Status::not_found("there is no such item")
}
