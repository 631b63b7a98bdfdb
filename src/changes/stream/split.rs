//! Owns dividing what is told into messages of a bounded size.

use std::vec::IntoIter;

use super::told::ChangesTold;

/// How many things one message tells at most: 30 KiB of sessions.
pub(super) const MOST_ITEMS: usize = 768;

/// Scopes that were taken away count as so many, since they have names.
pub(super) const ITEMS_OF_SCOPES: usize = 16;

/// `changes`, in as many messages as none gets too large; one at least.
pub(super) fn in_messages(changes: ChangesTold) -> Vec<ChangesTold> {
    let mut sessions = changes.ended_sessions.into_iter();
    let mut users = changes.ended_user_sessions.into_iter();
    let mut clients = changes.ended_clients.into_iter();
    let mut scopes = changes.taken_scopes.into_iter();
    let mut messages = Vec::new();
    loop {
        let mut room = MOST_ITEMS;
        let mut message = ChangesTold {
            ended_sessions: some(&mut sessions, &mut room),
            ended_user_sessions: some(&mut users, &mut room),
            ended_clients: some(&mut clients, &mut room),
            taken_scopes: some(&mut scopes, &mut (room / ITEMS_OF_SCOPES)),
            ..ChangesTold::default()
        };
        let left = sessions.len() + users.len() + clients.len() + scopes.len();
        if left == 0 {
            message.keys_changed = changes.keys_changed;
            message.changed_policies = changes.changed_policies;
            messages.push(message);
            return messages;
        }
        messages.push(message);
    }
}

/// The next of `items`, as many as there is `room` for, which gets less by them.
fn some<T>(items: &mut IntoIter<T>, room: &mut usize) -> Vec<T> {
    let some: Vec<T> = items.take(*room).collect();
    *room -= some.len();
    some
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{base::Timestamp, changes::stream::EndedUser};

    proptest! {
        #[test]
        fn messages_are_bounded_and_together_are_the_whole(
            sessions in 0_u128..5_000,
            users in 0_u128..2_000,
            keys_changed: bool,
        ) {
            let at = |id| EndedUser { subject: Uuid::from_u128(id), time: Timestamp::from_micros(0) };
            let whole = ChangesTold {
                ended_sessions: (0..sessions).map(Uuid::from_u128).collect(),
                ended_user_sessions: (0..users).map(at).collect(),
                keys_changed,
                ..ChangesTold::default()
            };
            let messages = in_messages(whole.clone());
            let mut together = ChangesTold::default();
            for message in messages {
                prop_assert!(message.ended_sessions.len() + message.ended_user_sessions.len() <= MOST_ITEMS);
                together.ended_sessions.extend(message.ended_sessions);
                together.ended_user_sessions.extend(message.ended_user_sessions);
                together.keys_changed |= message.keys_changed;
            }
            prop_assert_eq!(together, whole);
        }
    }
}
