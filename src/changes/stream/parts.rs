//! Owns dividing what is told into messages of a bounded size.

use super::told::ChangesTold;

/// How many things one message tells at most: 48 KiB of sessions, and no more than what a stream may leave unread.
const PART_ITEMS: usize = 768;

/// In the place of how many others scopes that were taken away stand at most, with their names.
const ITEMS_OF_SCOPES: usize = 16;

/// `changes`, in as many parts as no message gets too large; one at least.
pub(super) fn in_parts(mut changes: ChangesTold) -> Vec<ChangesTold> {
    let mut parts = Vec::new();
    loop {
        let mut room = PART_ITEMS;
        let mut part = ChangesTold {
            ended_sessions: some(&mut changes.ended_sessions, &mut room),
            ended_user_sessions: some(&mut changes.ended_user_sessions, &mut room),
            ended_clients: some(&mut changes.ended_clients, &mut room),
            taken_scopes: some(&mut changes.taken_scopes, &mut (room / ITEMS_OF_SCOPES)),
            ..ChangesTold::default()
        };
        let rest = &changes;
        let is_last = rest.ended_sessions.is_empty()
            && rest.ended_user_sessions.is_empty()
            && rest.ended_clients.is_empty()
            && rest.taken_scopes.is_empty();
        if is_last {
            part.keys_changed = changes.keys_changed;
            part.changed_policies = std::mem::take(&mut changes.changed_policies);
            parts.push(part);
            return parts;
        }
        parts.push(part);
    }
}

/// The first of `items`, as many as there is `room` for, which gets less by them.
fn some<T>(items: &mut Vec<T>, room: &mut usize) -> Vec<T> {
    let rest = items.split_off((*room).min(items.len()));
    let some = std::mem::replace(items, rest);
    *room -= some.len();
    some
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{base::Timestamp, changes::stream::EndedAt};

    proptest! {
        #[test]
        fn parts_are_bounded_and_together_are_the_whole(
            sessions in 0_u128..5_000,
            users in 0_u128..2_000,
            keys_changed: bool,
        ) {
            let at = |id| EndedAt { id: Uuid::from_u128(id), time: Timestamp::from_micros(0) };
            let whole = ChangesTold {
                ended_sessions: (0..sessions).map(Uuid::from_u128).collect(),
                ended_user_sessions: (0..users).map(at).collect(),
                keys_changed,
                ..ChangesTold::default()
            };
            let parts = in_parts(whole.clone());
            let mut together = ChangesTold::default();
            for part in parts {
                prop_assert!(part.ended_sessions.len() + part.ended_user_sessions.len() <= PART_ITEMS);
                together.ended_sessions.extend(part.ended_sessions);
                together.ended_user_sessions.extend(part.ended_user_sessions);
                together.keys_changed |= part.keys_changed;
            }
            prop_assert_eq!(together, whole);
        }
    }
}
