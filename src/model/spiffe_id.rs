//! Owns the form of SPIFFE IDs: the names that a mesh gives its workloads.

use std::{fmt, str::FromStr};

/// The longest ID in bytes (SPIFFE-ID section 2.3).
pub const SPIFFE_ID_MAX_BYTES: usize = 2_048;

/// The longest trust domain in bytes (SPIFFE-ID section 2.1).
const TRUST_DOMAIN_MAX_BYTES: usize = 255;

/// The name of a workload: `spiffe://TRUST-DOMAIN/PATH` (SPIFFE-ID section 2). Each has one spelling, so that equal names are equal
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId(String);

/// What is no SPIFFE ID of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be `spiffe://TRUST-DOMAIN/PATH`: the trust domain of lower-case letters, digits, `.`, `-` and `_`, the path of segments of \
     letters, digits, `.`, `-` and `_`, in at most 2048 bytes"
)]
pub struct MalformedSpiffeId;

impl SpiffeId {
    /// An ID that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SpiffeId {
    type Err = MalformedSpiffeId;

    /// Reads an ID with a path: one without stands for the trust domain as a whole, and no workload has it (X.509-SVID section 5.2).
    fn from_str(text: &str) -> Result<Self, MalformedSpiffeId> {
        let read = || {
            let (trust_domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
            let is_domain = !trust_domain.is_empty()
                && trust_domain.len() <= TRUST_DOMAIN_MAX_BYTES
                && trust_domain.bytes().all(|byte| is_allowed(byte) && !byte.is_ascii_uppercase());
            // A segment that leads elsewhere, or to nowhere, would give one workload two names.
            let is_segment =
                |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_allowed);
            (is_domain && path.split('/').all(is_segment)).then(|| Self(text.to_owned()))
        };
        // Before the text is split: it may come from anybody.
        if text.len() > SPIFFE_ID_MAX_BYTES {
            Err(MalformedSpiffeId)
        } else {
            read().ok_or(MalformedSpiffeId)
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The characters of trust domains, and with upper case of paths (SPIFFE-ID sections 2.1 and 2.2).
const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_is_that_of_the_specification() {
        let longest = format!("spiffe://example.org/{}", "x".repeat(SPIFFE_ID_MAX_BYTES - 21));
        for good in [
            "spiffe://example.org/billing",
            "spiffe://cluster.local/ns/default/sa/orders",
            "spiffe://10.2.3.4/x",
            "spiffe://a_b-c/D.e_F-1",
            "spiffe://example.org/...",
            &longest,
        ] {
            assert_eq!(good.parse::<SpiffeId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "spiffe://",
            "spiffe:///x",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/x/",
            "spiffe://example.org//x",
            "spiffe://example.org/./x",
            "spiffe://example.org/x/..",
            "spiffe://Example.org/x",
            "SPIFFE://example.org/x",
            "spiffe:/example.org/x",
            "https://example.org/x",
            "spiffe://example.org:443/x",
            "spiffe://user@example.org/x",
            "spiffe://example.org/x?y",
            "spiffe://example.org/x#y",
            "spiffe://example.org/%78",
            "spiffe://example.org/é",
            "spiffe://exämple.org/x",
            "spiffe://example.org/x,URI=spiffe://example.org/y",
            " spiffe://example.org/x",
            "spiffe://example.org/x\n",
            &format!("spiffe://{}/x", "d".repeat(TRUST_DOMAIN_MAX_BYTES + 1)),
            &format!("{longest}x"),
        ] {
            assert_eq!(bad.parse::<SpiffeId>(), Err(MalformedSpiffeId), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_built_by_the_grammar_is_read(
            domain in "[a-z0-9._-]{1,255}",
            path in prop::collection::vec("[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}", 1..8),
        ) {
            let text = format!("spiffe://{domain}/{}", path.join("/"));
            prop_assert_eq!(text.parse::<SpiffeId>().unwrap().to_string(), text);
        }

        #[test]
        fn one_foreign_character_anywhere_is_refused(
            before in "[a-z0-9]{1,5}/[a-z]{0,5}",
            foreign in r"[^a-zA-Z0-9._/-]",
            after in "[a-z]{0,5}",
        ) {
            let text = format!("spiffe://{before}{foreign}{after}");
            prop_assert!(text.parse::<SpiffeId>().is_err(), "{}", text);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<SpiffeId>();
        }
    }
}
