//! Owns what users, sessions, clients, roles, groups, bindings and attributes are identified by.

use std::fmt;

use uuid::Uuid;

use super::claims::BUILT_IN_CLIENT;
use crate::base::{Entropy, Timestamp};

/// A user's identifier: a UUIDv7 (RFC 9562 section 5.7), so that rows written together lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub Uuid);

impl UserId {
    /// A new identifier for a user made at `now`.
    #[must_use]
    pub fn new(now: Timestamp, entropy: &Entropy) -> Self {
        Self(uuid_v7(now, entropy))
    }

    /// The least identifier of a user made at `time`, which nobody has.
    #[must_use]
    pub fn first_at(time: Timestamp) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(time.as_millis(), &[0; 10]).into_uuid())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A session's identifier: a UUIDv7 (RFC 9562 section 5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A client's identifier, a UUIDv7: its `client_id`, and the `sub` of its own tokens. That of the built-in one is written by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub Uuid);

impl ClientId {
    /// The built-in client's, the same in every installation: of the year 1970, before every client that somebody has registered.
    pub const BUILT_IN: Self = Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));

    /// A new identifier for a client made at `now`.
    #[must_use]
    pub fn new(now: Timestamp, entropy: &Entropy) -> Self {
        Self(uuid_v7(now, entropy))
    }

    /// The identifier that `text` writes; none if it is neither a UUID nor the built-in client's name, or written in another way than
    /// tokens write it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == BUILT_IN_CLIENT {
            return Some(Self::BUILT_IN);
        }
        let id = Self(Uuid::try_parse(text).ok()?);
        let mut written = Uuid::encode_buffer();
        (!id.is_built_in() && id.0.hyphenated().encode_lower(&mut written) == text).then_some(id)
    }

    /// Whether it is the built-in client's.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        self == Self::BUILT_IN
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_built_in() { f.pad(BUILT_IN_CLIENT) } else { self.0.fmt(f) }
    }
}

/// Identifiers that are nothing but a UUIDv7.
macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier for what is made at `now`.
            #[must_use]
            pub fn new(now: Timestamp, entropy: &Entropy) -> Self {
                Self(uuid_v7(now, entropy))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

identifiers! {
    /// A role's identifier.
    RoleId,
    /// A group's identifier.
    GroupId,
    /// A binding's identifier.
    BindingId,
    /// The identifier of an attribute that is declared.
    AttributeId,
    /// The identifier of a version of a service's policy.
    PolicyVersionId,
}

/// A new UUIDv7: `now` in milliseconds, then 74 random bits.
#[must_use]
pub fn uuid_v7(now: Timestamp, entropy: &Entropy) -> Uuid {
    uuid_v7_of(now, entropy.bytes())
}

/// The UUIDv7 of `time` in milliseconds and 74 bits of `random`.
pub(crate) fn uuid_v7_of(time: Timestamp, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(time.as_millis(), &random).into_uuid()
}

/// The milliseconds since 1970 that a UUIDv7 tells; none if `id` is none.
#[cfg(feature = "server")]
pub(crate) fn millis(id: Uuid) -> Option<u64> {
    // The first 48 of 128 bits (RFC 9562 section 5.7).
    (id.get_version_num() == 7).then(|| (id.as_u64_pair().0) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_written_in_one_way_and_the_built_in_one_by_its_name() {
        let uuid = "01a20a05-adfd-7f0f-a948-424ae62fc105";
        for text in [uuid, "signet"] {
            assert_eq!(ClientId::parse(text).unwrap().to_string(), text);
        }
        assert!(ClientId::parse("signet").unwrap().is_built_in());
        let other_ways = [uuid.to_uppercase(), uuid.replace('-', ""), ClientId::BUILT_IN.0.to_string()];
        for text in other_ways.iter().map(String::as_str).chain(["", "Signet", "signet "]) {
            assert_eq!(ClientId::parse(text), None, "{text}");
        }
    }
}
