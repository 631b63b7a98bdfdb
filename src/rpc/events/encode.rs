//! Owns how what is told looks on the wire.

use std::time::Duration;

use hyper::body::Bytes;
use prost::Message;
use uuid::Uuid;

use crate::{
    identity::watching::{ChangesTold, Encode, EndedClient, EndedUser, Part, TakenScopes},
    proto::identity::events::v1::{self as wire, watch_response},
    rpc::encode::time,
};

/// What gRPC puts before a message: that it is not compressed, and its length.
const HEAD_BYTES: usize = 5;

/// Writes messages of `EventService.Watch`, as gRPC sends them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageEncoder;

impl Encode for MessageEncoder {
    fn encode(&self, position: Option<&[u8]>, part: &Part) -> Bytes {
        let resume_token = position.map(<[u8]>::to_vec).unwrap_or_default();
        let response = wire::WatchResponse { resume_token, part: Some(encoded(part)) };
        let length = response.encoded_len();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + length);
        bytes.push(0);
        // No message comes near to that: they are divided long before.
        bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        response.encode_raw(&mut bytes);
        bytes.into()
    }
}

fn encoded(part: &Part) -> watch_response::Part {
    match part {
        Part::Snapshot { changes: ended, tokens_not_before, is_last, keep_for } => {
            watch_response::Part::Snapshot(wire::Snapshot {
                changes: Some(changes(ended)),
                tokens_not_before: tokens_not_before.map(time),
                is_last: *is_last,
                keep_for: keep_for.map(duration),
            })
        }
        Part::Changes(changed) => watch_response::Part::Changes(changes(changed)),
        Part::Heartbeat => watch_response::Part::Heartbeat(wire::Heartbeat {}),
        Part::Resync => watch_response::Part::Resync(wire::Resync {}),
    }
}

fn changes(told: &ChangesTold) -> wire::Changes {
    let users = told.ended_user_sessions.iter();
    let clients = told.ended_clients.iter();
    wire::Changes {
        ended_sessions: told.ended_sessions.iter().map(Uuid::to_string).collect(),
        ended_user_sessions: users
            .map(|EndedUser { subject, time: until }| wire::EndedUserSessions {
                subject: subject.to_string(),
                time: Some(time(*until)),
            })
            .collect(),
        ended_clients: clients
            .map(|EndedClient { id, time: until }| wire::EndedClient {
                client_id: id.to_string(),
                time: Some(time(*until)),
            })
            .collect(),
        taken_scopes: told.taken_scopes.iter().map(taken).collect(),
        keys_changed: told.keys_changed,
        changed_policies: told.changed_policies.clone(),
    }
}

fn taken(taken: &TakenScopes) -> wire::TakenScopes {
    wire::TakenScopes {
        subject: taken.subject.map(|subject| subject.to_string()).unwrap_or_default(),
        client_id: taken.client.map(|client| client.to_string()).unwrap_or_default(),
        audience: taken.audience.clone(),
        scopes: taken.scopes.iter().map(str::to_owned).collect(),
        time: Some(time(taken.time)),
    }
}

fn duration(duration: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: duration.subsec_nanos().cast_signed() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{base::Timestamp, model::NameSet};

    fn decoded(bytes: &Bytes) -> wire::WatchResponse {
        let length = u32::from_be_bytes(bytes[1..HEAD_BYTES].try_into().unwrap());
        assert_eq!((bytes[0], length as usize), (0, bytes.len() - HEAD_BYTES));
        wire::WatchResponse::decode(&bytes[HEAD_BYTES..]).unwrap()
    }

    #[test]
    fn scopes_of_everybody_have_no_subject() {
        let taken = |subject| TakenScopes {
            subject,
            client: None,
            audience: "stock".to_owned(),
            scopes: NameSet::parse("read write").unwrap(),
            time: Timestamp::from_micros(1_500_000),
        };
        let told = ChangesTold {
            taken_scopes: vec![taken(None), taken(Some(Uuid::from_u128(7)))],
            ..ChangesTold::default()
        };
        let message = decoded(&MessageEncoder.encode(Some(b"here"), &Part::Changes(told)));
        assert_eq!(message.resume_token, b"here");
        let Some(watch_response::Part::Changes(changes)) = message.part else { panic!("{message:?}") };
        let [all, one] = &changes.taken_scopes[..] else { panic!("{changes:?}") };
        assert_eq!((all.subject.as_str(), one.subject.as_str()), ("", &*Uuid::from_u128(7).to_string()));
        assert_eq!(all.scopes, ["read", "write"]);
        assert_eq!(all.time, Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }));
    }

    proptest! {
        #[test]
        fn what_is_told_is_read_as_it_was_written(
            ids in proptest::collection::vec(any::<u128>(), 0..100),
            seconds in 0_u64..100_000,
            is_last: bool,
            position: Option<Vec<u8>>,
        ) {
            let told = ChangesTold {
                ended_sessions: ids.iter().copied().map(Uuid::from_u128).collect(),
                keys_changed: is_last,
                ..ChangesTold::default()
            };
            let keep_for = Some(Duration::from_secs(seconds));
            let part = Part::Snapshot { changes: told, tokens_not_before: None, is_last, keep_for };
            let message = decoded(&MessageEncoder.encode(position.as_deref(), &part));
            prop_assert_eq!(message.resume_token, position.unwrap_or_default());
            let Some(watch_response::Part::Snapshot(snapshot)) = message.part else { panic!("another part") };
            prop_assert_eq!(snapshot.is_last, is_last);
            prop_assert_eq!(snapshot.keep_for.unwrap().seconds, i64::try_from(seconds).unwrap());
            let sessions = snapshot.changes.unwrap().ended_sessions;
            prop_assert!(sessions.iter().map(|id| id.parse::<Uuid>().unwrap().as_u128()).eq(ids));
        }
    }
}
