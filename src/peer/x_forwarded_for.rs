//! Owns reading `x-forwarded-for`, to which each proxy appends the address that it has seen.

use std::net::IpAddr;

use super::hop;

/// The entries of one line, from the right; None for one that is no address. An empty entry is none too: a proxy may write one for a
/// client without an address, and what stands to its left is that client's.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    line.rsplit(|byte| *byte == b',')
        .map(|entry| hop::address(str::from_utf8(entry).ok()?.trim_matches([' ', '\t'])))
}
