//! Owns what a pool says of itself, and whose place goes to whom.

use std::io;

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{
    admission::{Bounds, CallBounds, CallSource, Nobody, Resources, SetBounds},
    base::Timestamp,
    model::Network,
};

/// A pool with 16 places of strangers, 4 of them one peer's.
fn pool(clock: &Clock) -> Pool {
    let resources = Resources {
        memory_budget: 1 << 30,
        reserved_bytes: 0,
        max_header_bytes: 16_384,
        max_message_bytes: 65_536,
        open_files: None,
        listeners: 1,
    };
    let all = Bounds::new(&resources, &SetBounds { max_in_flight_calls: Some(16), ..SetBounds::default() });
    let second = Duration::from_secs(1);
    let call = CallBounds {
        message_bytes: 65_536,
        receive_timeout: second,
        request_timeout: second,
        stream_age: second,
    };
    Pool::new("grpc", PoolBounds::derived(&all, &call), clock.clone(), Arc::new(Nobody))
}

fn peer(address: &str) -> Holders {
    let peer = Some(Network::of(address.parse().unwrap()));
    Holders::of(&CallSource::of(peer, &http::Extensions::new()))
}

fn take(pool: &Pool, lane: Lane, holders: Holders) -> Option<Place> {
    pool.take_until(lane, holders, Deadline::after(Duration::from_mins(1)), None)
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn that_it_is_full_is_told_once_a_minute_with_the_busiest_peer() {
    let clock = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let (pool, log) = (pool(&clock), Log::default());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _busy: Vec<_> = (0..4).map(|_| take(&pool, Lane::Strangers, peer("192.0.2.1")).unwrap()).collect();
    let _other = take(&pool, Lane::Strangers, peer("192.0.2.2")).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..3 {
            for _ in 0..100 {
                assert!(take(&pool, Lane::Strangers, peer("192.0.2.1")).is_none());
                let _refused = pool.refuse(Lane::Strangers);
                clock.advance(Duration::from_millis(500));
            }
            clock.advance(Duration::from_secs(10));
        }
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let told: Vec<_> = text.lines().filter(|line| line.contains("calls are refused")).collect();
    assert_eq!(told.len(), 3, "in three minutes: {text}");
    for said in
        ["WARN", "listener=\"grpc\"", "lane=\"strangers\"", "busiest_peer=192.0.2.1", "busiest_peer_holds=4"]
    {
        assert!(told[0].contains(said), "{said}: {}", told[0]);
    }
    assert!(told[1].contains("refused_since_last_told=99"), "{}", told[1]);
    assert_eq!(pool.usage(Lane::Strangers), (5, 300));
}

#[test]
fn who_finds_no_place_to_watch_is_told_so_and_comes_back_seconds_later_each_at_a_time_of_its_own() {
    let pool = pool(&Clock::manual(Timestamp::from_micros(1_000_000_000)));
    let refusals = (0..10).map(|_| match pool.refuse(Lane::Watchers) {
        Error::Overloaded { what, retry_after } if what.contains("--max-watchers") => retry_after,
        other => panic!("{other}"),
    });
    let times: std::collections::BTreeSet<_> = refusals.collect();
    assert_eq!(times.len(), 10, "{times:?}");
    assert!(times.iter().all(|time| (5..10).contains(&time.as_secs())), "{times:?}");
    assert!(matches!(
        pool.refuse(Lane::Streams),
        Error::Overloaded { what: "calls in flight", retry_after: RETRY_AFTER }
    ));
}

#[test]
fn the_oldest_message_on_its_way_gives_its_place_away_and_takes_nothing_back() {
    let clock = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let pool = pool(&clock);
    let lane = Lane::ArrivingStrangers;
    let all = usize::try_from(pool.limit(lane)).unwrap();
    let address = |number: usize| format!("192.0.{}.{}", number / 200, number % 200);
    let mut places: Vec<_> =
        (0..all).map(|number| take(&pool, lane, peer(&address(number))).unwrap()).collect();
    for number in all..3 * all {
        places.push(take(&pool, lane, peer(&address(number))).unwrap());
    }
    let gone = |place: &Place| place.arrival.as_ref().unwrap().1.is_cancelled();
    assert!(places[..2 * all].iter().all(gone) && !places[2 * all..].iter().any(gone));
    // One that was given away gives back nothing, and its share is its peer's again.
    drop(places.drain(..2 * all));
    assert_eq!(pool.usage(lane).0, pool.limit(lane));
    // Whoever has used up its share takes no other's.
    let greedy = pool.limit(lane) / 4;
    let _greedy: Vec<_> = (0..greedy).map(|_| take(&pool, lane, peer("198.51.100.1")).unwrap()).collect();
    assert!(take(&pool, lane, peer("198.51.100.1")).is_none());
    drop(places);
    assert_eq!(pool.usage(lane).0, greedy);
}
