//! Owns a service that lets in only whom Signet knows. What protects it is marked in [`serve`]; who is calling is read in `StockRpc`.
//!
//! Its settings are variables of the environment: `STOCK_ADDR` is where it listens, `SIGNET_ISSUER` the `--issuer` of Signet,
//! `STOCK_JWKS_URI` where that one's keys are, if not where its metadata say, and `SIGNET_GRPC_ADDR` where Signet itself is, several with
//! commas. With `SIGNET_CLIENT_ID` and `SIGNET_CLIENT_SECRET` it follows what was revoked. `STOCK_REVOCATION_MAX_AGE` and
//! `STOCK_STREAM_GRACE` are in seconds.

mod proto;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{IsTerminal, Write},
    net::SocketAddr,
    pin::Pin,
    time::Duration,
};

use signet_sdk::{Caller, ClientCredential, Policy, Signet, Verifier, VerifierBuilder};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_stream::{Stream, StreamExt, wrappers::WatchStream};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::ServingStatus;

use proto::{
    DESCRIPTOR_SET, GetItemRequest, GetItemResponse, ListItemsRequest, ListItemsResponse, RestockItemRequest,
    RestockItemResponse, TakeItemRequest, TakeItemResponse, WatchItemRequest, WatchItemResponse,
    stock_service_server::{SERVICE_NAME, StockService, StockServiceServer},
};

/// What tokens for this service are meant for (`aud`).
const AUDIENCE: &str = "stock";

/// The most of an item that there is room for.
const MAX_COUNT: u32 = 1_000_000;

/// How long open streams may take to end, once the service is to.
const DRAIN: Duration = Duration::from_millis(1_500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let to_people = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(to_people).init();
    let addr: SocketAddr = set("STOCK_ADDR", "127.0.0.1:50052").parse()?;
    serve(addr, settings()?).await
}

fn set(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn settings() -> Result<VerifierBuilder, Box<dyn Error>> {
    let mut settings = Verifier::builder(set("SIGNET_ISSUER", "http://127.0.0.1:8080"), AUDIENCE);
    if let Ok(uri) = env::var("STOCK_JWKS_URI") {
        settings = settings.jwks_uri(uri);
    }
    if let (Ok(id), Ok(secret)) = (env::var("SIGNET_CLIENT_ID"), env::var("SIGNET_CLIENT_SECRET")) {
        let addresses = set("SIGNET_GRPC_ADDR", "127.0.0.1:50051");
        let signet = Signet::at(addresses.split(','));
        settings = settings.follow_revocations(signet, ClientCredential::secret(id, secret));
    }
    if let Ok(seconds) = env::var("STOCK_REVOCATION_MAX_AGE") {
        settings = settings.revocation_max_age(Duration::from_secs(seconds.parse()?));
    }
    if let Ok(seconds) = env::var("STOCK_STREAM_GRACE") {
        settings = settings.stream_grace(Duration::from_secs(seconds.parse()?));
    }
    Ok(settings)
}

async fn serve(addr: SocketAddr, settings: VerifierBuilder) -> Result<(), Box<dyn Error>> {
    // Health is everybody's, and true to what is known: before that, nobody can be let in.
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in ["", SERVICE_NAME] {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
    }

    // These three lines protect the service, health alone excepted.
    let verifier = settings.start()?;
    let policy = Policy::from_descriptor_set(DESCRIPTOR_SET)?.with_public_services(["grpc.health.v1.Health"]);
    let mut server = Server::builder().layer(verifier.guard(policy));

    tokio::spawn(async move {
        verifier.ready().await;
        for service in ["", SERVICE_NAME] {
            reporter.set_service_status(service, ServingStatus::Serving).await;
        }
    });
    let listener = TcpListener::bind(addr).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let (stopping, mut stopped) = watch::channel(false);
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stopping.send_replace(true);
    };
    let serving = server
        .add_service(health)
        .add_service(StockServiceServer::new(StockRpc::default()))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop);
    // Those who watch would keep it for ever: they call again.
    let drained = async {
        if stopped.wait_for(|stopped| *stopped).await.is_ok() {
            tokio::time::sleep(DRAIN).await;
        }
    };
    tokio::select! {
        done = serving => done?,
        () = drained => {}
    }
    Ok(())
}

/// The warehouse.
struct StockRpc {
    counts: BTreeMap<String, watch::Sender<u32>>,
}

impl Default for StockRpc {
    fn default() -> Self {
        let counts = [("bolt".to_owned(), 1_000), ("crane".to_owned(), 1)];
        Self { counts: counts.map(|(name, count)| (name, watch::channel(count).0)).into() }
    }
}

impl StockRpc {
    fn item(&self, name: &str) -> Result<&watch::Sender<u32>, Status> {
        self.counts.get(name).ok_or_else(|| Status::not_found("there is no such item"))
    }

    /// Has `count` give the next count of an item from this one.
    fn change(&self, name: &str, count: impl FnOnce(u32) -> Result<u32, Status>) -> Result<u32, Status> {
        let mut changed = Ok(0);
        self.item(name)?.send_if_modified(|current| {
            changed = count(*current);
            changed.as_ref().is_ok_and(|next| std::mem::replace(current, *next) != *next)
        });
        changed
    }
}

#[tonic::async_trait]
impl StockService for StockRpc {
    type WatchItemStream = Pin<Box<dyn Stream<Item = Result<WatchItemResponse, Status>> + Send>>;

    async fn list_items(&self, _: Request<ListItemsRequest>) -> Result<Response<ListItemsResponse>, Status> {
        Ok(Response::new(ListItemsResponse { names: self.counts.keys().cloned().collect() }))
    }

    async fn get_item(&self, request: Request<GetItemRequest>) -> Result<Response<GetItemResponse>, Status> {
        // Who is calling. The guard has seen to it that somebody is.
        let caller_id = Caller::of(&request)?.id();
        let count = *self.item(&request.get_ref().name)?.borrow();
        Ok(Response::new(GetItemResponse { count, caller_id }))
    }

    async fn take_item(
        &self,
        request: Request<TakeItemRequest>,
    ) -> Result<Response<TakeItemResponse>, Status> {
        let caller_id = Caller::of(&request)?.id();
        let none = || Status::failed_precondition("there is none left");
        let count = self.change(&request.get_ref().name, |count| count.checked_sub(1).ok_or_else(none))?;
        Ok(Response::new(TakeItemResponse { count, caller_id }))
    }

    async fn restock_item(
        &self,
        request: Request<RestockItemRequest>,
    ) -> Result<Response<RestockItemResponse>, Status> {
        let RestockItemRequest { name, count: more } = request.into_inner();
        let full = || Status::out_of_range("there is no room for more than a million");
        let add = |count: u32| count.checked_add(more).filter(|sum| *sum <= MAX_COUNT).ok_or_else(full);
        Ok(Response::new(RestockItemResponse { count: self.change(&name, add)? }))
    }

    async fn watch_item(
        &self,
        request: Request<WatchItemRequest>,
    ) -> Result<Response<Self::WatchItemStream>, Status> {
        let counts = self.item(&request.get_ref().name)?.subscribe();
        // The guard ends it when the caller's token does.
        let counts = WatchStream::new(counts).map(|count| Ok(WatchItemResponse { count }));
        Ok(Response::new(Box::pin(counts)))
    }
}
