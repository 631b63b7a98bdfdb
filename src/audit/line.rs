//! Owns how an event is written: one JSON object a line.

use serde::Serialize;

use super::{Actor, Entry};
use crate::{base::Timestamp, model::RequestId};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    actor: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_user: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
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
    let actor_id = match &entry.actor {
        Actor::User(id) => Some(id.to_string()),
        Actor::Client(id) => Some(id.to_string()),
        Actor::Anonymous | Actor::Oneself | Actor::Operator(_) | Actor::Service => None,
    };
    let operator = if let Actor::Operator(local) = &entry.actor { Some(local) } else { None };
    append(
        lines,
        &Line {
            timestamp: time.to_string(),
            target: TARGET,
            event: entry.event.name(),
            outcome: entry.outcome.name(),
            reason: entry.reason.map(super::Reason::name),
            method: entry.method.as_deref(),
            actor: entry.actor.kind().name(),
            actor_id,
            local_uid: operator.map(|local| local.uid),
            local_user: operator.and_then(|local| local.name.as_deref()),
            changed: entry.changed.iter().map(|change| change.field.name()).collect(),
            user_id: entry.user_id.map(|id| id.to_string()),
            sessions: entry.sessions,
            session_id: entry.session_id.map(|id| id.to_string()),
            client_id: entry.client_id.as_deref(),
            key_id: entry.key_id.as_ref().map(|id| id.0.as_str()),
            role_id: entry.role_id.map(|id| id.to_string()),
            group_id: entry.group_id.map(|id| id.to_string()),
            audience: entry.audience.as_deref(),
            address: entry.address.as_deref(),
            claimed_address: entry.claimed_address.as_deref(),
            user_agent: entry.user_agent.as_deref(),
            request_id: entry.request_id.as_ref().map(RequestId::as_str),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::{
        audit::{Event, Field, LocalUser, Reason},
        model::{ClientId, GroupId, KeyId, Origin, RoleId, SessionId, UserId},
    };

    fn line(entry: &Entry) -> Value {
        let mut lines = Vec::new();
        event(&mut lines, Timestamp::from_micros(0), entry, Some(1));
        serde_json::from_slice(&lines).unwrap()
    }

    #[test]
    fn a_line_tells_who_did_it() {
        let user = UserId(Uuid::from_u128(1));
        let (administrator, client) = (UserId(Uuid::from_u128(2)), ClientId(Uuid::from_u128(3)));
        let local = |name: Option<&str>| LocalUser { uid: 1000, name: name.map(str::to_owned) };
        for (actor, expected) in [
            (Actor::Oneself, json!(["user", null, null, null])),
            (Actor::User(administrator), json!(["user", administrator.to_string(), null, null])),
            (Actor::Client(client), json!(["client", client.to_string(), null, null])),
            (Actor::Operator(local(Some("bob"))), json!(["operator", null, 1000, "bob"])),
            (Actor::Operator(local(None)), json!(["operator", null, 1000, null])),
            (Actor::Service, json!(["service", null, null, null])),
        ] {
            let line = line(&Event::UserDisabled.done().user(user).by(actor));
            let told = ["actor", "actor_id", "local_uid", "local_user"].map(|member| line[member].clone());
            assert_eq!((json!(told), &line["user_id"]), (expected, &json!(user.to_string())));
        }
    }

    #[test]
    fn every_member_of_a_line_is_documented() {
        let text = || Some("a".to_owned());
        let request_id = RequestId::parse(b"a");
        let origin = Origin { address: text(), claimed_address: text(), user_agent: text(), request_id };
        let entry = Event::Login.refused(Reason::WrongPassword).origin(&origin);
        let entry = entry.user(UserId(Uuid::nil())).session(SessionId(Uuid::nil()));
        let entry = entry.client("c").key(KeyId("k".to_owned())).changed(vec![Field::Email]);
        let entry = entry.role(RoleId(Uuid::nil())).group(GroupId(Uuid::nil())).audience("a").method("m");
        let local = LocalUser { uid: 0, name: text() };
        let lines = [Actor::Operator(local), Actor::User(UserId(Uuid::nil()))];
        let document =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/AUDIT.md")).unwrap();
        let (_, table) = document.split_once("| Member |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        for line in lines.map(|actor| line(&entry.clone().by(actor))) {
            // `target` is the same in every line, and is told of before the table.
            for member in line.as_object().unwrap().keys().filter(|member| *member != "target") {
                assert!(table.contains(&format!("`{member}`")), "{member}");
            }
        }
    }
}
