//! Owns the tests of pacing: who waits while hashes are overdue, by a clock that a hand turns.

use std::net::IpAddr;

use futures_util::FutureExt;
use http_body_util::Empty;
use hyper::body::Bytes;

use super::*;
use crate::model::{Clock, Timestamp};

/// Pacing by a clock that stands, with hashes that are overdue.
struct Hand {
    clock: Clock,
    overdue: Overdue,
    pacing: Pacing,
}

impl Hand {
    fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_micros(1_000_000_000));
        let overdue = Overdue::new(clock.clone());
        overdue.expect(Some(clock.monotonic()));
        let pacing = Pacing::with_longest_wait(overdue.clone(), Duration::from_hours(1));
        Self { clock, overdue, pacing }
    }

    fn pace(&self, address: &str) -> Pace {
        self.pacing.of(ConnectionHandle::new(self.clock.clone()), network(address))
    }

    /// The same of a proxy.
    fn proxys(&self, address: &str) -> Pace {
        self.pacing.of(ConnectionHandle::new_of_many(self.clock.clone()), network(address))
    }
}

fn network(address: &str) -> Network {
    Network::of(address.parse::<IpAddr>().unwrap())
}

/// How many requests of `sender` go on before one waits.
fn requests(pace: &Pace, sender: &str) -> usize {
    let sender = network(sender);
    (0..100_000).take_while(|_| pace.request(sender, REQUEST_COST).now_or_never().is_some()).count()
}

#[tokio::test]
async fn who_asks_for_much_waits_and_others_do_not() {
    let hand = Hand::new();
    let pace = hand.pace("192.0.2.1");
    // The last one begins a debt, and is not in it yet.
    assert_eq!(requests(&pace, "192.0.2.1"), 257);
    assert!(pace.must_wait());
    let other_connection = hand.pace("192.0.2.1");
    assert!(other_connection.must_wait() && other_connection.greet(false).now_or_never().is_none());
    let other = hand.pace("192.0.2.2");
    assert!(!other.must_wait() && other.greet(true).now_or_never().is_some());
    assert_eq!(hand.pacing.waits(), 2);
    // Two units are one request, and a millisecond.
    hand.clock.advance(Duration::from_millis(10));
    assert_eq!(requests(&pace, "192.0.2.1"), 10);
}

#[tokio::test]
async fn nobody_waits_as_long_as_hashes_are_done_in_time() {
    let hand = Hand::new();
    let pace = hand.pace("192.0.2.1");
    pace.spend(100_000);
    hand.overdue.expect(Some(hand.clock.monotonic() + Duration::from_millis(1)));
    assert!(!pace.must_wait());
    hand.overdue.expect(None);
    assert!(!pace.must_wait() && pace.turn().now_or_never().is_some());
    let request = Request::new(Empty::<Bytes>::new());
    assert_eq!(pace.cost(&request), None);
    // What is spent meanwhile is not counted.
    pace.spend(u32::MAX);
    hand.clock.advance(LONGEST_DEBT);
    hand.overdue.expect(Some(hand.clock.monotonic()));
    assert_eq!(pace.cost(&request), Some(REQUEST_COST));
    assert!(!pace.must_wait());
}

#[tokio::test]
async fn who_waits_goes_on_when_the_hashes_are_done() {
    let hand = Hand::new();
    let pace = hand.pace("192.0.2.1");
    pace.spend(100_000);
    let waiting = tokio::spawn(async move { pace.turn().await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    hand.overdue.expect(None);
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_long() {
    let hand = Hand::new();
    let pacing = Pacing::with_longest_wait(hand.overdue.clone(), Duration::ZERO);
    let pace = pacing.of(ConnectionHandle::new(hand.clock.clone()), network("192.0.2.1"));
    pace.spend(100_000);
    assert!(pace.must_wait());
    pace.turn().await;
    assert!(pace.must_wait(), "the clock stands, and the debt is not paid");
}

#[tokio::test]
async fn a_connection_that_has_shown_a_good_token_does_not_wait() {
    let hand = Hand::new();
    let known = hand.pace("192.0.2.1");
    known.connection.note_verified();
    hand.pace("192.0.2.1").spend(100_000);
    assert!(!known.must_wait());
    assert_eq!(requests(&known, "192.0.2.1"), 100_000);
}

#[tokio::test]
async fn a_proxy_has_the_pace_of_many_and_those_whom_it_names_have_their_own() {
    let hand = Hand::new();
    let proxy = hand.proxys("192.0.2.1");
    proxy.spend(OF_PROXY.at_once);
    assert!(!proxy.must_wait());
    proxy.connection.note_verified();
    assert_eq!(requests(&proxy, "198.51.100.1"), 257, "whoever has shown a token there");
    assert_eq!(requests(&proxy, "198.51.100.2"), 257);
}

#[tokio::test]
async fn a_site_has_the_pace_of_four_networks() {
    let hand = Hand::new();
    let spent = |address: String| requests(&hand.pace(&address), &address);
    let all: usize = (0..100).map(|number| spent(format!("2001:db8:1:{number}::1"))).sum();
    // Each network that the site still lets begin goes into debt by a request.
    assert!((1_025..=1_032).contains(&all), "{all}");
    assert_eq!(spent("2001:db8:2::1".to_owned()), 257);
}

#[test]
fn a_large_request_costs_as_much_as_many() {
    let hand = Hand::new();
    let request = Request::builder().header("x-large", "a".repeat(10 * 1_024)).body(Empty::<Bytes>::new());
    assert_eq!(hand.pace("192.0.2.1").cost(&request.unwrap()), Some(REQUEST_COST + 10));
}
