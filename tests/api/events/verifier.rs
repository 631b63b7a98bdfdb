//! Owns a small service that verifies tokens by itself: by the published keys, and by what the stream tells of those that were revoked.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::Value;
use signet::{
    base::Clock,
    proto::identity::events::v1::{Changes, TakenScopes, WatchRequest, watch_response::Part},
};
use tokio::time::sleep;

use super::Watcher;
use crate::harness::{TestServer, eventually};

/// Who issues the tokens.
const ISSUER: &str = "http://127.0.0.1:8080";

/// Until when a token that was revoked may be accepted, while the stream is up.
const BOUND: Duration = Duration::from_secs(1);

/// How long the service rests between two rounds of calls.
const PAUSE: Duration = Duration::from_millis(3);

/// By how much one round counts at most, however long it took. See [`Verifier::time`].
const ROUND: Duration = Duration::from_millis(25);

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not a good token of this issuer for this audience.
    Invalid,
    Expired,
    Revoked,
}

/// What the service knows of what was revoked, by the rules of `event_service.proto`.
#[derive(Default)]
struct Revoked {
    sessions: HashSet<String>,
    users: HashMap<String, i64>,
    clients: HashMap<String, i64>,
    scopes: Vec<TakenScopes>,
    not_before: Option<prost_types::Timestamp>,
}

/// One who calls without end with a token.
#[derive(Debug)]
struct Caller {
    token: String,
    /// How many calls were accepted, and when the last was.
    accepted: usize,
    accepted_at: Duration,
    refused: Option<Refusal>,
}

#[derive(Default)]
struct State {
    keys: Option<JwkSet>,
    revoked: Revoked,
    callers: Vec<Caller>,
    time: Duration,
    /// Since when its stream is up.
    up_since: Option<Duration>,
}

/// The service.
pub(super) struct Verifier {
    audience: &'static str,
    clock: Clock,
    state: Mutex<State>,
}

fn seconds(time: Option<prost_types::Timestamp>) -> i64 {
    time.unwrap().seconds
}

/// `aud` is a text, or a list of them.
fn has_audience(token: &Value, audience: &str) -> bool {
    match &token["aud"] {
        Value::Array(list) => list.iter().any(|one| one == audience),
        one => one == audience,
    }
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
        let has_lost = self.scopes.iter().any(|lost| {
            (lost.subject.is_empty() || lost.subject == text("sub"))
                && (lost.client_id.is_empty() || lost.client_id == text("client_id"))
                && has_audience(token, &lost.audience)
                && text("scope").split(' ').any(|scope| lost.scopes.iter().any(|gone| gone == scope))
                && iat <= seconds(lost.time)
        });
        self.sessions.contains(text("sid"))
            || until(&self.users, text("sub"))
            || until(&self.clients, text("client_id"))
            || has_lost
            || self.not_before.is_some_and(|time| (iat, 0) < (time.seconds, time.nanos))
    }
}

impl Verifier {
    /// The service `audience`, which goes by the clock of the tests.
    pub(super) fn new(audience: &'static str, clock: &Clock) -> Self {
        Self { audience, clock: clock.clone(), state: Mutex::default() }
    }

    /// Follows the stream of the first of `servers`; and once that ends, goes on at the next.
    pub(super) async fn follow(&self, servers: &[&TestServer], token: &str) {
        let mut resume_token = Vec::new();
        for server in servers {
            self.fetch_keys(server).await;
            let request = WatchRequest { resume_token, ..WatchRequest::default() };
            let mut watcher = Watcher::begin(server, token, request).await.unwrap();
            while let Ok(Some(part)) = watcher.part().await {
                if self.note(part) {
                    self.fetch_keys(server).await;
                }
            }
            self.state().up_since = None;
            resume_token = watcher.token;
        }
    }

    /// Notes what the stream tells. Returns whether the keys are to be fetched anew.
    fn note(&self, part: Part) -> bool {
        let mut state = self.state();
        let time = state.time;
        match part {
            Part::Snapshot(snapshot) => {
                state.revoked.note(snapshot.changes.unwrap_or_default());
                state.revoked.not_before = snapshot.tokens_not_before.or(state.revoked.not_before);
                if snapshot.is_last {
                    state.up_since.get_or_insert(time);
                }
                false
            }
            Part::Changes(changes) => {
                state.up_since.get_or_insert(time);
                let are_changed = changes.keys_changed;
                state.revoked.note(changes);
                are_changed
            }
            Part::Heartbeat(_) => {
                state.up_since.get_or_insert(time);
                false
            }
            Part::Resync(_) => true,
        }
    }

    async fn fetch_keys(&self, server: &TestServer) {
        let answer = server.http_get("/.well-known/jwks.json").await;
        self.state().keys = Some(serde_json::from_str(answer.body()).unwrap());
    }

    /// Whether it accepts a call with `token`; why not.
    pub(super) fn verify(&self, token: &str) -> Result<(), Refusal> {
        self.verify_by(&self.state(), token)
    }

    fn verify_by(&self, state: &State, token: &str) -> Result<(), Refusal> {
        let kid = decode_header(token).ok().and_then(|header| header.kid).ok_or(Refusal::Invalid)?;
        let key = state.keys.as_ref().and_then(|keys| keys.find(&kid)).ok_or(Refusal::Invalid)?;
        // The key says by which algorithm, not the token.
        let algorithm: Algorithm = key.common.key_algorithm.unwrap().try_into().unwrap();
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&[self.audience]);
        rules.set_issuer(&[ISSUER]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        // A hand turns the clock.
        rules.validate_exp = false;
        let claims = decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &rules);
        let claims = claims.map_err(|_| Refusal::Invalid)?.claims;
        if claims["exp"].as_i64().is_none_or(|expires| expires <= self.clock.now().as_secs()) {
            return Err(Refusal::Expired);
        }
        if state.revoked.has(&claims) { Err(Refusal::Revoked) } else { Ok(()) }
    }

    /// Serves those who call, round after round, without end; between two rounds it reads the database as anybody does.
    pub(super) async fn serve(&self, db: &DatabaseConnection) {
        let machine = Clock::system();
        let mut ended = machine.monotonic();
        loop {
            self.serve_each();
            sleep(PAUSE).await;
            db.execute_unprepared("SELECT MAX(id) FROM changes").await.unwrap();
            let now = machine.monotonic();
            self.state().time += now.saturating_sub(ended).min(ROUND);
            ended = now;
        }
    }

    fn serve_each(&self) {
        let mut state = self.state();
        let mut callers = std::mem::take(&mut state.callers);
        for caller in &mut callers {
            match self.verify_by(&state, &caller.token) {
                Ok(()) => {
                    assert_eq!(caller.refused, None, "it was refused before");
                    caller.accepted += 1;
                    caller.accepted_at = state.time;
                }
                Err(refusal) => caller.refused = caller.refused.or(Some(refusal)),
            }
        }
        state.callers = callers;
    }

    /// The time that has passed since it began to serve, as far as this machine had time for it: a round, which is some milliseconds where
    /// nobody else wants the machine, counts for [`ROUND`] at most. So a machine that is slow with everything is given what it is slow
    /// by, and one that waits for something, such as the next reading of a feed, is given nothing.
    pub(super) fn time(&self) -> Duration {
        self.state().time
    }

    /// Has somebody call without end with `token`, once that is accepted.
    pub(super) async fn begin_to_call(&self, token: &str) -> usize {
        let (token, accepted_at) = (token.to_owned(), self.time());
        let caller = Caller { token, accepted: 0, accepted_at, refused: None };
        let number = {
            let callers = &mut self.state().callers;
            callers.push(caller);
            callers.len() - 1
        };
        self.is_accepted(number).await;
        number
    }

    /// Waits until calls of the caller `number` have been accepted once more.
    pub(super) async fn is_accepted(&self, number: usize) {
        let accepted = || self.state().callers[number].accepted;
        let before = accepted();
        eventually("the call is accepted", async || accepted() > before).await;
        assert_eq!(self.state().callers[number].refused, None);
    }

    /// Asserts that no call of the caller `number` is accepted later than a second after its token was revoked, which was answered at the
    /// time `answered`; if the stream was down then, after it has come up again.
    pub(super) async fn is_refused_in_time(&self, number: usize, answered: Duration) {
        eventually("the call is refused", async || self.state().callers[number].refused.is_some()).await;
        let state = self.state();
        let caller = &state.callers[number];
        assert_eq!(caller.refused, Some(Refusal::Revoked));
        let until = answered.max(state.up_since.expect("the stream is up")) + BOUND;
        assert!(caller.accepted_at <= until, "until {:?}, which is later than {until:?}", caller.accepted_at);
    }

    /// Waits until its stream is up.
    pub(super) async fn is_up(&self) {
        eventually("the stream is up", async || self.state().up_since.is_some()).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
