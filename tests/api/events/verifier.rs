//! Owns a small service that verifies tokens by itself and follows the stream: that it refuses what was revoked.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use signet::{
    model::Principal,
    proto::identity::events::v1::{Changes, TakenScopes, WatchRequest, watch_response::Part},
};

use super::{Mesh, Watcher, sid};
use crate::{
    clients::claims,
    harness::{TestServer, eventually},
};

/// What the service knows of what was revoked, by the rules of event_service.proto.
#[derive(Default)]
struct Revoked {
    sessions: HashSet<String>,
    users: HashMap<String, i64>,
    clients: HashMap<String, i64>,
    scopes: Vec<TakenScopes>,
    not_before: i64,
}

/// The service.
#[derive(Clone, Default)]
struct Verifier(Arc<Mutex<Revoked>>);

fn seconds(time: Option<prost_types::Timestamp>) -> i64 {
    time.unwrap().seconds
}

impl Revoked {
    fn note(&mut self, changes: Changes) {
        self.sessions.extend(changes.ended_sessions);
        for ended in changes.ended_user_sessions {
            self.users.insert(ended.subject, seconds(ended.time));
        }
        for ended in changes.ended_clients {
            self.clients.insert(ended.client_id, seconds(ended.time));
        }
        self.scopes.extend(changes.taken_scopes);
    }

    fn has(&self, token: &Value) -> bool {
        let text = |claim: &str| token[claim].as_str().unwrap_or_default();
        let iat = token["iat"].as_i64().unwrap();
        let until = |times: &HashMap<String, i64>, id| times.get(id).is_some_and(|time| iat <= *time);
        let taken = self.scopes.iter().any(|taken| {
            (taken.subject.is_empty() || taken.subject == text("sub"))
                && (taken.client_id.is_empty() || taken.client_id == text("client_id"))
                && (token["aud"] == taken.audience.as_str())
                && text("scope").split(' ').any(|scope| taken.scopes.iter().any(|gone| gone == scope))
                && iat <= seconds(taken.time)
        });
        self.sessions.contains(text("sid"))
            || until(&self.users, text("sub"))
            || until(&self.clients, text("client_id"))
            || taken
            || iat < self.not_before
    }
}

impl Verifier {
    /// Follows the stream of `server` until that ends for good.
    async fn follow(self, server: &TestServer, token: String) {
        let mut watcher = Watcher::begin(server, &token, WatchRequest::default()).await.unwrap();
        while let Ok(Some(part)) = watcher.part().await {
            let mut revoked = self.0.lock().unwrap();
            match part {
                Part::Snapshot(snapshot) => {
                    revoked.note(snapshot.changes.unwrap_or_default());
                    if let Some(time) = snapshot.tokens_not_before {
                        revoked.not_before = time.seconds;
                    }
                }
                Part::Changes(changes) => revoked.note(changes),
                Part::Heartbeat(_) | Part::Resync(_) => {}
            }
        }
    }

    /// Whether it takes `token`, whose signature is good.
    fn takes(&self, token: &str) -> bool {
        !self.0.lock().unwrap().has(&claims(token))
    }
}

#[tokio::test]
async fn what_was_revoked_at_one_replica_is_refused_within_a_moment_by_who_follows_another() {
    let mesh = Mesh::start().await;
    let other = mesh.service.server.replica(&["--standing-cache-max-age=200ms"]).await;
    let (verifier, token) = (Verifier::default(), mesh.watch_token(&mesh.stock).await);
    let alice = mesh.alice().await;
    let writer = mesh.operator.role("stock", "writer", "stock.write").await;
    mesh.operator.bind(writer, Principal::User(alice)).await;
    let following = verifier.clone().follow(&other, token);
    let revoking = async {
        // Until the replica knows of the role.
        let writing = loop {
            let token = mesh.log_in("alice", "stock.write stock.read", "stock").await;
            if claims(&token)["scope"].as_str().unwrap().contains("stock.write") {
                break token;
            }
        };
        let ended = mesh.log_in("alice", "stock.read", "stock").await;
        let goes_on = mesh.log_in("alice", "stock.read", "stock").await;
        assert!([&writing, &ended, &goes_on].iter().all(|token| verifier.takes(token)));
        let begun = Instant::now();
        mesh.end("alice", &sid(&ended)).await;
        eventually("the session's token is refused", async || !verifier.takes(&ended)).await;
        let took = begun.elapsed();
        mesh.operator.unbind(writer, Principal::User(alice)).await;
        eventually("the scope's token is refused", async || !verifier.takes(&writing)).await;
        assert!(verifier.takes(&goes_on), "nobody else's");
        mesh.set_active(mesh.app.client_id(), false).await;
        eventually("the client's tokens are refused", async || !verifier.takes(&goes_on)).await;
        // Of a machine that is busy with other tests; the bench measures it.
        assert!(took < Duration::from_secs(20), "{took:?}");
    };
    tokio::select! {
        () = following => panic!("the stream has ended"),
        () = revoking => {}
    }
}
