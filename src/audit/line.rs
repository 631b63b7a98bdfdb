//! Owns how an event is written: one JSON object a line.

use serde::Serialize;

use super::Entry;
use crate::model::Timestamp;

/// What stands in every line, so that it can be told from those of the log where both go to standard error.
const TARGET: &str = "audit";

/// A line of an event.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    target: &'static str,
    event: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    actor: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    /// So many more like this one, up to this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<u64>,
}

/// A line that tells of lines that are missing.
#[derive(Serialize)]
struct Lost {
    timestamp: String,
    target: &'static str,
    event: &'static str,
    count: u64,
}

/// Appends the line of `entry`, which stands for `repeats` more like it.
pub(super) fn event(lines: &mut Vec<u8>, time: Timestamp, entry: &Entry, repeats: Option<u64>) {
    append(
        lines,
        &Line {
            timestamp: time.to_string(),
            target: TARGET,
            event: entry.event.name(),
            outcome: entry.outcome.name(),
            reason: entry.reason.map(super::Reason::name),
            actor: entry.actor.name(),
            changed: entry.changed.iter().map(|field| field.name()).collect(),
            user_id: entry.user_id.map(|id| id.to_string()),
            session_id: entry.session_id.map(|id| id.to_string()),
            client_id: entry.client_id.as_deref(),
            key_id: entry.key_id.as_ref().map(|id| id.0.as_str()),
            address: entry.address.as_deref(),
            claimed_address: entry.claimed_address.as_deref(),
            user_agent: entry.user_agent.as_deref(),
            repeats,
        },
    );
}

/// Appends a line that says that `count` events before it are missing.
pub(super) fn lost(lines: &mut Vec<u8>, time: Timestamp, count: u64) {
    append(lines, &Lost { timestamp: time.to_string(), target: TARGET, event: "audit.lost", count });
}

fn append(lines: &mut Vec<u8>, line: &impl Serialize) {
    // Strings and numbers always serialise, and a vector always takes them; JSON escapes every line break.
    let _ = serde_json::to_writer(&mut *lines, line);
    lines.push(b'\n');
}
