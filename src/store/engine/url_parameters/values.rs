//! Owns what the values of parameters say of the protection of a connection.

use super::{
    Protection,
    Says::{self, AtLeast, Mode, Nothing},
};

/// The modes of libpq, node-postgres (`no-verify`) and MySQL.
pub(super) fn mode(value: &str) -> Option<Says> {
    Some(Mode(match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Protection::Off,
        // libpq's `allow` begins without TLS: here it begins with it.
        "allow" | "prefer" | "preferred" => Protection::Preferred,
        "require" | "required" | "no-verify" => Protection::Required,
        "verify-ca" => Protection::VerifyAuthority,
        "verify-full" | "verify-identity" => Protection::VerifyName,
        _ => return None,
    }))
}

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" | "none" => Some(false),
        _ => None,
    }
}

/// `ssl` of node's drivers, which check certificates, in JSON too; of asyncpg, which has libpq's modes.
pub(super) fn ssl(value: &str) -> Option<Says> {
    if let Some(on) = truth(value) {
        return Some(if on { AtLeast(Protection::VerifyName) } else { Mode(Protection::Off) });
    }
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(value) else { return mode(value) };
    match (members.len(), members.get("rejectUnauthorized")?.as_bool()?) {
        (1, true) => Some(AtLeast(Protection::VerifyName)),
        (1, false) => Some(AtLeast(Protection::Required)),
        _ => None,
    }
}

fn at_least_if(value: &str, least: Protection) -> Option<Says> {
    truth(value).map(|on| if on { AtLeast(least) } else { Nothing })
}

pub(super) fn required_if(value: &str) -> Option<Says> {
    at_least_if(value, Protection::Required)
}

pub(super) fn authority_if(value: &str) -> Option<Says> {
    at_least_if(value, Protection::VerifyAuthority)
}

pub(super) fn name_if(value: &str) -> Option<Says> {
    at_least_if(value, Protection::VerifyName)
}

pub(super) fn disabled_if(value: &str) -> Option<Says> {
    truth(value).map(|on| if on { Mode(Protection::Off) } else { Nothing })
}

/// Prisma's.
pub(super) fn ssl_accept(value: &str) -> Option<Says> {
    match value {
        "strict" => Some(AtLeast(Protection::VerifyName)),
        "accept_invalid_certs" => Some(Nothing),
        _ => None,
    }
}

/// The driver has no SCRAM-SHA-256-PLUS. What it is for, that nobody stands between who passes the login on, the check of the certificate
/// and the name does too.
pub(super) fn channel_binding(value: &str) -> Option<Says> {
    match value {
        "require" => Some(AtLeast(Protection::VerifyName)),
        "prefer" | "disable" => Some(Nothing),
        _ => None,
    }
}

/// The driver always asks first, which every server understands.
pub(super) fn negotiation(value: &str) -> Option<Says> {
    match value {
        "postgres" => Some(Nothing),
        "direct" => Some(AtLeast(Protection::Required)),
        _ => None,
    }
}

/// The driver has no GSSAPI.
pub(super) fn gss(value: &str) -> Option<Says> {
    ["disable", "prefer"].contains(&value).then_some(Nothing)
}

/// The driver speaks TLS 1.2 and 1.3.
pub(super) fn min_version(value: &str) -> Option<Says> {
    ["TLSv1", "TLSv1.1", "TLSv1.2"].contains(&value).then_some(Nothing)
}
