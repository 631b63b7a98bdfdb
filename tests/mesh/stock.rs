//! Owns a running service of the proto `stock.v1`, such as `examples/protected-service`, and what its callers are answered.

use std::{collections::HashMap, net::SocketAddr, path::Path};

use tonic::{
    Code, Request, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::{
    requests::eventually,
    support::runner::{Invocation, Process},
};

pub(crate) const LIST_ITEMS: &str = "/stock.v1.StockService/ListItems";
pub(crate) const GET_ITEM: &str = "/stock.v1.StockService/GetItem";
pub(crate) const TAKE_ITEM: &str = "/stock.v1.StockService/TakeItem";
pub(crate) const RESTOCK_ITEM: &str = "/stock.v1.StockService/RestockItem";
const WATCH_ITEM: &str = "/stock.v1.StockService/WatchItem";

/// The service, which ends with the test.
pub(crate) struct Stock {
    _process: Process,
    pub(crate) addr: SocketAddr,
    channel: Channel,
}

/// Why a call was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) metadata: HashMap<String, String>,
}

/// `GetItemResponse` and `TakeItemResponse`; of `RestockItemResponse` and `WatchItemResponse` there is the count alone.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Item {
    #[prost(uint32, tag = "1")]
    pub(crate) count: u32,
    #[prost(string, tag = "2")]
    pub(crate) caller_id: String,
}

impl Stock {
    /// A service that trusts `issuer`, and finds its keys by its name.
    pub(crate) async fn start(issuer: SocketAddr) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_signet")).with_file_name("protected-service");
        assert!(
            program.is_file(),
            "there is no {}: run scripts/test, or `cargo build --package protected-service`",
            program.display()
        );
        let stock = Invocation::of(program).without_settings("STOCK_").without_settings("SIGNET_");
        let stock = stock.env("STOCK_ADDR", "127.0.0.1:0").env("SIGNET_ISSUER", &format!("http://{issuer}"));
        Self::of(stock).await
    }

    /// The service that `program` is, which prints first where it listens.
    pub(crate) async fn of(program: Invocation) -> Self {
        let mut process = program.start();
        let line = process.line().await.unwrap_or_default();
        let addr: SocketAddr =
            line.parse().unwrap_or_else(|_| panic!("it did not start: {line:?}\n{}", process.log()));
        let channel = Channel::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
        Self { _process: process, addr, channel }
    }

    /// The answer to a question about bolts, asked with `token`.
    pub(crate) async fn call(&self, path: &'static str, token: Option<&str>) -> Result<Item, Status> {
        self.unary(path, token).await
    }

    /// Asks what everybody may know.
    pub(crate) async fn list_items(&self) -> Result<(), Status> {
        self.unary(LIST_ITEMS, None).await
    }

    /// How many bolts there are, from now on.
    pub(crate) async fn watch(&self, token: &str) -> Result<Streaming<Item>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let codec: ProstCodec<String, Item> = ProstCodec::default();
        let path = PathAndQuery::from_static(WATCH_ITEM);
        Ok(grpc.server_streaming(about_bolts(Some(token)), path, codec).await?.into_inner())
    }

    async fn unary<T: prost::Message + Default + 'static>(
        &self,
        path: &'static str,
        token: Option<&str>,
    ) -> Result<T, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let codec: ProstCodec<String, T> = ProstCodec::default();
        Ok(grpc.unary(about_bolts(token), PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    /// Whether it says that it can serve.
    pub(crate) async fn is_serving(&self) -> bool {
        let answer =
            HealthClient::new(self.channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
        answer.get_ref().status == ServingStatus::Serving as i32
    }

    /// Waits until it says so.
    pub(crate) async fn serves(&self) {
        eventually("it serves", async || self.is_serving().await.then_some(())).await;
    }
}

/// A request that is a message of one string, with `token`.
fn about_bolts(token: Option<&str>) -> Request<String> {
    let mut request = Request::new("bolt".to_owned());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

impl Refused {
    /// What `status` says.
    pub(crate) fn of(status: &Status) -> Self {
        let info = status.get_details_error_info();
        let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
        Self { code: status.code(), reason, metadata }
    }

    /// A refusal of a call of `method` with a token for the audience `stock`.
    pub(crate) fn new(code: Code, reason: &str, method: &str, besides: &[(&str, &str)]) -> Self {
        let said = [("audience", "stock"), ("method", method)];
        let metadata =
            said.iter().chain(besides).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self { code, reason: reason.to_owned(), metadata: metadata.collect() }
    }
}

/// The code and the reason of a refusal.
#[track_caller]
pub(crate) fn refused(answer: Result<Item, Status>) -> (Code, String) {
    let Refused { code, reason, .. } = Refused::of(&answer.expect_err("it was let in"));
    (code, reason)
}
