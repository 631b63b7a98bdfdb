//! Owns the form of refresh tokens, and how a presented one relates to its session.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use base64ct::{Base64UrlUnpadded, Encoding};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    base::fill_from_system,
    model::SessionId,
    store::{RefreshState, Sha256},
};

/// The session's id (16 bytes), the secret (32), the tag (16).
const BYTES: usize = 64;
const SECRET: usize = 16;
const TAG: usize = 48;

/// A refresh token: the id of its session, 256 random bits, and a tag. Only its SHA-256 is kept.
///
/// The next secret is made from this one and a salt of the session's own, so that an exchange that is repeated gives the same
/// token again, and no database ever held it. The tag shows that a token was once issued, so that an old one is told from an
/// invented one though nothing is kept of it.
#[derive(Clone)]
pub struct RefreshToken(Zeroizing<[u8; BYTES]>);

/// How a refresh token relates to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// The newest: not used so far.
    Newest,
    /// The one before the newest: it was used, its successor was not.
    BeforeNewest,
    /// An older one: it was used, and its successor too.
    Old,
    /// It was never issued for the session.
    Invented,
}

impl RefreshToken {
    /// The first token of a session, and what the session keeps of it.
    pub(in crate::identity) fn first(session: SessionId) -> (Self, RefreshState) {
        let mut salt = [0; 32];
        fill_from_system(&mut salt);
        let mut secret = Zeroizing::new([0; TAG - SECRET]);
        fill_from_system(secret.as_mut_slice());
        let token = Self::assemble(session, secret.as_slice(), &salt);
        let state = RefreshState { newest: token.hash(), before_newest: None, salt };
        (token, state)
    }

    fn assemble(session: SessionId, secret: &[u8], salt: &[u8]) -> Self {
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes[..SECRET].copy_from_slice(session.0.as_bytes());
        bytes[SECRET..TAG].copy_from_slice(secret);
        let tag = tag(&bytes[..TAG], salt);
        bytes[TAG..].copy_from_slice(&tag.as_ref()[..BYTES - TAG]);
        Self(bytes)
    }

    /// The token that `text` spells; none if it has not the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let decoded = Base64UrlUnpadded::decode(text, bytes.as_mut_slice()).ok()?.len();
        (decoded == BYTES).then_some(Self(bytes))
    }

    /// How the token is written: 86 characters of base64url.
    #[must_use]
    pub fn text(&self) -> String {
        Base64UrlUnpadded::encode_string(self.0.as_slice())
    }

    /// The session that the token says it is of.
    pub(super) fn session_id(&self) -> SessionId {
        let mut id = [0; SECRET];
        id.copy_from_slice(&self.0[..SECRET]);
        SessionId(Uuid::from_bytes(id))
    }

    /// The digest that is stored.
    pub(super) fn hash(&self) -> Sha256 {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.0.as_slice()).as_ref());
        hash
    }

    /// The token that this one is exchanged for.
    pub(super) fn successor(&self, state: &RefreshState) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0[SECRET..TAG]);
        Self::assemble(self.session_id(), hmac::sign(&key, &state.salt).as_ref(), &state.salt)
    }

    /// How the token relates to the session with this `state`.
    pub(super) fn place(&self, state: &RefreshState) -> Generation {
        let hash = self.hash();
        if same(&hash, &state.newest) {
            Generation::Newest
        } else if state.before_newest.is_some_and(|before| same(&hash, &before)) {
            Generation::BeforeNewest
        } else if same(&tag(&self.0[..TAG], &state.salt).as_ref()[..BYTES - TAG], &self.0[TAG..]) {
            Generation::Old
        } else {
            Generation::Invented
        }
    }
}

fn tag(session_and_secret: &[u8], salt: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), session_and_secret)
}

fn same(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first() -> (RefreshToken, RefreshState) {
        RefreshToken::first(SessionId(Uuid::from_u128(7)))
    }

    #[test]
    fn a_successor_follows_from_the_token_and_the_salt_and_from_nothing_less() {
        let (token, state) = first();
        let next = token.successor(&state);
        assert_eq!(next.text(), token.successor(&state).text());
        assert_eq!(next.session_id(), token.session_id());
        let other_salt = RefreshState { salt: [0; 32], ..state };
        assert_ne!(next.text(), token.successor(&other_salt).text());
        assert_ne!(next.text(), first().0.successor(&state).text());
    }

    #[test]
    fn a_token_is_known_by_its_place_in_the_session() {
        let (token, mut state) = first();
        assert_eq!(token.place(&state), Generation::Newest);
        let second = token.successor(&state);
        state = RefreshState { newest: second.hash(), before_newest: Some(token.hash()), ..state };
        assert_eq!(
            (token.place(&state), second.place(&state)),
            (Generation::BeforeNewest, Generation::Newest)
        );
        let third = second.successor(&state);
        state = RefreshState { newest: third.hash(), before_newest: Some(second.hash()), ..state };
        assert_eq!((token.place(&state), second.place(&state)), (Generation::Old, Generation::BeforeNewest));
        assert_eq!(first().0.place(&state), Generation::Invented, "of another session with the same id");
    }

    proptest! {
        #[test]
        fn a_text_is_a_token_or_not_and_is_written_as_it_was_read(text in "[A-Za-z0-9_=-]{84,88}") {
            if let Some(token) = RefreshToken::parse(&text) {
                prop_assert_eq!(token.text(), text);
            }
        }

        #[test]
        fn a_token_with_any_bit_changed_was_never_issued(bit in 0..BYTES * 8) {
            let (token, state) = first();
            let mut bytes = token.0.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(RefreshToken(bytes).place(&state), Generation::Invented);
        }
    }
}
