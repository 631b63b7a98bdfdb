//! Owns the tests of who has a place for a connection, and who gives it up.

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    search::{ENOUGH_LOOKED_AT, MOMENT, SEARCH_INTERVAL},
    *,
};
use crate::{
    admission::OpenCall,
    base::{Clock, Timestamp},
    model::{SessionId, Subject, UserId},
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

fn places(max: usize, max_per_peer: usize) -> (ConnectionPlaces, Clock) {
    let places = ConnectionPlaces {
        max,
        max_per_peer,
        max_per_site: 2 * max_per_peer,
        renews: false,
        stale_after: REQUEST_TIMEOUT,
        protections: Protections::new(max),
        open: Arc::default(),
        freed: Arc::default(),
    };
    (places, Clock::manual(Timestamp::from_micros(0)))
}

fn network(address: &str) -> Network {
    Network::of(address.parse().unwrap())
}

/// A connection of `address`, and its place.
fn connect(
    places: &ConnectionPlaces,
    clock: &Clock,
    address: &str,
) -> Result<(ConnectionHandle, ConnectionPlace), NoPlace> {
    let connection = ConnectionHandle::new(clock.clone());
    let place = places.take(network(address), PeerShare::Ordinary, &connection)?;
    Ok((connection, place))
}

/// The user with this number, whose account is old.
fn user(number: u128) -> Subject {
    Subject::User(UserId(Uuid::from_u128(number)), SessionId(Uuid::from_u128(number)))
}

/// A call on `connection` that is served, and whose answer is read.
fn call_once(connection: &ConnectionHandle) {
    let mut call = connection.call();
    let served = call.handle().serve();
    call.answered();
    call.completed();
    drop(served);
}

#[test]
fn a_peer_has_its_share_and_a_site_twice_as_many() {
    let (places, clock) = places(100, 3);
    let mut held = Vec::new();
    for (address, count) in [
        ("192.0.2.1", 3),
        ("192.0.2.2", 3),
        ("2001:db8:0:1::1", 3),
        ("2001:db8:0:2::1", 3),
        ("2001:db8:0:3::1", 0),
    ] {
        let taken: Vec<_> = std::iter::from_fn(|| connect(&places, &clock, address).ok()).take(50).collect();
        assert_eq!(taken.len(), count, "{address}");
        held.push(taken);
    }
    let last = held.remove(0).pop();
    assert_eq!(connect(&places, &clock, "::ffff:192.0.2.1").map(|_| ()), Ok(()), "one has gone");
    drop(last);
    let proxy = ConnectionHandle::new(clock);
    let taken: Vec<_> = (0..10).map(|_| places.take(network("192.0.2.2"), PeerShare::All, &proxy)).collect();
    assert!(taken.iter().all(Result::is_ok), "who speaks for many has all");
}

#[test]
fn when_places_run_short_the_idlest_of_the_peer_with_most_ends() {
    let (places, clock) = places(32, 32);
    let mut held = Vec::new();
    for address in [&["192.0.2.1", "192.0.2.2", "192.0.2.2"][..], &["192.0.2.3"; 9]].concat() {
        clock.advance(Duration::from_secs(1));
        held.push(connect(&places, &clock, address).unwrap());
    }
    // The oldest of the peer with most has just answered, and the next has a call in flight.
    call_once(&held[3].0);
    let call = held[4].0.call();
    let served = call.handle().serve();
    let rest: Vec<_> =
        (0..16).map(|host| connect(&places, &clock, &format!("198.51.100.{host}")).unwrap()).collect();
    assert!(held.iter().chain(&rest).all(|(connection, _)| !connection.is_retired()), "there was room");

    let which = |is: fn(&ConnectionHandle) -> bool| -> Vec<usize> {
        (0..held.len()).filter(|index| is(&held[*index].0)).collect()
    };
    let next = connect(&places, &clock, "203.0.113.1").unwrap();
    assert_eq!(which(ConnectionHandle::is_retired), [5]);
    let after = connect(&places, &clock, "203.0.113.2").unwrap();
    assert_eq!(which(ConnectionHandle::is_retired), [5, 6]);
    assert!(which(ConnectionHandle::is_closed).is_empty());
    // Next to none are left: of those that were asked one is cut.
    let last = connect(&places, &clock, "203.0.113.3").unwrap();
    assert_eq!(which(ConnectionHandle::is_closed), [5]);
    assert!(rest.iter().chain([&next, &after, &last]).all(|(connection, _)| !connection.is_retired()));
    drop((call, served));
}

#[test]
fn no_more_are_asked_to_end_than_there_must_be_places() {
    let (places, clock) = places(64, 64);
    let mut held: Vec<_> =
        (0..56).map(|host| connect(&places, &clock, &format!("198.51.100.{host}")).unwrap()).collect();
    clock.advance(MOMENT);
    let retired = |held: &Vec<(ConnectionHandle, _)>| {
        held.iter().filter(|(connection, _)| connection.is_retired()).count()
    };
    held.push(connect(&places, &clock, "203.0.113.1").unwrap());
    assert_eq!(retired(&held), 1);
    // Strangers who come and go while it takes its time.
    for _ in 0..100 {
        drop(connect(&places, &clock, "203.0.113.2").unwrap());
    }
    assert!(retired(&held) <= 2, "{}", retired(&held));
}

#[test]
fn of_peers_with_few_connections_those_end_that_were_good_for_nothing() {
    let (places, clock) = places(64, 64);
    let used: Vec<_> = (0..4).map(|_| connect(&places, &clock, "192.0.2.1").unwrap()).collect();
    for (connection, _) in &used {
        call_once(connection);
    }
    clock.advance(Duration::from_secs(1));
    let strangers: Vec<_> =
        (0..52).map(|host| connect(&places, &clock, &format!("198.51.100.{host}")).unwrap()).collect();
    clock.advance(Duration::from_secs(1));
    let next = connect(&places, &clock, "203.0.113.1").unwrap();
    assert_eq!(strangers.iter().filter(|(connection, _)| connection.is_retired()).count(), 1);
    assert!(used.iter().chain([&next]).all(|(connection, _)| !connection.is_retired()));
}

#[test]
fn calls_that_have_only_begun_or_are_refused_keep_no_connection() {
    let (places, clock) = places(64, 64);
    let used: Vec<_> = (0..4).map(|_| connect(&places, &clock, "192.0.2.1").unwrap()).collect();
    for (connection, _) in &used {
        call_once(connection);
    }
    clock.advance(Duration::from_secs(1));
    let begun: Vec<_> = (0..52)
        .map(|host| {
            let (connection, place) = connect(&places, &clock, &format!("198.51.100.{host}")).unwrap();
            (0..20).for_each(|_| connection.call().answered());
            (connection.call(), connection, place)
        })
        .collect();
    clock.advance(MOMENT);
    connect(&places, &clock, "203.0.113.1").unwrap();
    assert_eq!(begun.iter().filter(|(_, connection, _)| connection.is_retired()).count(), 1);
    assert!(used.iter().all(|(connection, _)| !connection.is_retired()));
}

#[test]
fn who_has_just_come_has_the_time_to_make_a_call() {
    let (places, clock) = places(64, 64);
    let come = |network: &str, hosts: u8| -> Vec<_> {
        (0..hosts).filter_map(|host| connect(&places, &clock, &format!("{network}.{host}")).ok()).collect()
    };
    let before = come("198.51.100", 60);
    clock.advance(MOMENT);
    let after = come("203.0.113", 8);
    let has_ended =
        |(connection, _): &(ConnectionHandle, _)| connection.is_retired() || connection.is_closed();
    assert!(before.iter().any(has_ended) && !after.iter().any(has_ended));
}

#[test]
fn a_connection_with_calls_ends_only_if_it_has_answered_none_for_the_time_of_a_call() {
    let (places, clock) = places(16, 16);
    let mut held = Vec::new();
    for _ in 0..16 {
        let (connection, place) = connect(&places, &clock, "192.0.2.1").unwrap();
        let call = connection.call();
        let served = call.handle().serve();
        held.push((call, served, connection, place));
    }
    assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::Listener));
    clock.advance(REQUEST_TIMEOUT);
    assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::Listener));
    clock.advance(Duration::from_millis(1));
    held[1..].iter_mut().for_each(|(call, ..)| call.answered());
    assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::NotYet));
    assert!(held[0].2.is_closed(), "it holds calls that nobody answers");
    held.remove(0);
    connect(&places, &clock, "192.0.2.2").unwrap();
    assert_eq!(places.busiest(), Some((network("192.0.2.1"), 15)));
}

/// Connections of strangers that hold what they can: two calls each, whose answers they do not read, and others that are refused.
fn hold_unread(
    places: &ConnectionPlaces,
    clock: &Clock,
    count: u8,
) -> Vec<(ConnectionHandle, impl Sized + use<>)> {
    let stranger = |host| {
        let (connection, place) = connect(places, clock, &format!("198.51.100.{host}")).unwrap();
        let mut calls = [connection.call(), connection.call()];
        let served = calls.each_ref().map(|call| call.handle().serve());
        calls.iter_mut().for_each(OpenCall::answered);
        (connection, (calls, served, place))
    };
    (0..count).map(stranger).collect()
}

#[test]
fn who_leaves_answers_unread_ends_before_those_who_call_and_read() {
    let (places, clock) = places(64, 64);
    let strangers = hold_unread(&places, &clock, 54);
    clock.advance(MOMENT);
    let kept: Vec<_> = (0..4).map(|_| connect(&places, &clock, "192.0.2.1").unwrap()).collect();
    for _ in 0..10 {
        clock.advance(MOMENT / 2);
        for (connection, _) in &strangers {
            // Its other calls are refused: that is an answer, but it serves nobody.
            connection.call().answered();
        }
        for (connection, _) in &kept {
            call_once(connection);
            let (fresh, place) = connect(&places, &clock, "192.0.2.1").unwrap();
            call_once(&fresh);
            assert!(!fresh.is_retired() && !fresh.is_closed());
            drop(place);
        }
    }
    assert!(kept.iter().all(|(connection, _)| !connection.is_retired() && !connection.is_closed()));
    assert!(strangers.iter().any(|(connection, _)| connection.is_retired()));
}

#[test]
fn who_has_shown_a_token_ends_after_all_others_but_those_who_have_just_come() {
    let (places, clock) = places(64, 64);
    let (known, _known_place) = connect(&places, &clock, "192.0.2.1").unwrap();
    known.note_caller(user(1));
    call_once(&known);
    let mut strangers: Vec<_> = (0..63)
        .map(|host| {
            let (connection, place) = connect(&places, &clock, &format!("198.51.100.{host}")).unwrap();
            (0..20).for_each(|_| call_once(&connection));
            (connection, place)
        })
        .collect();
    clock.advance(2 * MOMENT);
    let mut fresh = Vec::new();
    for host in 0..40 {
        strangers.retain(|(connection, _)| !connection.is_closed());
        for (connection, _) in &strangers {
            call_once(connection);
        }
        match connect(&places, &clock, &format!("203.0.113.{host}")) {
            Ok((connection, place)) => {
                let call = connection.call();
                fresh.push((call.handle().serve(), call, connection, place));
            }
            Err(why) => assert_eq!(why, NoPlace::NotYet),
        }
    }
    assert!(!known.is_retired() && !known.is_closed());
    assert!(fresh.len() > 20, "{} of them have come", fresh.len());
    assert!(fresh.iter().all(|(_, _, connection, _)| !connection.is_retired() && !connection.is_closed()));
}

#[test]
fn one_account_keeps_no_more_connections_than_its_share() {
    let (places, clock) = places(64, 64);
    let mut held: Vec<_> = (0..64)
        .map(|host| {
            let (connection, place) = connect(&places, &clock, &format!("198.51.100.{host}")).unwrap();
            connection.note_caller(user(1));
            let call = connection.call();
            (call.handle().serve(), call, connection, place)
        })
        .collect();
    // All of them go on being read.
    let mut come = 0;
    for host in 0..60 {
        clock.advance(MOMENT / 4);
        held.retain_mut(|(_, call, connection, _)| {
            call.answered();
            !connection.is_closed()
        });
        come += usize::from(connect(&places, &clock, &format!("203.0.113.{host}")).is_ok());
    }
    assert!(come > 50, "{come}");
    let kept = held.iter().filter(|(_, _, connection, _)| !connection.is_retired()).count();
    assert!((4..60).contains(&kept), "{kept}");
}

#[test]
fn a_peer_gives_up_for_itself_where_no_token_was_shown_for_longest() {
    let (places, clock) = places(64, 4);
    let places = places.renewing();
    let come = |address: &str| {
        clock.advance(Duration::from_millis(1));
        match connect(&places, &clock, address) {
            Err(NoPlace::NotYet) => None,
            taken => Some(taken.unwrap()),
        }
    };
    let mut held: Vec<_> = (0..4).map(|_| come("192.0.2.1").unwrap()).collect();
    // The oldest has shown one, and the next is worked for.
    held[0].0.note_caller(user(1));
    let working = held[1].0.call();
    let served = working.handle().serve();
    assert!(come("192.0.2.1").is_none());
    let cut = |held: &[(ConnectionHandle, _)]| -> Vec<bool> {
        held.iter().map(|(connection, _)| connection.is_closed()).collect()
    };
    assert_eq!(cut(&held), [false, false, true, false]);
    // One ends for it, and no second.
    assert!(come("192.0.2.1").is_none());
    assert_eq!(cut(&held), [false, false, true, false]);
    held.remove(2);
    held.push(come("192.0.2.1").unwrap());
    for _ in 0..8 {
        assert!(come("192.0.2.1").is_none());
        held.retain(|(connection, _)| !connection.is_closed());
        held.push(come("192.0.2.1").unwrap());
    }
    // Whoever shows a token ends last, and among them whoever did so last.
    held[3].0.note_caller(user(2));
    drop((served, working));
    for left in [3, 2] {
        assert!(come("192.0.2.1").is_none());
        held.retain(|(connection, _)| !connection.is_closed());
        assert_eq!(held.len(), 3);
        held.push(come("192.0.2.1").unwrap());
        held.last().unwrap().0.note_caller(user(left));
    }
    assert!(come("192.0.2.1").is_none());
    assert_eq!(cut(&held), [true, false, false, false]);
    assert!(come("192.0.2.2").is_some(), "others have their own");
}

#[test]
fn a_flood_does_not_buy_a_look_at_all_connections_with_each_of_its_own() {
    let count = 2 * ENOUGH_LOOKED_AT;
    let (places, clock) = places(count, count);
    let mut held = Vec::new();
    for _ in 0..count {
        let (connection, place) = connect(&places, &clock, "192.0.2.1").unwrap();
        let call = connection.call();
        held.push((call.handle().serve(), call, connection, place));
    }
    clock.advance(2 * MOMENT);
    assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::Listener));
    // It has nothing to do any more, which is not looked for again at once.
    let (served, call, idle, _place) = held.remove(0);
    drop((served, call));
    assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::Listener));
    assert!(!idle.is_closed());
    clock.advance(SEARCH_INTERVAL);
    assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::NotYet));
    assert!(idle.is_closed());
}

#[test]
fn however_many_connections_a_peer_uses_the_idle_ones_of_others_are_found() {
    let (places, clock) = places(4_096, 4_096);
    let gateway = network("192.0.2.1");
    let mut used = Vec::new();
    for _ in 0..ENOUGH_LOOKED_AT {
        let connection = ConnectionHandle::new(clock.clone());
        let place = places.take(gateway, PeerShare::Ordinary, &connection).unwrap();
        let call = connection.call();
        used.push((call.handle().serve(), call, connection, place));
    }
    let mut idle = Vec::new();
    for host in 0..4_096 - ENOUGH_LOOKED_AT {
        let address = format!("198.51.{}.{}", host % 200 / 100, host % 100);
        idle.extend(connect(&places, &clock, &address));
    }
    clock.advance(MOMENT);
    let next = connect(&places, &clock, "203.0.113.1");
    assert!(idle.iter().any(|(connection, _)| connection.is_closed()), "{next:?}");
    assert!(used.iter().all(|(_, _, connection, _)| !connection.is_closed() && !connection.is_retired()));
}

proptest! {
    #[test]
    fn places_are_counted_right_whoever_comes_and_goes(
        max in 1_usize..40,
        steps in proptest::collection::vec((0_u8..4, any::<bool>(), any::<proptest::sample::Index>()), 0..200),
    ) {
        let (places, clock) = places(max, 7);
        let mut held = Vec::new();
        for (peer, goes, which) in steps {
            if goes && !held.is_empty() {
                held.swap_remove(which.index(held.len()));
            } else {
                held.extend(connect(&places, &clock, &format!("2001:db8:0:{peer}::1")));
                held.retain(|(connection, _)| !connection.is_closed());
            }
            let open = lock(&places.open);
            prop_assert_eq!(open.count, held.len());
            prop_assert!(open.count <= max);
            prop_assert_eq!(open.sites.values().sum::<usize>(), open.count);
            prop_assert_eq!(open.order.iter().map(|(_, count, _)| count).sum::<usize>(), open.count);
            prop_assert!(open.order.iter().all(|(_, count, _)| (1..=7).contains(count)));
        }
    }
}
