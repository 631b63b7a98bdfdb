//! Owns how the model's values look on the wire.

use prost_types::Timestamp as WireTimestamp;
use serde_json::Value;

use crate::{
    base::Timestamp,
    jose::Jwk,
    model::{NamedAttributes, Session, SessionId, SessionLifetime, User},
    proto::identity::v1 as wire,
    wire::attributes,
};

/// A user, of whose attributes these are shown.
pub(super) fn user(user: &User, shown: NamedAttributes) -> wire::User {
    wire::User {
        id: user.id.to_string(),
        username: user.username.typed().to_owned(),
        email: user.email.as_ref().map(|email| email.as_str().to_owned()),
        display_name: user.display_name.as_ref().map(|name| name.as_str().to_owned()),
        is_active: user.is_active,
        create_time: Some(time(user.create_time)),
        update_time: Some(time(user.update_time)),
        attributes: self::attributes(shown),
    }
}

pub(super) fn session(session: &Session, current: SessionId, lifetime: SessionLifetime) -> wire::Session {
    wire::Session {
        id: session.id.to_string(),
        is_current: session.id == current,
        create_time: Some(time(session.create_time)),
        last_use_time: Some(time(session.last_use_time)),
        expire_time: Some(time(session.expire_time(lifetime))),
        client_id: session.client_id.clone(),
        user_agent: session.origin.user_agent.clone(),
        address: session.origin.address.clone(),
    }
}

/// A public key; none if it is of a kind that is not published.
pub(super) fn json_web_key(jwk: &Jwk) -> Option<wire::JsonWebKey> {
    // The names that the key has in JSON are those of the message: one place decides what a published key is.
    let value = serde_json::to_value(jwk).ok()?;
    let member = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(wire::JsonWebKey {
        kty: member("kty").filter(|kty| kty != "oct")?,
        r#use: member("use")?,
        alg: member("alg")?,
        kid: member("kid")?,
        crv: member("crv"),
        x: member("x"),
        y: member("y"),
        n: member("n"),
        e: member("e"),
    })
}

pub(super) fn time(time: Timestamp) -> WireTimestamp {
    WireTimestamp { seconds: time.as_secs(), nanos: time.subsec_nanos() }
}
