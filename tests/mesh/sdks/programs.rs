//! Owns the example programs of the SDKs: where they are, how they are started, and what they print.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::Value;
use tokio::time::timeout;

use super::world::Account;
use crate::{
    stock::Stock,
    support::{
        program::directory,
        runner::{Invocation, PATIENCE, Process},
    },
};

/// The language of an SDK.
#[derive(Clone, Copy, Debug)]
pub(super) enum Language {
    Go,
    Java,
    Node,
    Python,
    Rust,
}

/// Where a program finds Signet.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where it answers gRPC, or the proxy before it.
    pub(super) grpc: SocketAddr,
    /// The issuer of its tokens.
    pub(super) issuer: String,
}

/// The example client, which calls until it has done what it was told to.
pub(super) struct Client(Process);

impl Language {
    /// The example program `name` of the language.
    fn program(self, name: &str) -> Invocation {
        let folder = format!("{self:?}").to_lowercase();
        let path: PathBuf = directory("SIGNET_TEST_SDKS").join(folder).join(name);
        assert!(path.is_file(), "there is no {}: scripts/sdk build makes it", path.display());
        Invocation::of(path).without_settings("STOCK_").without_settings("SIGNET_")
    }

    /// The example service, which follows what was revoked if it has an `account` for that, with the `settings` besides.
    pub(super) async fn service(
        self,
        place: &Place,
        account: Option<&Account>,
        settings: &[(&str, &str)],
    ) -> Stock {
        let service = place.tell(self.program("service"), account).env("STOCK_ADDR", "127.0.0.1:0");
        Stock::of(service.envs(settings.iter().copied())).await
    }

    /// The example client, which calls the service at `stock`.
    pub(super) fn client(self, place: &Place, account: &Account, stock: SocketAddr, args: &[&str]) -> Client {
        let client = place.tell(self.program("client"), Some(account));
        Client(client.env("STOCK_ADDR", &stock.to_string()).args(args).start())
    }
}

impl Place {
    /// Tells `program` where Signet is, and by which account it speaks to it.
    fn tell(&self, program: Invocation, account: Option<&Account>) -> Invocation {
        let program =
            program.env("SIGNET_GRPC_ADDR", &self.grpc.to_string()).env("SIGNET_ISSUER", &self.issuer);
        match account {
            Some(Account { id, secret }) => {
                program.env("SIGNET_CLIENT_ID", id).env("SIGNET_CLIENT_SECRET", secret)
            }
            None => program,
        }
    }
}

impl Client {
    /// What it prints next: one JSON object a line; none once it has ended.
    pub(super) async fn next(&mut self) -> Option<Value> {
        let line = self.0.line().await?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.0.log())))
    }

    /// Waits until it has printed what `is_it` takes.
    pub(super) async fn says(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) {
        let saying = async {
            while let Some(said) = self.next().await {
                if is_it(&said) {
                    return true;
                }
            }
            false
        };
        let said = timeout(PATIENCE, saying).await.unwrap_or_default();
        assert!(said, "not in time: {what}");
    }

    /// Waits until it has ended, and asserts that each of its `calls` was let in.
    pub(super) async fn all_were_let_in(mut self, calls: usize) {
        let mut counted = 0;
        while let Some(said) = self.next().await {
            assert_eq!(said["code"], "OK", "call {counted}: {said}");
            counted += 1;
        }
        assert_eq!(counted, calls);
        self.0.finish().await.succeeded();
    }
}
