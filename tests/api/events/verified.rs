//! Owns that a service which verifies by itself refuses what was revoked: within a second, while its stream is up.

use std::time::Duration;

use signet::{identity::Administrator, model::Principal};

use super::{
    Mesh, sid,
    verifier::{Refusal, Verifier},
};
use crate::{
    clients::{Wanted, claims},
    harness::{TestServer, eventually},
    key_revocation::elsewhere,
    operator::{applied, by_operator},
};

/// What a replica of the tests is started with: it reads the feed ten times a second.
const REPLICA: [&str; 1] = ["--standing-cache-max-age=200ms"];

/// Runs `doing` while `verifier` serves those who call, and follows the streams of `servers`, one after the other.
async fn while_served(mesh: &Mesh, verifier: &Verifier, servers: &[&TestServer], doing: impl Future) {
    let token = mesh.watch_token(&mesh.stock).await;
    let db = mesh.service.server.data.connect().await;
    let serving = async {
        tokio::join!(verifier.follow(servers, &token), verifier.serve(&db));
    };
    let doing = async {
        verifier.is_up().await;
        doing.await;
    };
    tokio::select! {
        () = serving => unreachable!("it serves without end"),
        () = doing => {}
    }
}

impl Mesh {
    /// Gives alice the right to write at both audiences, and returns a token of hers for `audiences` that has it.
    async fn writing(&self, audiences: &[&str]) -> String {
        let log_in = async || self.log_in_to("alice", "stock.write stock.read", audiences).await;
        let has_it = |token: &str| claims(token)["scope"].as_str().unwrap().contains("stock.write");
        eventually("the server has heard of the roles", async || has_it(&log_in().await)).await;
        log_in().await
    }
}

#[tokio::test]
async fn what_was_revoked_at_one_replica_is_refused_within_a_second_by_who_follows_another() {
    let mesh = Mesh::start().await;
    let other = mesh.service.server.replica(&REPLICA).await;
    let (clock, store) = (&mesh.service.server.clock, &mesh.service.store);
    let verifier = Verifier::new("stock", clock);
    let alice = Principal::User(mesh.alice().await);
    let at_stock = mesh.operator.role("stock", "writer", "stock.write").await;
    mesh.operator.bind(at_stock, alice).await;
    let at_orders = mesh.operator.role("orders", "writer", "stock.write").await;
    mesh.operator.bind(at_orders, alice).await;
    let bob = mesh.user("bob").await;
    let wanted = Wanted { audiences: "stock", ..Wanted::confidential("stock.read") };
    let machine = mesh.service.register_alone("machine", wanted).await;
    let revoking = async {
        let call = async |token: String| verifier.begin_to_call(&token).await;
        let (writing, both) = (mesh.writing(&["stock"]).await, mesh.writing(&["stock", "orders"]).await);
        assert!(claims(&both)["aud"].is_array(), "{}", claims(&both)["aud"]);
        let session = mesh.session_token("alice").await;
        let [writing, both, ended] = [call(writing).await, call(both).await, call(session.clone()).await];
        let goes_on = call(mesh.session_token("alice").await).await;
        let of_bob = call(mesh.session_token("bob").await).await;
        let of_machine = call(mesh.own_token(&machine, "stock.read", "stock").await).await;

        mesh.end("alice", &sid(&session)).await;
        verifier.is_refused_in_time(ended, verifier.time()).await;
        verifier.is_accepted(writing).await;
        mesh.operator.unbind(at_stock, alice).await;
        let answered = verifier.time();
        verifier.is_refused_in_time(writing, answered).await;
        verifier.is_refused_in_time(both, answered).await;
        applied(store.set_active(bob, false, by_operator(clock.now())).await.unwrap());
        verifier.is_refused_in_time(of_bob, verifier.time()).await;
        mesh.service.delete(&machine).await;
        verifier.is_refused_in_time(of_machine, verifier.time()).await;
        verifier.is_accepted(goes_on).await;
        mesh.set_active(mesh.app.client_id(), false).await;
        verifier.is_refused_in_time(goes_on, verifier.time()).await;
    };
    Box::pin(while_served(&mesh, &verifier, &[&other], revoking)).await;
}

#[tokio::test]
async fn what_is_revoked_while_its_replica_is_replaced_is_refused_within_a_second_of_going_on() {
    let mesh = Mesh::start().await;
    let (first, next) =
        (mesh.service.server.replica(&REPLICA).await, mesh.service.server.replica(&REPLICA).await);
    let verifier = Verifier::new("stock", &mesh.service.server.clock);
    let alice = Principal::User(mesh.alice().await);
    let writer = mesh.operator.role("stock", "writer", "stock.write").await;
    mesh.operator.bind(writer, alice).await;
    let revoking = async {
        let (mut sessions, mut calls) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let token = mesh.session_token("alice").await;
            calls.push(verifier.begin_to_call(&token).await);
            sessions.push(sid(&token));
        }
        let writing = verifier.begin_to_call(&mesh.writing(&["stock"]).await).await;
        let goes_on = verifier.begin_to_call(&mesh.session_token("alice").await).await;
        mesh.end("alice", &sessions[0]).await;
        verifier.is_refused_in_time(calls[0], verifier.time()).await;

        first.begin_stop();
        mesh.end("alice", &sessions[1]).await;
        let answered = verifier.time();
        mesh.operator.unbind(writer, alice).await;
        let resumed = [("start", "resumed")];
        eventually("it goes on at the other", async || {
            next.scrape().await.sum("signet_event_streams_total", &resumed) > 0.0
        })
        .await;
        verifier.is_up().await;
        verifier.is_refused_in_time(calls[1], answered).await;
        verifier.is_refused_in_time(writing, answered).await;

        mesh.end("alice", &sessions[2]).await;
        verifier.is_refused_in_time(calls[2], verifier.time()).await;
        verifier.is_accepted(goes_on).await;
    };
    Box::pin(while_served(&mesh, &verifier, &[&first, &next], revoking)).await;
}

#[tokio::test]
async fn the_service_verifies_by_the_keys_that_are_published_and_fetches_them_when_they_change() {
    let mesh = Mesh::start().await;
    let server = &mesh.service.server;
    let verifier = Verifier::new("stock", &server.clock);
    let verifying = async {
        let token = mesh.session_token("alice").await;
        assert_eq!(verifier.verify(&token), Ok(()));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{signed}.{other}{}", &signature[1..]);
        assert_eq!(verifier.verify(&forged), Err(Refusal::Invalid));
        let at_orders = mesh.log_in("alice", "stock.read", "orders").await;
        assert_eq!(verifier.verify(&at_orders), Err(Refusal::Invalid), "of another audience");

        // The key is compromised: another signs at once.
        let kid = crate::keys::kid(&token);
        elsewhere(server).await.revoke(&kid, &Administrator::operator()).await.unwrap().unwrap();
        eventually("its tokens are refused", async || verifier.verify(&token) == Err(Refusal::Invalid)).await;
        eventually("those of the next are accepted", async || {
            verifier.verify(&mesh.session_token("alice").await).is_ok()
        })
        .await;
        let last = mesh.session_token("alice").await;
        server.clock.advance(Duration::from_mins(15));
        assert_eq!(verifier.verify(&last), Err(Refusal::Expired));
    };
    Box::pin(while_served(&mesh, &verifier, &[server], verifying)).await;
}
