//! Owns the running `examples/protected-service`, and what its callers are answered.

use std::{net::SocketAddr, path::Path};

use tonic::{Code, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::support::runner::{Invocation, Process};

pub(crate) const GET_ITEM: &str = "/stock.v1.StockService/GetItem";
pub(crate) const TAKE_ITEM: &str = "/stock.v1.StockService/TakeItem";

/// The service, which ends with the test.
pub(crate) struct Stock {
    _process: Process,
    channel: Channel,
}

/// `GetItemResponse` and `TakeItemResponse`.
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
        let mut process = stock.start();
        let line = process.line().await.unwrap_or_default();
        let addr: SocketAddr = line.parse().unwrap_or_else(|_| panic!("it did not start: {line:?}"));
        let channel = Channel::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
        Self { _process: process, channel }
    }

    /// The answer to a question about bolts, asked with `token`.
    pub(crate) async fn call(&self, path: &'static str, token: Option<&str>) -> Result<Item, Status> {
        self.unary(path, token).await
    }

    /// Asks what everybody may know.
    pub(crate) async fn list_items(&self) -> Result<(), Status> {
        self.unary("/stock.v1.StockService/ListItems", None).await
    }

    async fn unary<T: prost::Message + Default + 'static>(
        &self,
        path: &'static str,
        token: Option<&str>,
    ) -> Result<T, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        // A message of one string.
        let mut request = tonic::Request::new("bolt".to_owned());
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let codec: ProstCodec<String, T> = ProstCodec::default();
        Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    /// Whether it says that it can serve.
    pub(crate) async fn is_serving(&self) -> bool {
        let request = HealthCheckRequest { service: "stock.v1.StockService".to_owned() };
        let answer = HealthClient::new(self.channel.clone()).check(request).await.unwrap();
        answer.get_ref().status == ServingStatus::Serving as i32
    }
}

/// The code and the reason of a refusal.
#[track_caller]
pub(crate) fn refused(answer: Result<Item, Status>) -> (Code, String) {
    let status = answer.expect_err("it was let in");
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    (status.code(), reason)
}
