//! Owns what the service and the client of an SDK meet: a Signet with the audience `stock`, its clients, and its user alice.

use std::net::SocketAddr;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use signet::proto::identity::v1::{
    IssueTokenRequest, PasswordGrant, identity_service_client::IdentityServiceClient,
    issue_token_request::Grant,
};
use tokio::task::block_in_place;
use tonic::Status;

use super::programs::{Language, Place};
use crate::{
    requests::eventually,
    signet::{PASSWORD, Signet},
    stock::Stock,
};

/// Who a program is to Signet.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) secret: String,
}

/// A Signet, and who is known to it.
pub(super) struct World {
    pub(super) signet: Signet,
    pub(super) place: Place,
    /// By which the service follows what was revoked.
    pub(super) watcher: Account,
    /// Who calls the service.
    pub(super) caller: Account,
    /// The id of alice.
    pub(super) alice: String,
}

impl World {
    /// A Signet with the flags `flags`. Alice is a stocker, and her tokens say so; everybody may take items.
    pub(super) async fn start(flags: &[&str]) -> Self {
        Self::of(Signet::start_as_issuer(flags)).await
    }

    /// What `signet` becomes.
    pub(super) async fn of(signet: Signet) -> Self {
        let (alice, _) = signet.sign_up().await;
        let operate = |line: &str| block_in_place(|| signet.operate(&line.split(' ').collect::<Vec<_>>()));
        let watcher = operate(
            "clients create stock-events --scope signet.events.watch --allow-audience stock --allow-audience signet",
        );
        let caller = operate("clients create orders --allow-audience stock --scope stock:write");
        operate(
            "clients update signet --add-audience stock --add-scope stock:write --add-scope stock:more --add-token-claim roles",
        );
        operate("roles update everyone --audience stock --add-scope stock:write");
        operate("roles create stocker --audience stock --scope stock:more");
        operate("roles bind stocker --audience stock --user alice");
        let place = Place { grpc: signet.grpc, issuer: format!("http://{}", signet.http) };
        let world = Self { signet, place, watcher: account(&watcher), caller: account(&caller), alice };
        // Another process has changed all that: Signet hears of it within a second.
        let names_her_role = async || {
            let token = world.log_in(&["stock"]).await.ok()?;
            claims(&token)["roles"].is_array().then_some(())
        };
        eventually("her tokens name her role", names_her_role).await;
        world
    }

    /// Runs the command `line` of `signet`.
    pub(super) fn operate(&self, line: &str) -> Value {
        block_in_place(|| self.signet.operate(&line.split(' ').collect::<Vec<_>>()))
    }

    /// A token of alice's for the service, of a new session.
    pub(super) async fn token(&self) -> String {
        self.token_for(&["stock"]).await
    }

    /// A token of alice's for `audiences`, of a new session.
    pub(super) async fn token_for(&self, audiences: &[&str]) -> String {
        self.log_in(audiences).await.unwrap()
    }

    /// A token of alice's for the service, from another replica.
    pub(super) async fn token_of(&self, replica: &Signet) -> String {
        log_in(replica.grpc, &["stock"]).await.unwrap()
    }

    async fn log_in(&self, audiences: &[&str]) -> Result<String, Status> {
        log_in(self.place.grpc, audiences).await
    }

    /// Ends all sessions of alice's.
    pub(super) fn log_alice_out(&self) {
        self.operate("users end-sessions alice --yes");
    }

    /// The service in `language`, which follows what was revoked and is ready.
    pub(super) async fn following(&self, language: Language, settings: &[(&str, &str)]) -> Stock {
        let stock = language.service(&self.place, Some(&self.watcher), settings).await;
        stock.serves().await;
        stock
    }

    /// The service in `language`, which goes by the tokens alone and is ready.
    pub(super) async fn service(&self, language: Language, settings: &[(&str, &str)]) -> Stock {
        let stock = language.service(&self.place, None, settings).await;
        stock.serves().await;
        stock
    }
}

/// A token of alice's for `audiences`, from the replica at `grpc`.
async fn log_in(grpc: SocketAddr, audiences: &[&str]) -> Result<String, Status> {
    let grant = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
    let request = IssueTokenRequest {
        grant: Some(Grant::Password(grant)),
        audiences: audiences.iter().map(|name| (*name).to_owned()).collect(),
        ..IssueTokenRequest::default()
    };
    let mut client = IdentityServiceClient::connect(format!("http://{grpc}")).await.unwrap();
    Ok(client.issue_token(request).await?.into_inner().access_token)
}

/// What `token` says.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("it is a JWT");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn account(created: &Value) -> Account {
    let text = |key: &str| created[key].as_str().unwrap_or_else(|| panic!("{key}: {created}")).to_owned();
    Account { id: text("id"), secret: text("secret") }
}
