//! Owns what a token of a test says.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::signing_key::unique_id;

/// How long tokens live, unless the test says otherwise: as Signet's own do by default.
const LIFETIME: Duration = Duration::from_mins(15);

/// What an access token says. [`TestIssuer::sign`](super::TestIssuer::sign) makes one of it, as often as a test likes.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Token {
    claims: Map<String, Value>,
    typ: String,
    lifetime: Duration,
}

impl Token {
    /// Of a user whom nobody has met before, in a session of their own, who has logged in by password.
    pub fn user() -> Self {
        let [subject, session, client] = [(); 3].map(|()| unique_id().to_string());
        Self::of(json!({
            "sub": subject, "sid": session, "client_id": client, "aud": [], "scope": "", "amr": ["pwd"],
        }))
    }

    /// Of a client by itself, whom nobody has met before.
    pub fn client() -> Self {
        let id = unique_id().to_string();
        Self::of(json!({ "sub": id, "client_id": id, "aud": [], "scope": "" }))
    }

    fn of(claims: Value) -> Self {
        let Value::Object(claims) = claims else { return Self::of(json!({})) };
        Self { claims, typ: "at+jwt".to_owned(), lifetime: LIFETIME }
    }

    /// For these services (`aud`).
    pub fn audiences<S: Into<String>>(self, audiences: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = audiences.into_iter().map(Into::into).collect();
        let one = <[String; 1]>::try_from(names);
        self.claim("aud", one.map_or_else(|many| json!(many), |[one]| json!(one)))
    }

    /// With these scopes.
    pub fn scopes<S: Into<String>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = scopes.into_iter().map(Into::into).collect();
        self.claim("scope", names.join(" "))
    }

    /// With the claim `roles`, which Signet's tokens have where the client wants it.
    pub fn roles<S: Into<String>>(self, roles: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = roles.into_iter().map(Into::into).collect();
        self.claim("roles", json!(names))
    }

    /// Which expires after this time.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// With another value of a claim; `null` leaves it out.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => self.claims.remove(name),
            value => self.claims.insert(name.to_owned(), value),
        };
        self
    }

    /// With another `typ` in its header.
    pub fn header_typ(self, typ: impl Into<String>) -> Self {
        Self { typ: typ.into(), ..self }
    }

    /// Whom it stands for (`sub`).
    #[must_use]
    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// The client that has asked for it.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.text("client_id").unwrap_or_default()
    }

    /// The session of its user; none if it is a client's own.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.text("sid")
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    pub(super) fn typ(&self) -> &str {
        &self.typ
    }

    /// All claims, of a token that `issuer` issues at `now`, in seconds since the epoch. What a test has said stays.
    pub(super) fn payload(&self, issuer: &str, now: i64) -> Value {
        let mut claims = self.claims.clone();
        let mut set = |name: &str, value: Value| {
            claims.entry(name).or_insert(value);
        };
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        set("iss", issuer.into());
        set("jti", unique_id().to_string().into());
        set("iat", now.into());
        set("exp", now.saturating_add(lifetime).into());
        Value::Object(claims)
    }
}

#[cfg(test)]
impl Token {
    /// Which was issued at this time.
    pub(crate) fn issued(self, seconds: i64) -> Self {
        self.claim("iat", seconds)
    }

    /// As they are read.
    pub(crate) fn claims(&self) -> signet::auth::Claims {
        serde_json::from_value(self.payload(super::ISSUER, 0)).unwrap()
    }
}
