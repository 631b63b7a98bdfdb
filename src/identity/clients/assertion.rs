//! Owns checking a client's assertion: `private_key_jwt`, RFC 7523 section 3 and RFC 8725.

use std::time::Duration;

use aws_lc_rs::digest;
use serde::Deserialize;

use super::keys::ClientKeys;
use crate::{
    base::Timestamp,
    jose::{CompactJws, Malformed},
    model::{Audience, ClientId},
};

/// The longest assertion that is looked at, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// How far ahead `exp` may be, beside the leeway: for so long its `jti` is remembered. Libraries ask for an hour and less.
const MAX_LIFETIME: Duration = Duration::from_hours(1);

/// The longest `jti` in bytes.
const JTI_MAX_BYTES: usize = 255;

/// An assertion, read and not yet believed.
#[derive(Debug)]
pub(super) struct Assertion<'a> {
    jws: CompactJws<'a>,
    claims: AssertionClaims,
    signature: Vec<u8>,
}

/// How far the clock of a client that makes an assertion may be from this one.
#[derive(Clone, Copy, Debug)]
pub struct AssertionLeeway {
    /// How long ago it may have expired.
    pub expired: Duration,
    /// How far ahead the times may lie that it is issued at and valid from. More than `expired`: a clock that is ahead makes nothing last
    /// longer than `exp` lets it.
    pub ahead: Duration,
}

/// The rules for an assertion beside its signature.
#[derive(Debug)]
pub(super) struct AssertionRules<'a> {
    /// The names of this service (`aud`).
    pub(super) audiences: &'a [String],
    /// How far the client's clock may be from this one.
    pub(super) leeway: AssertionLeeway,
    /// When it is checked.
    pub(super) now: Timestamp,
}

/// The record of an assertion, so that it is used once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AssertionUse {
    /// SHA-256 of the client and the `jti`.
    pub(super) hash: [u8; 32],
    /// Until when it must be remembered.
    pub(super) expire_time: Timestamp,
}

#[derive(Debug, Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    jti: String,
}

impl<'a> Assertion<'a> {
    /// Reads `text`.
    ///
    /// # Errors
    /// Why it is none, for the log.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > MAX_BYTES {
            return Err("it is too long");
        }
        let jws = CompactJws::parse(text).map_err(problem)?;
        let (claims, signature) = (jws.payload().map_err(problem)?, jws.signature().map_err(problem)?);
        Ok(Self { jws, claims, signature })
    }

    /// The client that it names: `iss` and `sub` both (RFC 7523 section 3).
    pub(super) fn client_id(&self) -> Option<ClientId> {
        ClientId::parse(&self.claims.sub).filter(|_| self.claims.iss == self.claims.sub)
    }

    /// Checks it with the keys of the client that it names.
    ///
    /// # Errors
    /// Why it is refused, for the log.
    pub(super) fn verify(
        &self,
        keys: &ClientKeys,
        rules: &AssertionRules<'_>,
    ) -> Result<AssertionUse, &'static str> {
        let header = self.jws.header();
        if header.has_critical_extensions() {
            return Err("it has critical header extensions");
        }
        // Where a type is said it must be one of assertions, so that no other JWT of the client passes for one (RFC 8725 3.11).
        let is_assertion = |typ: &str| {
            ["JWT", "client-authentication+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
        };
        if !header.typ.as_deref().is_none_or(is_assertion) {
            return Err("its `typ` is another");
        }
        if !keys.verify(
            header.kid.as_deref(),
            &header.alg,
            self.jws.signing_input().as_bytes(),
            &self.signature,
        ) {
            return Err("no registered key verifies it");
        }
        let AssertionClaims { aud, exp, nbf, iat, jti, .. } = &self.claims;
        // Each audience must be this service: what is meant for others too could be replayed by them.
        if aud.names().is_empty() || !aud.names().iter().all(|name| rules.audiences.contains(name)) {
            return Err("its audience is another");
        }
        let AssertionLeeway { expired, ahead } = rules.leeway;
        let (now, leeway) = (seconds(rules.now), expired.as_secs_f64());
        if now >= exp + leeway {
            return Err("it has expired");
        }
        if *exp > now + MAX_LIFETIME.as_secs_f64() + leeway {
            return Err("its expiry is too far ahead");
        }
        if [nbf, iat].into_iter().flatten().any(|from| now < from - ahead.as_secs_f64()) {
            return Err("it is not valid yet");
        }
        if jti.is_empty() || jti.len() > JTI_MAX_BYTES {
            return Err("its `jti` is empty or too long");
        }
        // Remembered until every replica's clock says that it has expired.
        let left = Duration::from_secs_f64((exp - now).max(0.0));
        let remember = left.saturating_add(expired.saturating_mul(3));
        Ok(AssertionUse { hash: self.use_hash(), expire_time: rules.now.after(remember) })
    }

    fn use_hash(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        // A client's id has one spelling and no space: no two pairs read alike.
        for part in [self.claims.sub.as_bytes(), b" ", self.claims.jti.as_bytes()] {
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// A `NumericDate` may have a fraction (RFC 7519 section 2).
#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are exact to below a microsecond")]
fn seconds(time: Timestamp) -> f64 {
    time.as_micros() as f64 / 1e6
}

const fn problem(malformed: Malformed) -> &'static str {
    match malformed {
        Malformed::NotCompact => "it is not a JWT",
        Malformed::OtherJson => "it lacks what an assertion must say",
    }
}

/// What must hold for any bytes, as an assertion and as its claims: no name comes out of what cannot be read.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    use base64ct::{Base64UrlUnpadded, Encoding};

    let encoded = Base64UrlUnpadded::encode_string(bytes);
    for text in [str::from_utf8(bytes).unwrap_or_default(), &format!("eyJhbGciOiJFUzI1NiJ9.{encoded}.AAAA")] {
        if let Ok(assertion) = Assertion::parse(text) {
            assert!(text.len() <= MAX_BYTES && text.starts_with(assertion.jws.signing_input()));
            let _ = assertion.client_id();
        }
    }
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_reading_panic_and_none_verifies_without_keys(
            header in r#"\{("alg":"[A-Za-z0-9]{0,5}")?\}"#,
            payload in ".{0,60}",
            rest in "[A-Za-z0-9_.-]{0,30}",
        ) {
            let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
            let leeway = AssertionLeeway { expired: Duration::ZERO, ahead: Duration::ZERO };
            for text in [rest.clone(), format!("{}.{}.{rest}", encode(&header), encode(&payload))] {
                if let Ok(assertion) = Assertion::parse(&text) {
                    let rules = AssertionRules { audiences: &[], leeway, now: Timestamp::from_micros(0) };
                    prop_assert!(assertion.verify(&ClientKeys::default(), &rules).is_err());
                }
            }
        }
    }
}
