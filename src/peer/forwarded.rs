//! Owns reading `forwarded` (RFC 7239), to which each proxy appends an element that tells `for` whom it asks.

use std::{borrow::Cow, net::IpAddr};

use super::hop;

/// The elements of one line, from the right; None for one that does not tell an address.
///
/// ```text
/// line    = element *( "," element )
/// element = [ pair ] *( ";" [ pair ] )
/// pair    = key "=" value                  keys in any case: for, by, host, proto, ...
/// value   = quoted / *( any but "," ";" DQUOTE )
/// quoted  = DQUOTE *( any but DQUOTE and "\" / "\" any ) DQUOTE
/// ```
///
/// Commas are looked for from the right, past quoted values: whatever a client has written to the left, quotation marks without a second
/// one among it, changes nothing of the element that a proxy has appended.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest.take()?;
        let element = match last_comma(line) {
            Some(comma) => {
                rest = Some(&line[..comma]);
                &line[comma + 1..]
            }
            None => line,
        };
        Some(str::from_utf8(element).ok().and_then(client))
    })
}

/// Where the last comma of `line` is that stands in no quoted value.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    let mut end = line.len();
    while let Some(index) = line[..end].iter().rposition(|byte| matches!(byte, b',' | b'"')) {
        if line[index] == b'"' {
            let backslashes = line[..index].iter().rev().take_while(|byte| **byte == b'\\').count();
            // Within a value, a quotation mark after an odd number of backslashes is a character of that value.
            if !is_quoted || backslashes % 2 == 0 {
                is_quoted = !is_quoted;
            }
        } else if !is_quoted {
            return Some(index);
        }
        end = index;
    }
    None
}

/// The address in the parameter `for` of an element, of which there is one.
fn client(element: &str) -> Option<IpAddr> {
    let mut found = None;
    let mut rest = element;
    loop {
        rest = trimmed(rest);
        if let Some(after) = rest.strip_prefix(';') {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            break;
        }
        let (key, after) = rest.split_once('=')?;
        if key.is_empty() || !key.bytes().all(is_token) {
            return None;
        }
        let (value, after) = value(after)?;
        if key.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        rest = trimmed(after);
        if !rest.is_empty() && !rest.starts_with(';') {
            return None;
        }
    }
    hop::address(&found?)
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        return (!value.contains('"')).then(|| (trimmed(value).into(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (end, '"') => return Some((value.into(), &quoted[end + 1..])),
            (_, '\\') => value.push(characters.next()?.1),
            (_, other) => value.push(other),
        }
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Whether `byte` may stand in a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
