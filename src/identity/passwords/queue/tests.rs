//! Owns the tests of the hash queue: who goes next and who is refused, by a clock that a hand turns.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::model::Network;

const OWN: Duration = Duration::from_millis(30);
const BCRYPT_12: Duration = Duration::from_millis(200);
const MOMENT: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

fn size(threads: usize, queue: usize) -> PoolSize {
    PoolSize { threads, queue }
}

fn from(account: u64, address: &str) -> Sharers {
    let address: IpAddr = address.parse().unwrap();
    Sharers { account: Some(account), address: Some(Network::of(address)), turn: Turn::Fair }
}

fn own(sharers: Sharers) -> Demand {
    Demand { sharers, lane: Lane::Own, is_heavy: false, cost: OWN, until: PATIENCE }
}

fn imported(sharers: Sharers) -> Demand {
    Demand { lane: Lane::Imported, cost: BCRYPT_12, ..own(sharers) }
}

fn heavy(sharers: Sharers) -> Demand {
    Demand { is_heavy: true, ..imported(sharers) }
}

/// A queue, and a hand that turns its time.
struct Hand {
    queue: Queue<&'static str>,
    now: Duration,
}

impl Hand {
    fn new(threads: usize, queue: usize) -> Self {
        Self { queue: Queue::new(size(threads, queue)), now: Duration::ZERO }
    }

    fn admit(&mut self, job: &'static str, demand: Demand) -> Result<Option<&'static str>, Duration> {
        let admitted = self.queue.admit(self.now, job, demand, |_| true);
        admitted.map(|displaced| displaced.map(|displaced| displaced.job))
    }

    /// Begins the next job, if there is one.
    fn begin(&mut self) -> Option<(&'static str, Demand)> {
        let Waiting { job, demand } = self.queue.take(self.now, None)?;
        self.queue.begin(self.now, &demand);
        Some((job, demand))
    }

    /// Begins the next job and ends it after the time that the table says.
    fn serve(&mut self) -> Option<&'static str> {
        let (job, demand) = self.begin()?;
        self.now += demand.cost;
        self.queue.end(&demand, demand.cost);
        Some(job)
    }

    fn order(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.serve()).collect()
    }
}

#[test]
fn whoever_has_had_less_goes_first_by_address_and_by_account() {
    let mut hand = Hand::new(1, 64);
    for job in ["guess 1", "guess 2", "guess 3"] {
        hand.admit(job, own(from(1, "192.0.2.1"))).unwrap();
    }
    assert_eq!(hand.serve(), Some("guess 1"));
    hand.admit("other account, same address", own(from(2, "192.0.2.1"))).unwrap();
    hand.admit("same account, other address", own(from(1, "192.0.2.2"))).unwrap();
    hand.admit("somebody else", own(from(3, "192.0.2.3"))).unwrap();
    let order = hand.order();
    assert_eq!(order[0], "somebody else");
    // Both have had one hash before; the guesses have had it by both.
    assert_eq!(order[1..3], ["other account, same address", "same account, other address"]);
    assert_eq!(order[3..], ["guess 2", "guess 3"]);
}

#[test]
fn the_hosts_of_one_ipv6_site_share_its_turns() {
    let mut hand = Hand::new(1, 64);
    let hosts = ["2001:db8::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1", "2001:db8:0:5::1"];
    for (account, host) in (0..).zip(hosts) {
        hand.admit("site", own(from(account, host))).unwrap();
    }
    for _ in 0..4 {
        hand.serve();
    }
    hand.admit("another site", own(from(9, "2001:db8:1:1::1"))).unwrap();
    assert_eq!(hand.order(), ["another site", "site"]);
}

#[test]
fn the_deferred_go_last_and_go_first_when_there_is_no_room() {
    let mut hand = Hand::new(1, 2);
    let deferred = |address| Demand {
        sharers: Sharers { turn: Turn::Familiar, ..from(1, address) },
        ..own(from(1, address))
    };
    hand.admit("running", own(from(1, "192.0.2.1"))).unwrap();
    let (_, running) = hand.begin().unwrap();
    hand.admit("deferred", deferred("192.0.2.2")).unwrap();
    hand.admit("deferred too", deferred("192.0.2.3")).unwrap();
    // The busiest of all others goes before them.
    assert_eq!(hand.admit("running's next", own(from(1, "192.0.2.1"))), Ok(Some("deferred too")));
    assert!(hand.admit("deferred again", deferred("192.0.2.4")).is_err());
    hand.queue.end(&running, OWN);
    assert_eq!(hand.order(), ["running's next", "deferred"]);
}

/// A password from an address that may be everybody's, and that guesses come from.
fn deferred(turn: Turn, account: u64) -> Demand {
    own(Sharers { turn, ..from(account, "10.0.0.1") })
}

#[test]
fn among_the_deferred_familiar_accounts_go_by_what_they_have_had_and_all_others_as_they_come() {
    let mut hand = Hand::new(1, 64);
    for _ in 0..3 {
        hand.admit("alice", deferred(Turn::Familiar, 1)).unwrap();
        hand.serve();
    }
    hand.admit("carol, once", deferred(Turn::Last, 3)).unwrap();
    hand.serve();
    hand.admit("a made-up name", deferred(Turn::Last, 100)).unwrap();
    hand.admit("carol, again", deferred(Turn::Last, 3)).unwrap();
    hand.admit("another one", deferred(Turn::Last, 101)).unwrap();
    hand.admit("alice", deferred(Turn::Familiar, 1)).unwrap();
    hand.admit("bob", deferred(Turn::Familiar, 2)).unwrap();
    assert_eq!(hand.order(), ["bob", "alice", "a made-up name", "carol, again", "another one"]);
}

#[test]
fn in_a_full_queue_a_familiar_account_takes_the_place_of_the_last_that_came_and_a_made_up_name_that_of_nobody()
 {
    let mut hand = Hand::new(1, 2);
    hand.admit("running", deferred(Turn::Last, 100)).unwrap();
    hand.begin().unwrap();
    hand.admit("guess", deferred(Turn::Last, 101)).unwrap();
    hand.admit("another guess", deferred(Turn::Last, 102)).unwrap();
    assert!(hand.admit("one more", deferred(Turn::Last, 103)).is_err());
    assert_eq!(hand.admit("alice", deferred(Turn::Familiar, 1)), Ok(Some("another guess")));
    assert_eq!(hand.admit("bob", deferred(Turn::Familiar, 2)), Ok(Some("guess")));
    assert!(hand.admit("one more", deferred(Turn::Last, 104)).is_err());
}

/// How many hashes the slowest of 200 logins by `honest` took, the own one included, while a guesser behind the same ingress keeps 24
/// of `guess` waiting. One thread; every fourth hash at most is honest.
fn behind_the_ingress_of_a_guesser(honest: Demand, guess: impl Fn(u64) -> Demand) -> u32 {
    let (mut hand, mut guesses, mut slowest) = (Hand::new(1, 64), 1_000.., 0);
    let mut guess = |hand: &mut Hand| {
        while hand.queue.waiting()[0] < 24 {
            let demand = guess(guesses.next().unwrap());
            hand.admit("guess", Demand { until: hand.now + PATIENCE, ..demand }).unwrap();
        }
    };
    for _ in 0..200 {
        guess(&mut hand);
        hand.admit("honest", Demand { until: hand.now + PATIENCE, ..honest }).unwrap();
        let mut hashes = 1;
        while hand.serve().unwrap() != "honest" {
            hashes += 1;
            guess(&mut hand);
        }
        slowest = slowest.max(hashes);
        for _ in 0..3 {
            hand.serve();
            guess(&mut hand);
        }
    }
    slowest
}

#[test]
fn a_guesser_behind_the_same_ingress_holds_up_familiar_accounts_by_one_guess_and_others_by_those_that_came_before()
 {
    let (alice, stranger) = (deferred(Turn::Familiar, 1), deferred(Turn::Last, 2));
    let made_up = |number| deferred(Turn::Last, number);
    let at_one_account = |_| deferred(Turn::Last, 3);
    let at_a_familiar_one = |_| deferred(Turn::Familiar, 3);
    // One turn in eight is not by what an account has had.
    assert!(behind_the_ingress_of_a_guesser(alice, made_up) <= 2);
    assert!(behind_the_ingress_of_a_guesser(alice, at_one_account) <= 2);
    assert!(behind_the_ingress_of_a_guesser(alice, at_a_familiar_one) <= 2);
    assert_eq!(behind_the_ingress_of_a_guesser(stranger, made_up), 25);
    assert_eq!(behind_the_ingress_of_a_guesser(stranger, at_one_account), 25);
}

#[test]
fn one_turn_in_eight_goes_to_who_has_waited_longest() {
    let mut hand = Hand::new(1, 64);
    for _ in 0..4 {
        hand.admit("guess", own(from(1, "192.0.2.1"))).unwrap();
    }
    assert_eq!(hand.serve(), Some("guess"));
    let mut order = Vec::new();
    for stranger in 0..16 {
        hand.admit("stranger", own(from(100 + stranger, &format!("198.51.100.{stranger}")))).unwrap();
        order.push(hand.serve().unwrap());
    }
    assert_eq!(order.iter().filter(|job| **job == "guess").count(), 2);
}

#[test]
fn a_full_queue_has_the_greediest_go_for_the_modest_and_nobody_for_the_greedy() {
    let mut hand = Hand::new(1, 3);
    hand.admit("running", own(from(1, "192.0.2.1"))).unwrap();
    hand.begin().unwrap();
    for job in ["guess 1", "guess 2", "guess 3"] {
        hand.admit(job, own(from(1, "192.0.2.1"))).unwrap();
    }
    assert!(hand.admit("guess 4", own(from(1, "192.0.2.1"))).is_err());
    assert!(hand.queue.check(hand.now, &own(from(3, "192.0.2.3")), |_| true).is_ok());
    assert_eq!(hand.admit("somebody", own(from(3, "192.0.2.3"))), Ok(Some("guess 3")));
    assert_eq!(hand.admit("the owner", own(from(1, "192.0.2.4"))), Ok(Some("guess 2")));
    assert_eq!(hand.admit("the guesser's neighbour", own(from(2, "192.0.2.1"))), Ok(Some("guess 1")));
    assert!(hand.admit("a made-up account", own(from(5, "192.0.2.1"))).is_err(), "of equals the first stays");
    assert_eq!(hand.queue.waiting()[0], 3);
}

#[test]
fn whoever_is_no_longer_wanted_makes_room() {
    let mut hand = Hand::new(1, 1);
    hand.admit("running", own(from(1, "192.0.2.1"))).unwrap();
    hand.begin().unwrap();
    hand.admit("gone", own(from(2, "192.0.2.2"))).unwrap();
    let same = own(from(2, "192.0.2.2"));
    assert!(hand.queue.admit(hand.now, "new", same, |_| true).is_err());
    assert!(hand.queue.admit(hand.now, "new", same, |job| *job != "gone").unwrap().is_none());
    assert_eq!(hand.queue.waiting()[0], 1);
}

#[test]
fn what_cannot_be_done_in_time_is_refused_by_its_cost_and_not_by_its_number() {
    let mut hand = Hand::new(1, 64);
    // From now on it is known what the table's milliseconds are here.
    hand.admit("first", own(from(0, "192.0.2.1"))).unwrap();
    hand.serve();
    hand.admit("running", own(from(0, "192.0.2.1"))).unwrap();
    hand.begin().unwrap();
    for account in 1..=9 {
        hand.admit("waiting", own(from(account, &format!("192.0.2.{account}")))).unwrap();
    }
    // Eleven hashes of 30 ms; the address has had two of them already.
    let last = |until| Demand { until: hand.now + until, ..own(from(0, "192.0.2.1")) };
    let (fits, not) = (last(OWN * 11), last((OWN * 11).saturating_sub(MOMENT)));
    let refused = hand.queue.check(hand.now, &not, |_| true);
    assert_eq!(refused, Err(OWN * 11));
    assert!(hand.queue.check(hand.now, &fits, |_| true).is_ok());
    // Whoever has had nothing waits for the one that runs, and for the eight who came before and have had nothing either.
    let stranger = |until| Demand { until: hand.now + until, ..own(from(50, "198.51.100.1")) };
    let (fits, not) = (stranger(OWN * 10), stranger((OWN * 10).saturating_sub(MOMENT)));
    assert_eq!(hand.queue.check(hand.now, &not, |_| true), Err(OWN * 10));
    assert!(hand.queue.check(hand.now, &fits, |_| true).is_ok());
    let mut greedy = Hand::new(1, 64);
    greedy.admit("first", own(from(0, "192.0.2.1"))).unwrap();
    greedy.serve();
    for _ in 0..20 {
        greedy.admit("guess", own(from(0, "192.0.2.1"))).unwrap();
    }
    greedy.begin().unwrap();
    let stranger = Demand { until: greedy.now + OWN * 2, ..own(from(50, "198.51.100.1")) };
    assert!(greedy.queue.check(greedy.now, &stranger, |_| true).is_ok(), "all guesses come after");
}

#[test]
fn nobody_is_refused_while_a_thread_is_idle_however_slow_hashes_were() {
    let mut hand = Hand::new(1, 64);
    hand.admit("slow", own(from(0, "192.0.2.1"))).unwrap();
    let (_, demand) = hand.begin().unwrap();
    hand.queue.end(&demand, Duration::from_mins(1));
    let hurried = Demand { until: hand.now + Duration::from_millis(1), ..own(from(0, "192.0.2.1")) };
    assert!(hand.queue.check(hand.now, &hurried, |_| true).is_ok());
}

#[test]
fn a_storm_in_one_lane_refuses_nobody_in_the_other() {
    for threads in [1, 2, 3, 8] {
        for storm in [imported, heavy, own] {
            let mut hand = Hand::new(threads, 4);
            let is_own = storm(from(0, "192.0.2.1")).lane == Lane::Own;
            while hand.admit("storm", storm(from(0, "192.0.2.1"))).is_ok() {
                while hand.begin().is_some() {}
            }
            let honest = if is_own { imported } else { own };
            assert_eq!(hand.admit("honest", honest(from(1, "192.0.2.2"))), Ok(None), "{threads} threads");
            let begun = hand.begin().map(|(job, _)| job);
            if is_own && threads > 1 {
                assert_eq!(begun, None, "its turn comes when one ends");
            } else {
                assert_eq!(begun, Some("honest"), "a thread has been left for it");
            }
        }
    }
}

#[test]
fn imported_hashes_have_half_of_the_threads_and_a_quarter_of_the_turns_while_both_wait() {
    let mut hand = Hand::new(2, 1_000);
    for account in 0..100 {
        hand.admit("imported", imported(from(account, "192.0.2.1"))).unwrap();
        for part in 0..7 {
            hand.admit("own", own(from(1_000 + account * 7 + part, "192.0.2.2"))).unwrap();
        }
    }
    // One thread alone, as the other one is busy all the time.
    let (_, endless) = hand.begin().unwrap();
    let (mut own_time, mut imported_time) = (Duration::ZERO, Duration::ZERO);
    hand.queue.end(&endless, endless.cost);
    hand.queue.own.running = 1;
    for _ in 0..200 {
        let before = hand.now;
        match hand.serve().unwrap() {
            "own" => own_time += hand.now.saturating_sub(before),
            _ => imported_time += hand.now.saturating_sub(before),
        }
    }
    let share = imported_time.as_secs_f64() / (own_time + imported_time).as_secs_f64();
    assert!((0.2..0.3).contains(&share), "{share}");
}

#[test]
fn one_heavy_job_runs_at_a_time_and_those_behind_it_keep_no_thread_idle() {
    let mut hand = Hand::new(4, 8);
    for account in 0..3 {
        hand.admit("heavy", heavy(from(account, "192.0.2.1"))).unwrap();
    }
    hand.admit("bcrypt", imported(from(7, "192.0.2.7"))).unwrap();
    hand.admit("own", own(from(8, "192.0.2.8"))).unwrap();
    let mut begun: Vec<_> = std::iter::from_fn(|| hand.begin()).map(|(job, _)| job).collect();
    begun.sort_unstable();
    assert_eq!(begun, ["bcrypt", "heavy", "own"]);
}

/// What honest users meet who log in at half of capacity, each once and from an address of their own, while one address guesses as
/// fast as it can at an account of each lane: how long each took, by the hand-turned clock.
fn beside_a_guesser(guesser: &[fn(Sharers) -> Demand]) -> Vec<Duration> {
    let mut hand = Hand::new(1, 64);
    let mut running: Vec<(Duration, &'static str, Demand)> = Vec::new();
    let (mut waiting_since, mut took) = (VecDeque::new(), Vec::new());
    let (mut next, mut stranger) = (Duration::from_millis(7), 0_u64);
    while took.len() < 500 {
        for (account, demand) in (0..).zip(guesser) {
            let demand = Demand { until: hand.now + PATIENCE, ..demand(from(account, "192.0.2.1")) };
            while hand.admit("guess", demand).is_ok() {}
        }
        if hand.now >= next {
            stranger += 1;
            let address = format!("198.51.{}.{}", stranger / 250, stranger % 250);
            let demand = Demand { until: hand.now + PATIENCE, ..own(from(1_000 + stranger, &address)) };
            hand.admit("honest", demand).expect("no honest user is refused");
            waiting_since.push_back(hand.now);
            next += OWN * 2;
        }
        while let Some((job, demand)) = hand.begin() {
            running.push((hand.now + demand.cost, job, demand));
        }
        let ends = running.iter().map(|(end, ..)| *end).min();
        hand.now = ends.map_or(next, |end| end.min(next));
        let ended = running.extract_if(.., |(end, ..)| *end <= hand.now).collect::<Vec<_>>();
        for (_, job, demand) in ended {
            hand.queue.end(&demand, demand.cost);
            if job == "honest" {
                took.push(hand.now.saturating_sub(waiting_since.pop_front().unwrap()));
            }
        }
    }
    took.sort_unstable();
    took
}

#[test]
fn honest_logins_at_half_of_capacity_wait_for_one_guess_at_most() {
    let alone = beside_a_guesser(&[]);
    let guessed = beside_a_guesser(&[own, imported]);
    let (median, p99) = (alone.len() / 2, alone.len() * 99 / 100);
    assert_eq!((alone[median], alone[p99]), (OWN, OWN));
    assert!(guessed[median] <= alone[median] * 2, "{:?}", guessed[median]);
    assert!(guessed[p99] <= alone[p99] * 3 / 2 + BCRYPT_12, "{:?}", guessed[p99]);
}

proptest! {
    #[test]
    fn the_queue_stays_bounded_and_loses_nobody(
        threads in 1..6_usize,
        room in 0..6_usize,
        steps in prop::collection::vec((0..3_u64, 0..4_u8, 0..4_u8, 0..3_u8, 0..4_u8), 1..300),
    ) {
        let mut queue: Queue<usize> = Queue::new(size(threads, room));
        let (mut now, mut running) = (Duration::ZERO, Vec::new());
        let (mut admitted, mut left) = (0, 0);
        for (number, (account, host, kind, turn, step)) in steps.into_iter().enumerate() {
            let mut sharers = from(account, &format!("2001:db8:0:{host}::1"));
            sharers.turn = [Turn::Fair, Turn::Familiar, Turn::Last][usize::from(turn)];
            let demand = [own, own, imported, heavy][usize::from(kind)](sharers);
            if step == 0 && !running.is_empty() {
                let demand: Demand = running.swap_remove(number % running.len());
                now += demand.cost;
                queue.end(&demand, demand.cost);
            } else {
                let fits = queue.check(now, &demand, |_| true).is_ok();
                let result = queue.admit(now, number, demand, |_| true);
                prop_assert_eq!(fits, result.is_ok());
                if let Ok(displaced) = result {
                    admitted += 1;
                    left += usize::from(displaced.is_some());
                }
            }
            if step != 1 {
                while let Some(taken) = queue.take(now, None) {
                    queue.begin(now, &taken.demand);
                    running.push(taken.demand);
                    left += 1;
                }
            }
            let of = |lane| running.iter().filter(|demand| demand.lane == lane).count();
            prop_assert!(of(Lane::Own) <= threads && of(Lane::Imported) <= (threads / 2).max(1));
            prop_assert!(running.len() <= threads.max(2));
            prop_assert!(running.iter().filter(|demand| demand.is_heavy).count() <= 1);
            prop_assert!(queue.own.waiting.len() <= room + threads);
            prop_assert!(queue.imported.waiting.len() <= room + threads);
            prop_assert_eq!(admitted - left, queue.waiting().iter().sum::<usize>());
        }
        loop {
            while let Some(taken) = queue.take(now, None) {
                queue.begin(now, &taken.demand);
                running.push(taken.demand);
                left += 1;
            }
            let Some(demand) = running.pop() else { break };
            queue.end(&demand, demand.cost);
        }
        prop_assert_eq!((queue.waiting(), admitted), ([0, 0], left));
        prop_assert_eq!(queue.own.waiting_cost + queue.imported.waiting_cost, Duration::ZERO);
    }
}
