//! Owns the issuer of tests: in the process, without a network, with a clock that a hand turns.
//!
//! ```
//! use std::time::Duration;
//! use signet_sdk::testing::{TestIssuer, Token};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let issuer = TestIssuer::new();
//! let verifier = issuer.verifier("stock");
//! let alice = Token::user().audiences(["stock"]).scopes(["stock:write"]);
//! let token = issuer.sign(&alice);
//! let caller = verifier.authenticator().recognise(&token, "stock").await.unwrap();
//! assert_eq!(caller.id(), alice.subject());
//!
//! issuer.revoke_session(&alice);
//! assert!(verifier.authenticator().recognise(&token, "stock").await.is_err());
//! # }
//! ```

mod token;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prost_types::Timestamp;
use serde_json::json;
use signet::{
    auth::{VerifyingKey, published_keys},
    base::Timestamp as Moment,
    proto::identity::events::v1::{
        Changes, EndedClient, EndedUserSessions, Heartbeat, Snapshot, TakenScopes, WatchResponse,
        watch_response::Part,
    },
};

pub use token::Token;

use crate::{
    revocations::Revocations,
    signing_key::SigningKey,
    standing::GivenKeys,
    time::{ManualClock, Random, Time},
    verifier::{Verifier, VerifierBuilder},
};

/// Who issues, unless the test says otherwise: a name that nobody can have (RFC 6761 section 6.4).
pub const ISSUER: &str = "https://issuer.invalid";

/// When the clock stands at first: 2027-01-15T08:00:00Z.
const START_SECONDS: i64 = 1_800_000_000;

/// How far the clock is turned before its verifiers hear that nothing has changed.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Issues tokens as Signet does, and tells its verifiers what was revoked. Every one has a key of its own.
#[derive(Debug)]
pub struct TestIssuer {
    issuer: String,
    signing: Mutex<(SigningKey, String)>,
    keys: GivenKeys,
    published: Mutex<Vec<Arc<VerifyingKey>>>,
    time: Time,
    clock: ManualClock,
    told: Mutex<Vec<Revocations>>,
}

impl Default for TestIssuer {
    fn default() -> Self {
        Self::new()
    }
}

impl TestIssuer {
    /// An issuer named [`ISSUER`].
    #[must_use]
    pub fn new() -> Self {
        Self::named(ISSUER)
    }

    /// An issuer of this name (`iss`).
    #[must_use]
    pub fn named(issuer: impl Into<String>) -> Self {
        let (time, clock) = Time::manual(Moment::from_micros(START_SECONDS * 1_000_000));
        let issuer = Self {
            issuer: issuer.into(),
            signing: Mutex::new((SigningKey::generate(), "test-0".to_owned())),
            keys: GivenKeys::default(),
            published: Mutex::default(),
            time,
            clock,
            told: Mutex::default(),
        };
        issuer.publish();
        issuer
    }

    /// What `token` says, as a signed access token that is issued now.
    ///
    /// # Panics
    /// Never: a key of this process signs.
    #[must_use]
    pub fn sign(&self, token: &Token) -> String {
        let signing = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, kid) = &*signing;
        let claims = token.payload(&self.issuer, self.time.now().as_secs());
        key.sign(token.typ(), Some(kid), &claims).expect("a key of this process signs")
    }

    /// Whose tokens they are (`iss`).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key that it signs with now, a point of P-256 in base64url: for what verifies its tokens otherwise.
    #[must_use]
    pub fn public_point(&self) -> (String, String) {
        let signing = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        let jwk = signing.0.public_jwk(&signing.1).unwrap_or_default();
        let text = |member: &str| jwk[member].as_str().unwrap_or_default().to_owned();
        (text("x"), text("y"))
    }

    /// The time that its verifiers go by.
    #[must_use]
    pub const fn time(&self) -> &Time {
        &self.time
    }

    /// Turns the clock on by `span`. Its verifiers go on hearing from it meanwhile.
    pub fn advance(&self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = left.min(HEARTBEAT);
            self.clock.advance(step);
            self.tell(&Part::Heartbeat(Heartbeat {}));
            left -= step;
        }
    }

    /// Turns the clock on by `span`, while nothing is heard from it.
    pub fn advance_in_silence(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Signs with another key from now on. What the one before has signed verifies on.
    pub fn rotate(&self) {
        {
            let mut signing = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
            let number = self.published.lock().unwrap_or_else(PoisonError::into_inner).len();
            *signing = (SigningKey::generate(), format!("test-{number}"));
        }
        self.publish();
    }

    fn publish(&self) {
        let signing = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, kid) = &*signing;
        let document = json!({ "keys": [key.public_jwk(kid)] }).to_string();
        let read = published_keys(document.as_bytes()).expect("it is a JWK Set");
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.extend(read);
        self.keys.replace(published.iter().cloned());
    }

    /// A verifier of its tokens for `audience`, which is told what it revokes.
    ///
    /// # Panics
    /// If `audience` is no name.
    #[must_use]
    pub fn verifier(&self, audience: &str) -> Verifier {
        self.verifier_with(audience, |builder| builder)
    }

    /// The same, with other settings.
    ///
    /// # Panics
    /// If a setting breaks its rule.
    #[must_use]
    pub fn verifier_with(
        &self,
        audience: &str,
        set: impl FnOnce(VerifierBuilder) -> VerifierBuilder,
    ) -> Verifier {
        let builder = Verifier::builder(&self.issuer, audience).time(self.time.clone(), Random::of(|| 0.5));
        let verifier = set(builder).with_keys(self.keys.clone(), true).expect("settings of a test");
        if let Some(revocations) = verifier.revocations() {
            let snapshot = Snapshot { is_last: true, ..Snapshot::default() };
            revocations.hear(message(Part::Snapshot(snapshot)));
            self.told.lock().unwrap_or_else(PoisonError::into_inner).push(revocations.clone());
        }
        verifier
    }

    /// Ends the session of the user for whom `token` stands, as a logout does.
    pub fn revoke_session(&self, token: &Token) {
        let ended_sessions = token.session().map(str::to_owned).into_iter().collect();
        self.change(Changes { ended_sessions, ..Changes::default() });
    }

    /// Ends all sessions of the user for whom `token` stands, up to now.
    pub fn revoke_user(&self, token: &Token) {
        let user = EndedUserSessions { subject: token.subject().to_owned(), time: Some(self.now()) };
        self.change(Changes { ended_user_sessions: vec![user], ..Changes::default() });
    }

    /// Disables the client with this id: its own tokens and its users', up to now.
    pub fn revoke_client(&self, client_id: &str) {
        let client = EndedClient { client_id: client_id.to_owned(), time: Some(self.now()) };
        self.change(Changes { ended_clients: vec![client], ..Changes::default() });
    }

    /// Takes `scopes` at `audience` from whom `token` stands for.
    pub fn take_scopes<S: Into<String>>(
        &self,
        token: &Token,
        audience: &str,
        scopes: impl IntoIterator<Item = S>,
    ) {
        let lost = TakenScopes {
            subject: token.subject().to_owned(),
            audience: audience.to_owned(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            time: Some(self.now()),
            client_id: String::new(),
        };
        self.change(Changes { taken_scopes: vec![lost], ..Changes::default() });
    }

    fn change(&self, changes: Changes) {
        self.tell(&Part::Changes(changes));
    }

    fn tell(&self, part: &Part) {
        for revocations in self.told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            revocations.hear(message(part.clone()));
        }
    }

    fn now(&self) -> Timestamp {
        let now = self.time.now();
        Timestamp { seconds: now.as_secs(), nanos: now.subsec_nanos() }
    }
}

fn message(part: Part) -> WatchResponse {
    WatchResponse { resume_token: Vec::new(), part: Some(part) }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;
    use signet::auth::Error;

    use super::*;

    proptest! {
        #[test]
        fn a_token_in_which_one_letter_is_another_lets_nobody_in(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_=.-]") {
            static ISSUER: std::sync::LazyLock<(TestIssuer, Verifier, String)> = std::sync::LazyLock::new(|| {
                let issuer = TestIssuer::new();
                let (verifier, token) = (issuer.verifier("stock"), issuer.sign(&Token::user().audiences(["stock"])));
                (issuer, verifier, token)
            });
            let (_, verifier, token) = &*ISSUER;
            let at = at.index(token.len());
            let mut other = token.clone();
            other.replace_range(at..=at, &with);
            let recognised = recognised(verifier, &other).now_or_never().expect("nothing is waited for");
            prop_assert_eq!(recognised.is_ok(), other == *token);
        }
    }

    type Revoke = fn(&TestIssuer, &Token);

    async fn recognised(verifier: &Verifier, token: &str) -> Result<String, Error> {
        verifier.authenticator().recognise(token, "stock").await.map(|caller| caller.id())
    }

    #[tokio::test]
    async fn its_tokens_stand_until_they_expire_or_are_revoked() {
        let issuer = TestIssuer::new();
        let verifier = issuer.verifier("stock");
        let user = || Token::user().audiences(["stock"]).scopes(["stock:read"]);
        let (ends, stays) = (user(), user());
        let [token, other] = [&ends, &stays].map(|token| issuer.sign(token));
        assert_eq!(recognised(&verifier, &token).await.unwrap(), ends.subject());
        issuer.revoke_session(&ends);
        assert!(matches!(recognised(&verifier, &token).await, Err(Error::TokenRevoked)));
        issuer.rotate();
        recognised(&verifier, &other).await.expect("the key of before verifies on");
        recognised(&verifier, &issuer.sign(&user())).await.expect("so does the new one");
        issuer.advance(Duration::from_secs(904));
        recognised(&verifier, &other).await.expect("within the leeway");
        issuer.advance(Duration::from_secs(1));
        assert!(matches!(recognised(&verifier, &other).await, Err(Error::TokenExpired)));
        issuer.advance_in_silence(Duration::from_secs(31));
        assert!(matches!(recognised(&verifier, &issuer.sign(&user())).await, Err(Error::Unavailable { .. })));
    }

    #[tokio::test]
    async fn as_many_tokens_are_remembered_as_is_set_and_none_of_zero() {
        let issuer = TestIssuer::new();
        let bearer = format!("Bearer {}", issuer.sign(&Token::user().audiences(["stock"])));
        let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, bearer.parse().unwrap())]);
        for (cache_size, is_seen) in [(10, true), (0, false)] {
            let verifier = issuer.verifier_with("stock", |builder| builder.cache_size(cache_size));
            for was_seen in [false, is_seen] {
                let caller = verifier.authenticator().authenticate(&headers).await.unwrap();
                assert_eq!(caller.was_seen(), was_seen, "{cache_size}");
            }
        }
    }

    #[tokio::test]
    async fn all_that_the_stream_tells_can_be_told() {
        let issuer = TestIssuer::named("https://id.example");
        let verifier = issuer.verifier("stock");
        let ways: [Revoke; 3] = [
            |issuer, token| issuer.revoke_user(token),
            |issuer, token| issuer.revoke_client(token.client_id()),
            |issuer, token| issuer.take_scopes(token, "stock", ["stock:read"]),
        ];
        for revoke in ways {
            let alice = Token::user().audiences(["stock"]).scopes(["stock:read"]);
            let token = issuer.sign(&alice);
            recognised(&verifier, &token).await.unwrap();
            revoke(&issuer, &alice);
            assert!(matches!(recognised(&verifier, &token).await, Err(Error::TokenRevoked)));
            issuer.advance(Duration::from_secs(1));
            recognised(&verifier, &issuer.sign(&alice)).await.expect("it was issued later");
        }
        let (client, foreign) = (Token::client(), TestIssuer::named("https://id.example"));
        let client = client.audiences(["stock"]);
        assert_eq!(recognised(&verifier, &issuer.sign(&client)).await.unwrap(), client.client_id());
        assert!(matches!(recognised(&verifier, &foreign.sign(&client)).await, Err(Error::TokenInvalid(_))));
    }
}
