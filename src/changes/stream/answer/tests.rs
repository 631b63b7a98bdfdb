//! Owns what answers must hold to: nothing that has ended is left out without a time before which no token counts.

use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::{super::told::EndedUser, *};
use crate::{
    changes::stream::{Kinds, audiences::WatchedAudiences, event::Taken, log::Log},
    model::{AudienceName, ClientId, NameSet},
};

const LATE: i64 = 6_000_000;

const PLENTY: usize = 64 * 1_024 * 1_024;

/// Writes nothing but how many things are told.
struct Counted;

impl Encode for Counted {
    fn encode(&self, position: Option<&[u8]>, part: &Part) -> Bytes {
        let (Part::Snapshot { changes, .. } | Part::Changes(changes)) = part else { return Bytes::new() };
        let mut bytes = u32::try_from(changes.ended_sessions.len()).unwrap().to_be_bytes().to_vec();
        bytes.resize(4 + position.map_or(0, <[u8]>::len), 0);
        bytes.into()
    }
}

fn answers(most: usize) -> Answers {
    let settings = StreamSettings {
        own: NameSet::parse("idp").unwrap(),
        token_life: Duration::from_mins(15),
        leeway: Duration::from_secs(5),
        cache_max_age: Duration::from_secs(1),
    };
    Answers::new(settings, Arc::new(Counted), most)
}

fn interest(audiences: &str, kinds: Kinds) -> Interest {
    let names = answers(PLENTY).names;
    Interest { audiences: WatchedAudiences::new(names.of(&NameSet::parse(audiences).unwrap())), kinds }
}

fn at(audiences: &str) -> Arc<[AudienceName]> {
    answers(PLENTY).names.of(&NameSet::parse(audiences).unwrap()).into()
}

fn when(time: i64, batch: u64) -> When {
    When { time: Timestamp::from_micros(time), batch }
}

fn session(id: u128, user: u128, audiences: &str) -> Event {
    Event::Session { id: Uuid::from_u128(id), user: Some(Uuid::from_u128(user)), at: Some(at(audiences)) }
}

fn of_2_000_sessions() -> Log {
    let mut log = Log::new(PLENTY);
    for number in 0..2_000_u32 {
        log.add(session(number.into(), number.into(), "stock"), when(1, 1));
    }
    log
}

/// What `client` asks for that follows all that happens at stock.
fn asked(log: &Log, client: u128, since: Since) -> AnswerRequest {
    AnswerRequest {
        client: Uuid::from_u128(client),
        interest: interest("stock", Kinds::ALL),
        since,
        view: log.view(),
        batch: 1,
        position: vec![0; 100],
    }
}

fn taken(audience: &str, scopes: &str) -> Event {
    let (audience, scopes) = (AudienceName::parse(audience).unwrap(), NameSet::parse(scopes).unwrap());
    Event::Scopes(Box::new(Taken { subject: None, client: None, audience, scopes }))
}

fn selected(log: &Log, interest: &Interest, since: Since) -> Selected {
    select(interest, &log.view(), since, &answers(PLENTY))
}

fn compacted(log: &mut Log, keep: i64) {
    let view = log.sealed();
    let compacted = view.compact(Timestamp::from_micros(keep), log.most_bytes());
    log.replace(&view, compacted);
}

#[test]
fn of_a_user_twenty_sessions_are_named_and_beyond_that_a_time() {
    let mut log = Log::new(PLENTY);
    for number in 1..=20_u8 {
        log.add(session(number.into(), 1, "stock"), when(number.into(), 1));
    }
    log.add(session(100, 2, "stock"), when(5, 1));
    let all = interest("stock", Kinds::ALL);
    let changes = selected(&log, &all, Since::All).changes;
    assert_eq!((changes.ended_sessions.len(), changes.ended_user_sessions.len()), (21, 0));
    log.add(session(20, 1, "stock"), when(20, 2));
    assert_eq!(selected(&log, &all, Since::All).changes.ended_sessions.len(), 21, "it is known");
    log.add(session(21, 1, "stock"), when(21, 2));
    for _ in 0..2 {
        let changes = selected(&log, &all, Since::All).changes;
        let named: BTreeSet<_> = changes.ended_sessions.iter().map(Uuid::as_u128).collect();
        assert_eq!(named, (2..=21).chain([100]).collect(), "the latest, and another's");
        let many = EndedUser { subject: Uuid::from_u128(1), time: Timestamp::from_micros(1 + LATE) };
        assert_eq!(changes.ended_user_sessions, [many], "up to when the others ended");
        compacted(&mut log, 0);
        assert_eq!(log.view().entries().count(), 22);
    }
    log.add(session(22, 1, "stock"), when(30, 3));
    let changes = selected(&log, &all, Since::All).changes;
    assert_eq!(changes.ended_user_sessions[0].time, Timestamp::from_micros(2 + LATE));
    let changes = selected(&log, &all, Since::Batch(2)).changes;
    assert_eq!(changes.ended_sessions, [Uuid::from_u128(22)], "who goes on knows the others");
}

#[test]
fn who_watches_an_audience_is_told_of_it_alone_and_of_what_is_nobodys() {
    let mut log = Log::new(PLENTY);
    log.add(session(1, 1, "stock"), when(1, 1));
    log.add(session(2, 2, "orders"), when(1, 1));
    log.add(Event::Session { id: Uuid::from_u128(3), user: None, at: None }, when(1, 1));
    log.add(Event::Client { id: ClientId(Uuid::from_u128(4)), at: Some(at("orders stock")) }, when(1, 1));
    for audience in ["stock", "orders"] {
        log.add(taken(audience, "write"), when(1, 1));
    }
    let changes = selected(&log, &interest("stock", Kinds::ALL), Since::All).changes;
    let sessions: BTreeSet<_> = changes.ended_sessions.iter().map(Uuid::as_u128).collect();
    assert_eq!(sessions, BTreeSet::from([1, 3]));
    assert_eq!(changes.ended_clients.len(), 1);
    let told_of: Vec<_> = changes.taken_scopes.iter().map(|taken| taken.audience.as_str()).collect();
    assert_eq!(told_of, ["stock"]);
    let clients = selected(&log, &interest("stock", Kinds::of([Kind::Clients])), Since::All).changes;
    assert!(clients.ended_sessions.is_empty() && clients.taken_scopes.is_empty());
    assert_eq!(clients.ended_clients.len(), 1);
}

#[test]
fn what_was_told_before_is_not_told_again_and_keys_are_told_to_those_alone_who_go_on() {
    let mut log = Log::new(PLENTY);
    log.add(session(1, 1, "stock"), when(10, 1));
    log.add(Event::Keys, when(20, 2));
    log.add(Event::Policy { key: AudienceName::parse("stock").unwrap().key() }, when(30, 3));
    let stock = interest("stock", Kinds::ALL);
    let snapshot = selected(&log, &stock, Since::All).changes;
    assert_eq!((snapshot.ended_sessions.len(), snapshot.keys_changed), (1, false));
    let later = selected(&log, &stock, Since::Batch(1)).changes;
    assert!(later.ended_sessions.is_empty() && later.keys_changed);
    assert_eq!(later.changed_policies, ["stock"]);
    let by_time = selected(&log, &stock, Since::Time(Timestamp::from_micros(30))).changes;
    assert!(!by_time.keys_changed && by_time.changed_policies == ["stock"]);
    assert!(selected(&log, &interest("orders", Kinds::ALL), Since::Batch(2)).changes.is_empty());
}

#[test]
fn what_no_living_token_can_have_been_issued_before_is_forgotten() {
    let mut log = Log::new(PLENTY);
    log.add(session(1, 1, "stock"), when(10, 1));
    log.add(session(2, 1, "stock"), when(20, 1));
    compacted(&mut log, 15);
    let changes = selected(&log, &interest("stock", Kinds::ALL), Since::All).changes;
    assert_eq!(changes.ended_sessions, [Uuid::from_u128(2)]);
    assert!(log.knows(Since::Batch(0)));
}

#[test]
fn beyond_what_is_remembered_all_older_tokens_are_refused_and_only_those_who_lack_it_begin_anew() {
    let mut log = Log::new(64 * 1_024);
    let users = 1_200_u32;
    for user in 1..=users {
        log.add(session(user.into(), user.into(), "stock"), when(user.into(), user.into()));
    }
    assert!(log.is_full());
    compacted(&mut log, 0);
    assert!(!log.is_full());
    let scopes = interest("stock", Kinds::of([Kind::Scopes]));
    assert!(selected(&log, &scopes, Since::All).not_before.is_some(), "scopes may have been forgotten, too");
    let keys = interest("stock", Kinds::of([Kind::Keys]));
    assert_eq!(selected(&log, &keys, Since::All).not_before, None);
    let Selected { changes, not_before, .. } = selected(&log, &interest("stock", Kinds::ALL), Since::All);
    let cut = u128::try_from(not_before.unwrap().as_micros() - LATE - 1_000_000).unwrap();
    let named: BTreeSet<_> = changes.ended_sessions.iter().map(Uuid::as_u128).collect();
    assert!((1..=users.into()).all(|user| user <= cut || named.contains(&user)));
    assert!(cut > 0 && cut < users.into());
    let cut = u64::try_from(cut).unwrap();
    assert!(log.knows(Since::Batch(cut)) && !log.knows(Since::Batch(cut - 1)));
    let time = |micros: u64| Timestamp::from_micros(micros.cast_signed());
    assert!(log.knows(Since::Time(time(cut + 1))) && !log.knows(Since::Time(time(cut))));
    compacted(&mut log, i64::from(users));
    assert!(log.knows(Since::Batch(0)), "no such token lives any more");
}

#[test]
fn keys_that_are_forgotten_revoke_no_token() {
    let mut log = Log::new(64 * 1_024);
    log.add(Event::Keys, when(5_000, 1));
    for user in 1..=1_200_u32 {
        log.add(session(user.into(), user.into(), "stock"), when(user.into(), 2));
    }
    compacted(&mut log, 0);
    assert!(!log.knows(Since::Batch(0)), "whoever was not told of them begins anew");
    let not_before = selected(&log, &interest("stock", Kinds::ALL), Since::All).not_before.unwrap();
    assert!(not_before.as_micros() - LATE - 1_000_000 < 1_200);
}

#[test]
fn a_snapshot_beyond_its_bound_tells_the_newest_and_a_time_and_whoever_goes_on_is_not_told_a_part() {
    let mut log = Log::new(PLENTY);
    for number in 0..18_000 {
        log.add(taken("stock", &format!("{number}.{}", "x".repeat(900))), when(number, 1));
    }
    let all = interest("stock", Kinds::ALL);
    let Selected { changes, not_before, .. } = selected(&log, &all, Since::All);
    let bytes: usize = changes.taken_scopes.iter().map(|taken| taken.scopes.as_str().len()).sum();
    assert!(bytes < SNAPSHOT_BYTES && bytes > SNAPSHOT_BYTES * 8 / 10);
    let told_from = 18_000 - i64::try_from(changes.taken_scopes.len()).unwrap();
    assert!(not_before.unwrap().as_micros() - LATE >= told_from - 1);
    let answers = answers(PLENTY);
    assert_eq!(answers.make(&asked(&log, 0, Since::Batch(0))).unwrap_err(), NoAnswer::Past);
    assert!(answers.make(&asked(&log, 0, Since::All)).unwrap().is_cut);
}

#[test]
fn answers_that_nobody_reads_take_so_much_and_no_more() {
    let log = of_2_000_sessions();
    let asked = || asked(&log, 0, Since::All);
    let answers = answers(200);
    let first = answers.make(&asked()).unwrap();
    let told = |message: &Bytes| u32::from_be_bytes(message[..4].try_into().unwrap());
    assert_eq!(first.messages.iter().map(told).sum::<u32>(), 2_000);
    assert_eq!(answers.make(&asked()).unwrap_err(), NoAnswer::Room);
    drop(first);
    assert!(answers.make(&asked()).is_ok());
}

proptest! {
    /// Whatever ends in whatever order, and is made smaller whenever: each session is named, or its user is from a time on that covers it.
    #[test]
    fn nothing_that_has_ended_is_left_out(
        ends in proptest::collection::vec((0_u128..60, 0_u128..3, 0_i64..100, any::<bool>()), 0..200),
    ) {
        let mut log = Log::new(PLENTY);
        for (batch, (id, user, time, compacts)) in (1..).zip(&ends) {
            // A session has one user.
            let user = user * 1_000;
            log.add(session(id + user + 1, user, "stock"), when(*time, batch));
            if *compacts {
                compacted(&mut log, 0);
            }
        }
        let Selected { changes, not_before, .. } = selected(&log, &interest("stock", Kinds::ALL), Since::All);
        prop_assert_eq!(not_before, None);
        for (id, user, time, _) in &ends {
            let (id, user) = (Uuid::from_u128(id + user * 1_000 + 1), Uuid::from_u128(user * 1_000));
            let by_user = changes.ended_user_sessions.iter().any(|many| {
                many.subject == user && many.time.as_micros() >= *time
            });
            prop_assert!(changes.ended_sessions.contains(&id) || by_user);
        }
    }
}

#[test]
fn one_client_leaves_room_to_others() {
    let log = of_2_000_sessions();
    let asked = |client| asked(&log, client, Since::All);
    // Two of these take more than a quarter.
    let answers = answers(300_000);
    let first = answers.make(&asked(1)).unwrap();
    assert_eq!(answers.make(&asked(1)).unwrap_err(), NoAnswer::Room);
    let _other = answers.make(&asked(2)).unwrap();
    drop(first);
    answers.make(&asked(1)).unwrap();
}

#[test]
fn a_user_at_many_sets_of_audiences_is_remembered_in_few_entries() {
    let mut log = Log::new(PLENTY);
    for set in 1..1_024_u32 {
        let names: Vec<_> =
            (0..10).filter(|bit| set >> bit & 1 == 1).map(|bit| format!("service-{bit}")).collect();
        for twice in 0..2 {
            log.add(session((set * 2 + twice).into(), 7, &names.join(" ")), when(i64::from(set), 1));
        }
    }
    let kept = log.sealed();
    let compacted = kept.compact(Timestamp::from_micros(0), PLENTY);
    log.replace(&kept, compacted);
    let left: Vec<_> = log.view().entries().cloned().collect();
    assert_eq!(left.len(), 201);
    let others = left.iter().filter(|entry| matches!(entry.event, Event::UserSessions { .. }));
    assert_eq!(others.map(|entry| entry.when.time.as_micros()).collect::<Vec<_>>(), [1_023 - 100]);
}
