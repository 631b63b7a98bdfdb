//! Owns what the history must hold to: nothing that has ended is forgotten without a time before which no token counts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::changes::stream::{Kinds, audiences::Heard};

const LATE: i64 = 6;

fn names() -> Names {
    Names::new(NameSet::parse("idp").unwrap())
}

fn told(audiences: &str, kinds: Kinds) -> Told {
    Told { audiences: Heard::new(names().of(&NameSet::parse(audiences).unwrap())), kinds }
}

fn at(audiences: &str) -> At {
    Some(names().of(&NameSet::parse(audiences).unwrap()).into())
}

fn when(time: i64, batch: u64) -> When {
    When { time: Timestamp::from_micros(time), batch }
}

fn session(id: u128, user: u128, audiences: &str) -> Event {
    Event::Session { id: Uuid::from_u128(id), user: Some(Uuid::from_u128(user)), at: at(audiences) }
}

fn select(history: &History, told: &Told, since: Since) -> Selected {
    history.select(told, since, |time| Timestamp::from_micros(time.as_micros() + LATE), &names())
}

#[test]
fn of_a_user_twenty_sessions_are_named_and_beyond_that_a_time() {
    let mut history = History::default();
    for number in 1..=20_u8 {
        history.note(&session(number.into(), 1, "stock"), when(number.into(), 1));
    }
    history.note(&session(100, 2, "stock"), when(5, 1));
    let all = told("stock", Kinds::ALL);
    let changes = select(&history, &all, Since::All).changes;
    assert_eq!((changes.ended_sessions.len(), changes.ended_user_sessions.len()), (21, 0));
    history.note(&session(20, 1, "stock"), when(20, 2));
    assert_eq!(select(&history, &all, Since::All).changes.ended_sessions.len(), 21, "it is known");
    history.note(&session(21, 1, "stock"), when(21, 2));
    let changes = select(&history, &all, Since::All).changes;
    assert_eq!(changes.ended_sessions, [Uuid::from_u128(100)], "another's are named still");
    let many = EndedAt { id: Uuid::from_u128(1), time: Timestamp::from_micros(21 + LATE) };
    assert_eq!(changes.ended_user_sessions, [many]);
    history.note(&session(22, 1, "stock"), when(30, 3));
    let changes = select(&history, &all, Since::Batch(2)).changes;
    assert_eq!(changes.ended_user_sessions[0].time, Timestamp::from_micros(30 + LATE));
}

#[test]
fn who_watches_an_audience_is_told_of_it_alone_and_of_what_is_nobodys() {
    let mut history = History::default();
    history.note(&session(1, 1, "stock"), when(1, 1));
    history.note(&session(2, 2, "orders"), when(1, 1));
    history.note(&Event::Session { id: Uuid::from_u128(3), user: None, at: None }, when(1, 1));
    history.note(&Event::Client { id: Uuid::from_u128(4), at: at("orders stock") }, when(1, 1));
    let scopes = NameSet::parse("write").unwrap();
    for name in ["stock", "orders"] {
        let (audience, scopes) = (AudienceName::parse(name).unwrap(), scopes.clone());
        history.note(&Event::Scopes { subject: None, client: None, audience, scopes }, when(1, 1));
    }
    let changes = select(&history, &told("stock", Kinds::ALL), Since::All).changes;
    let sessions: BTreeSet<_> = changes.ended_sessions.iter().map(Uuid::as_u128).collect();
    assert_eq!(sessions, BTreeSet::from([1, 3]));
    assert_eq!(changes.ended_clients.len(), 1);
    let told_of: Vec<_> = changes.taken_scopes.iter().map(|taken| taken.audience.as_str()).collect();
    assert_eq!(told_of, ["stock"]);
    let clients = select(&history, &told("stock", Kinds::of([Kind::Clients])), Since::All).changes;
    assert!(clients.ended_sessions.is_empty() && clients.taken_scopes.is_empty());
    assert_eq!(clients.ended_clients.len(), 1);
}

#[test]
fn what_was_told_before_is_not_told_again_and_keys_are_told_to_those_alone_who_go_on() {
    let mut history = History::default();
    history.note(&session(1, 1, "stock"), when(10, 1));
    history.note(&Event::Keys, when(20, 2));
    let policy = Event::Policy { key: AudienceName::parse("stock").unwrap().key() };
    history.note(&policy, when(30, 3));
    let stock = told("stock", Kinds::ALL);
    let snapshot = select(&history, &stock, Since::All).changes;
    assert_eq!((snapshot.ended_sessions.len(), snapshot.keys_changed), (1, false));
    let later = select(&history, &stock, Since::Batch(1)).changes;
    assert!(later.ended_sessions.is_empty() && later.keys_changed);
    assert_eq!(later.changed_policies, ["stock"]);
    let by_time = select(&history, &stock, Since::Time(Timestamp::from_micros(30))).changes;
    assert!(!by_time.keys_changed && by_time.changed_policies == ["stock"]);
    assert!(select(&history, &told("orders", Kinds::ALL), Since::Batch(2)).changes.is_empty());
}

#[test]
fn what_no_living_token_can_have_been_issued_before_is_forgotten() {
    let mut history = History::default();
    history.note(&session(1, 1, "stock"), when(10, 1));
    history.note(&session(2, 1, "stock"), when(20, 1));
    let version = history.version();
    history.forget_before(Timestamp::from_micros(15));
    assert_ne!(history.version(), version);
    let changes = select(&history, &told("stock", Kinds::ALL), Since::All).changes;
    assert_eq!(changes.ended_sessions, [Uuid::from_u128(2)]);
    assert!(!history.is_cut());
}

#[test]
fn beyond_what_is_remembered_all_older_tokens_are_refused_and_none_is_forgotten() {
    let mut history = History::default();
    let users = u128::try_from(MOST).unwrap() + 1;
    for user in 1..=users {
        history.note(&session(user, user, "stock"), when(i64::try_from(user).unwrap(), 1));
    }
    assert!(history.is_cut() && history.count <= MOST);
    let Selected { changes, not_before } = select(&history, &told("stock", Kinds::ALL), Since::All);
    let cut = u128::try_from(not_before.unwrap().as_micros() - LATE).unwrap();
    let named: BTreeSet<_> = changes.ended_sessions.iter().map(Uuid::as_u128).collect();
    assert!((1..=users).all(|user| user <= cut || named.contains(&user)));
    history.forget_before(not_before.unwrap());
    assert!(!history.is_cut(), "no such token lives any more");
}

#[test]
fn a_snapshot_beyond_its_bound_tells_the_newest_and_a_time() {
    let mut history = History::default();
    let scopes = |number: usize| NameSet::parse(&format!("{number}.{}", "x".repeat(900))).unwrap();
    for number in 0..12_000 {
        let audience = AudienceName::parse("stock").unwrap();
        let event = Event::Scopes { subject: None, client: None, audience, scopes: scopes(number) };
        history.note(&event, when(i64::try_from(number).unwrap(), 1));
    }
    let Selected { changes, not_before } = select(&history, &told("stock", Kinds::ALL), Since::All);
    let bytes: usize = changes.taken_scopes.iter().map(|taken| taken.scopes.as_str().len()).sum();
    assert!(bytes < SNAPSHOT_BYTES && changes.taken_scopes.len() < 12_000);
    let told_from = 12_000 - i64::try_from(changes.taken_scopes.len()).unwrap();
    assert!(not_before.unwrap().as_micros() - LATE >= told_from - 1);
}

proptest! {
    /// Whatever ends in whatever order: each session is named, or its user is from a time on that covers it, or all tokens are.
    #[test]
    fn nothing_that_has_ended_is_left_out(
        ends in proptest::collection::vec((0_u128..60, 0_u128..3, 0_i64..100), 0..200),
    ) {
        let mut history = History::default();
        for (batch, (id, user, time)) in (1..).zip(&ends) {
            // A session has one user.
            let user = user * 1_000;
            history.note(&session(id + user + 1, user, "stock"), when(*time, batch));
        }
        let Selected { changes, not_before } = select(&history, &told("stock", Kinds::ALL), Since::All);
        prop_assert_eq!(not_before, None);
        for (id, user, time) in &ends {
            let (id, user) = (Uuid::from_u128(id + user * 1_000 + 1), Uuid::from_u128(user * 1_000));
            let by_user = changes.ended_user_sessions.iter().any(|many| {
                many.id == user && many.time.as_micros() >= *time
            });
            prop_assert!(changes.ended_sessions.contains(&id) || by_user);
        }
    }
}
