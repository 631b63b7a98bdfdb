//! Owns that no token but a genuine one is ever believed.

mod claims;
mod form;
mod jwt;
mod keys;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use signet::{
    identity::MasterKey,
    model::{KeyId, SigningAlg},
};
use tonic::Code;
use zeroize::Zeroizing;

use crate::harness::{Client, TestServer, assert_refused};

/// A server, a genuine token of its, and the key that signed it: what no attacker has, so that a test can say a falsehood
/// with a genuine signature.
struct Target {
    server: TestServer,
    client: Client,
    genuine: String,
    alg: SigningAlg,
    kid: KeyId,
    private_key: Zeroizing<Vec<u8>>,
}

impl Target {
    async fn new(alg: SigningAlg) -> Self {
        Self::start(alg, &[]).await
    }

    /// The same, of a server that is started with `args`, too.
    async fn start(alg: SigningAlg, args: &[&str]) -> Self {
        let alg_arg = format!("--signing-alg={alg}");
        let server = TestServer::start(&[&[alg_arg.as_str()], args].concat()).await;
        let mut client = server.client().await;
        let genuine = client.token_of_new("alice").await;
        let hex = std::fs::read_to_string(server.data.path().join("master.key")).unwrap();
        let stored = server.store().await.signing_keys().await.unwrap().pop().unwrap();
        let (kid, context) = (stored.kid.clone(), format!("signet signing key v1 {alg} {}", stored.kid));
        let private_key =
            MasterKey::from_hex(&hex).unwrap().open(&stored.sealed_private_key, &context).unwrap();
        Self { server, client, genuine, alg, kid, private_key }
    }

    /// The header of a genuine token.
    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": self.alg.name(), "kid": self.kid.0 })
    }

    /// The claims of the genuine token.
    fn claims(&self) -> Value {
        let payload = self.genuine.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    /// The claims of the genuine token, with `member` set to `value`.
    fn claims_with(&self, member: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[member] = value;
        claims
    }

    /// The header of a genuine token, with `member` set to `value`.
    fn header_with(&self, member: &str, value: Value) -> Value {
        let mut header = self.header();
        header[member] = value;
        header
    }

    fn now(&self) -> i64 {
        self.server.clock.now().as_secs()
    }

    fn key(&self) -> EncodingKey {
        encoding_key(self.alg, &self.private_key)
    }

    /// A token with the server's own signature.
    fn signed(&self, header: &Value, claims: &Value) -> String {
        self.signed_text(header.to_string(), claims.to_string())
    }

    /// As [`Self::signed`], of bytes that need not be what they should be.
    fn signed_text(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        sign(header, payload, &self.key(), algorithm(self.alg))
    }

    async fn accepts(&self, token: &str) {
        let user =
            self.client.clone().get_me(token).await.unwrap_or_else(|status| panic!("{status:?}: {token}"));
        assert_eq!(user.username, "alice");
    }

    async fn refuses(&self, token: &str) {
        self.refuses_as("TOKEN_INVALID", token).await;
    }

    async fn refuses_as(&self, reason: &str, token: &str) {
        let answer = self.client.clone().get_me(token).await;
        assert!(answer.is_err(), "accepted: {token}");
        assert_refused(answer, Code::Unauthenticated, reason);
    }

    /// What was tried has harmed nobody: the genuine token is still believed, on this connection and on a new one.
    async fn still_serves(mut self) {
        self.accepts(&self.genuine).await;
        self.client = self.server.client().await;
        self.accepts(&self.genuine).await;
    }
}

fn encoding_key(alg: SigningAlg, bytes: &[u8]) -> EncodingKey {
    match alg {
        SigningAlg::Es256 => EncodingKey::from_ec_der(bytes),
        SigningAlg::EdDsa => EncodingKey::from_ed_der(bytes),
        SigningAlg::Rs256 => EncodingKey::from_rsa_der(bytes),
        SigningAlg::Hs256 => EncodingKey::from_secret(bytes),
    }
}

fn algorithm(alg: SigningAlg) -> Algorithm {
    alg.name().parse().unwrap()
}

fn unsigned(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

fn sign(
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
    key: &EncodingKey,
    algorithm: Algorithm,
) -> String {
    let message = unsigned(header, payload);
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}
