//! Owns the form in which a hash is kept: what a system writes around a hash that others write too comes off, and another spelling of a
//! known form becomes that form.

use base64ct::{Base64, Base64Unpadded, Encoding};

use super::{FORM, HashProblem, bcrypt, decoded, parts};

/// What stands before the hashes of LDAP and Dovecot that are kept as they are without it.
const CRYPT_PREFIXES: [&str; 9] = [
    "crypt",
    "bcrypt",
    "blf-crypt",
    "sha256-crypt",
    "sha512-crypt",
    "argon2",
    "argon2i",
    "argon2id",
    "argon2d",
];

/// The rounds and the length of the output of ASP.NET Identity, version 2: `PasswordHasher.cs` of aspnetcore.
const ASPNET_V2: (u32, usize) = (1_000, 32);

/// The form in which `text` is kept.
pub(super) fn kept_form(text: &str) -> Result<String, HashProblem> {
    let text = text.trim_ascii();
    if let Some(rest) = text.strip_prefix('{')
        && let Some((id, hash)) = rest.split_once('}')
    {
        return braced(id, hash);
    }
    // Django's prefixes; the second `$` of `bcrypt$$2b$` begins the hash.
    if let Some(rest) = ["argon2$", "bcrypt$$"].iter().find_map(|prefix| text.strip_prefix(prefix)) {
        return Ok(respelled(&format!("${rest}")));
    }
    if let Some(scrypt) = spring_scrypt(text) {
        return scrypt;
    }
    Ok(aspnet(text).unwrap_or_else(|| respelled(text)))
}

/// A hash with the name of its encoder in braces before it, as Spring Security and LDAP write them. `@` and a version may follow Spring's
/// names: that of the parameters, which only PBKDF2 does not write.
fn braced(id: &str, hash: &str) -> Result<String, HashProblem> {
    let (name, version) = id.split_once('@').map_or((id, None), |(name, version)| (name, Some(version)));
    match (name, version) {
        ("pbkdf2", None) => spring_pbkdf2(hash, "sha1", 185_000, 8),
        ("pbkdf2", Some("SpringSecurity_v5_8")) => spring_pbkdf2(hash, "sha256", 310_000, 16),
        ("scrypt", _) => spring_scrypt(hash).unwrap_or(Err(FORM)),
        _ if CRYPT_PREFIXES.iter().any(|known| name.eq_ignore_ascii_case(known)) && hash.starts_with('$') => {
            Ok(respelled(hash))
        }
        _ => Err(HashProblem::UnknownForm),
    }
}

/// Spring's `Pbkdf2PasswordEncoder`: salt and output in one, in hexadecimal or base64.
fn spring_pbkdf2(text: &str, digest: &str, rounds: u32, salt_bytes: usize) -> Result<String, HashProblem> {
    let bytes = hex::decode(text).or_else(|_| decoded(text))?;
    let (salt, output) = bytes.split_at_checked(salt_bytes).ok_or(FORM)?;
    Ok(pbkdf2(digest, rounds, salt, output))
}

/// Spring's `SCryptPasswordEncoder`: `$e0801$SALT$OUTPUT`, of which the first are the logarithm of N, r and p, each but the first in two
/// hexadecimal digits. None if `text` has another form.
fn spring_scrypt(text: &str) -> Option<Result<String, HashProblem>> {
    let (params, rest) = text.strip_prefix('$')?.split_once('$')?;
    let is_hex = params.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || !(5..=6).contains(&params.len()) {
        return None;
    }
    let params = u32::from_str_radix(params, 16).ok()?;
    let (log_n, r, p) = (params >> 16, (params >> 8) & 0xff, params & 0xff);
    Some(parts(rest, '$').map(|[salt, output]: [&str; 2]| {
        format!(
            "$scrypt$ln={log_n},r={r},p={p}${}${}",
            salt.trim_end_matches('='),
            output.trim_end_matches('=')
        )
    }))
}

/// A hash of ASP.NET Identity: base64 of its version, of its parameters if that is 3, of salt and output. None if `text` has another form.
fn aspnet(text: &str) -> Option<String> {
    let bytes = Base64::decode_vec(text).ok()?;
    let (version, rest) = bytes.split_first()?;
    match version {
        0 if rest.len() == 16 + ASPNET_V2.1 => {
            let (salt, output) = rest.split_at(16);
            Some(pbkdf2("sha1", ASPNET_V2.0, salt, output))
        }
        1 => {
            let mut number = {
                let mut at = 0;
                move || {
                    let (bytes, _) = rest.get(at..)?.split_first_chunk()?;
                    at += 4;
                    Some(u32::from_be_bytes(*bytes))
                }
            };
            let (prf, rounds, salt_bytes) = (number()?, number()?, number()?);
            let digest = *["sha1", "sha256", "sha512"].get(usize::try_from(prf).ok()?)?;
            let (salt, output) = rest.get(12..)?.split_at_checked(usize::try_from(salt_bytes).ok()?)?;
            Some(pbkdf2(digest, rounds, salt, output))
        }
        _ => None,
    }
}

/// The PHC string of a hash of PBKDF2.
fn pbkdf2(digest: &str, rounds: u32, salt: &[u8], output: &[u8]) -> String {
    let base64 = Base64Unpadded::encode_string;
    format!("$pbkdf2-{digest}$i={rounds},l={}${}${}", output.len(), base64(salt), base64(output))
}

/// `text` without the padding of base64 that Argon2's PHC strings do not have, and without the bits that bcrypt does not read.
fn respelled(text: &str) -> String {
    if text.starts_with("$argon2") {
        let fields: Vec<_> = text.split('$').map(|field| field.trim_end_matches('=')).collect();
        return fields.join("$");
    }
    bcrypt::without_unused_bits(text).unwrap_or_else(|| text.to_owned())
}
