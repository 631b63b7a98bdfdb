//! Owns the tests of when keys are fetched: the runtime's clock stands still but when everybody waits, and then goes on to whatever
//! is waited for.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64ct::{Base64UrlUnpadded, Encoding};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    published::Published,
    refresh::{Fetched, KeySource},
    waiting::{MAX_WAITING, MAX_WAITING_OF_ONE},
    *,
};

/// An issuer that answers what it is told to.
#[derive(Clone)]
struct StandIn(Arc<Script>);

struct Script {
    answer: Mutex<Result<String, String>>,
    max_age: Mutex<Option<Duration>>,
    takes: Mutex<Duration>,
    fetches: AtomicU64,
}

impl StandIn {
    fn with(keys: &[&Value]) -> Self {
        Self(Arc::new(Script {
            answer: Mutex::new(Ok(set(keys))),
            max_age: Mutex::default(),
            takes: Mutex::default(),
            fetches: AtomicU64::new(0),
        }))
    }

    fn answers(&self, keys: &[&Value]) {
        *self.0.answer.lock().unwrap() = Ok(set(keys));
    }

    fn is_away(&self) {
        *self.0.answer.lock().unwrap() = Err("connection refused".to_owned());
    }

    fn max_age(&self, seconds: u64) {
        *self.0.max_age.lock().unwrap() = Some(Duration::from_secs(seconds));
    }

    fn takes(&self, time: Duration) {
        *self.0.takes.lock().unwrap() = time;
    }

    fn fetches(&self) -> u64 {
        self.0.fetches.load(Ordering::SeqCst)
    }

    fn start(&self, settings: FetchSettings) -> Arc<RemoteKeys> {
        Arc::new(RemoteKeys::start_from(self.clone(), settings).unwrap())
    }
}

impl KeySource for StandIn {
    async fn fetch(&mut self) -> Result<Fetched, String> {
        self.0.fetches.fetch_add(1, Ordering::SeqCst);
        // What was published when it was asked.
        let (answer, max_age) = (self.0.answer.lock().unwrap().clone(), *self.0.max_age.lock().unwrap());
        let takes = *self.0.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        Ok(Fetched { from: "the stand-in".to_owned(), document: answer?.into_bytes(), max_age })
    }
}

fn set(keys: &[&Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn key(kid: &str) -> Value {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = Base64UrlUnpadded::encode_string(pair.public_key().as_ref());
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "alg": "EdDSA", "x": x })
}

async fn get(keys: &Arc<RemoteKeys>, kid: &str) -> Option<Arc<VerifyingKey>> {
    keys.current(None).await.unwrap().get(kid).cloned()
}

fn is_unavailable<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unavailable { .. }))
}

const MINUTE: Duration = Duration::from_mins(1);

/// The address of one of many callers.
fn caller(number: usize) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    IpAddr::from([192, 0, high, low])
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_before_the_issuer_calls_them_stale_within_bounds() {
    // What the issuer says, and how often that is asked in a day, if each time comes somewhat early.
    for (max_age, least, most) in
        [(None, 288, 361), (Some(600), 144, 181), (Some(0), 2_880, 3_601), (Some(86_400), 24, 31)]
    {
        let issuer = StandIn::with(&[&key("a")]);
        if let Some(seconds) = max_age {
            issuer.max_age(seconds);
        }
        let keys = issuer.start(FetchSettings::default());
        tokio::time::sleep(Duration::from_hours(24)).await;
        let fetches = issuer.fetches();
        assert!((least..=most).contains(&fetches), "max-age {max_age:?}: {fetches} a day");
        assert!(get(&keys, "a").await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_stays_stays_the_same_and_one_that_goes_is_gone() {
    let (first, second) = (key("a"), key("b"));
    let issuer = StandIn::with(&[&first, &second]);
    let keys = issuer.start(FetchSettings::default());
    let (before, gone) = (get(&keys, "a").await.unwrap(), get(&keys, "b").await);
    assert!(gone.is_some());

    // With more said about it, it is still the same key.
    let mut again = first.clone();
    again["x5t"] = json!("abc");
    issuer.answers(&[&key("c"), &again]);
    tokio::time::sleep(6 * MINUTE).await;
    assert!(Arc::ptr_eq(&before, &get(&keys, "a").await.unwrap()));
    assert!(get(&keys, "b").await.is_none() && get(&keys, "c").await.is_some());

    issuer.answers(&[&key("a")]);
    tokio::time::sleep(6 * MINUTE).await;
    assert!(!Arc::ptr_eq(&before, &get(&keys, "a").await.unwrap()), "another key under the same id");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_just_been_published_is_found_by_all_who_wait_with_one_fetch() {
    let first = key("a");
    let issuer = StandIn::with(&[&first]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    // Directly after a fetch, and while one goes on that began before.
    issuer.takes(Duration::from_secs(1));
    for (name, most) in [("b", 1), ("c", 1)] {
        let before = issuer.fetches();
        issuer.answers(&[&first, &key(name)]);
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let keys = Arc::clone(&keys);
                tokio::spawn(async move { keys.find(name, None).await.unwrap().is_some() })
            })
            .collect();
        for call in calls {
            assert!(call.await.unwrap(), "{name} is in force");
        }
        assert_eq!(issuer.fetches() - before, most);
    }
    let stale = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { keys.find("d", None).await.unwrap().is_some() }
    });
    // It has been asked, has not answered yet, and what it will answer has no such key.
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    issuer.answers(&[&first, &key("e")]);
    assert!(keys.find("e", None).await.unwrap().is_some(), "an attempt that began before does not decide");
    assert!(!stale.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_made_up_ids_costs_the_issuer_a_request_in_each_pause() {
    let issuer = StandIn::with(&[&key("a")]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    let mut calls = Vec::new();
    for number in 0..6_000 {
        let keys = Arc::clone(&keys);
        calls.push(tokio::spawn(async move {
            keys.find(&format!("made-up-{number}"), Some(caller(number % 100))).await
        }));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for call in calls {
        assert!(matches!(call.await.unwrap(), Ok(None)));
    }
    // A minute and a pause, one for each five seconds, and the first.
    assert!((12..=15).contains(&issuer.fetches()), "{}", issuer.fetches());
    assert!(get(&keys, "a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_looked_for_in_vain_is_refused_at_once_until_the_next_fetch() {
    let first = key("a");
    let issuer = StandIn::with(&[&first]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    assert!(matches!(keys.find("b", None).await, Ok(None)), "it is looked for once");
    let (fetches, began) = (issuer.fetches(), Instant::now());
    issuer.takes(Duration::from_secs(1));
    for _ in 0..10_000 {
        assert!(matches!(keys.find("b", None).await, Ok(None)));
    }
    assert!(began.elapsed().is_zero(), "nobody waits");
    // What was not looked for yet waits, as before, and is found.
    issuer.answers(&[&first, &key("b"), &key("c")]);
    let new = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { keys.find("c", None).await.unwrap().is_some() }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(matches!(keys.find("b", None).await, Ok(None)), "the next fetch has not begun");
    assert!(new.await.unwrap());
    assert_eq!(issuer.fetches(), fetches + 1);
    assert!(keys.find("b", None).await.unwrap().is_some(), "by then it is known too");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_refused_has_the_keys_fetched_again_after_the_pause() {
    let first = key("a");
    let issuer = StandIn::with(&[&first]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    assert!(matches!(keys.find("b", None).await, Ok(None)));
    tokio::time::sleep(FetchSettings::default().min_pause).await;
    issuer.answers(&[&first, &key("b")]);
    issuer.takes(Duration::from_secs(1));
    // All that come while it goes on wait for it.
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move { keys.find("b", None).await.unwrap().is_some() })
        })
        .collect();
    let fetches = issuer.fetches();
    for call in calls {
        assert!(call.await.unwrap());
    }
    assert_eq!(issuer.fetches(), fetches + 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_no_key_can_have_is_refused_without_a_fetch() {
    let issuer = StandIn::with(&[&key("a")]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    let fetches = issuer.fetches();
    for kid in ["", &"x".repeat(256)] {
        assert!(matches!(keys.find(kid, None).await, Ok(None)));
    }
    assert_eq!(issuer.fetches(), fetches);
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_decides_nothing_about_an_id() {
    let first = key("a");
    let issuer = StandIn::with(&[&first]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    issuer.is_away();
    for _ in 0..2 {
        assert!(is_unavailable(&keys.find("b", None).await));
    }
    issuer.answers(&[&first, &key("b")]);
    tokio::time::sleep(MINUTE).await;
    assert!(keys.find("b", None).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn one_network_takes_no_more_than_its_share_of_the_waiting_places() {
    let first = key("a");
    let issuer = StandIn::with(&[&first]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    issuer.takes(Duration::from_secs(3));
    issuer.answers(&[&first, &key("b")]);
    let wait = |number: usize, from: Option<IpAddr>| {
        let keys = Arc::clone(&keys);
        tokio::spawn(async move { keys.find(&format!("made-up-{number}"), from).await })
    };
    let flood: Vec<_> = (0..MAX_WAITING_OF_ONE).map(|number| wait(number, Some(caller(1)))).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Nothing can be told of its token: it is not called invalid.
    assert!(is_unavailable(&keys.find("one-more", Some(caller(1))).await));
    assert!(get(&keys, "a").await.is_some());
    let honest = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { keys.find("b", Some(caller(2))).await.unwrap().is_some() }
    });
    // From many networks together no more than all places.
    let others: Vec<_> =
        (0..2 * MAX_WAITING).map(|number| wait(1_000 + number, Some(caller(2 + number % 50)))).collect();
    assert!(honest.await.unwrap(), "another network finds a key that has just been published");
    for call in flood {
        assert!(matches!(call.await.unwrap(), Ok(None)));
    }
    let mut waited = 0;
    for call in others {
        match call.await.unwrap() {
            Ok(None) => waited += 1,
            refused => assert!(is_unavailable(&refused)),
        }
    }
    assert_eq!(waited, MAX_WAITING - MAX_WAITING_OF_ONE - 1);
    assert!(matches!(keys.find("one-more", Some(caller(1))).await, Ok(None)), "there is room again");
}

#[tokio::test(start_paused = true)]
async fn while_the_issuer_is_away_known_keys_count_and_of_others_nothing_can_be_told() {
    let issuer = StandIn::with(&[&key("a")]);
    let keys = issuer.start(FetchSettings { max_staleness: None, ..FetchSettings::default() });
    let before = get(&keys, "a").await.unwrap();
    issuer.is_away();
    let fetches = issuer.fetches();
    tokio::time::sleep(Duration::from_hours(24 * 7)).await;
    assert!(Arc::ptr_eq(&before, &get(&keys, "a").await.unwrap()), "a week later");
    let tried = issuer.fetches() - fetches;
    assert!((10_080..20_200).contains(&tried), "once or twice a minute: {tried} in a week");
    assert!(is_unavailable(&keys.find("b", None).await));

    // Nothing but time brings it back.
    issuer.answers(&[&key("b")]);
    tokio::time::sleep(MINUTE).await;
    assert!(get(&keys, "b").await.is_some() && get(&keys, "a").await.is_none());
    assert!(matches!(keys.find("a", None).await, Ok(None)), "it can be told again");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_at_the_start_is_asked_until_it_answers() {
    let issuer = StandIn::with(&[]);
    issuer.is_away();
    let keys = issuer.start(FetchSettings::default());
    assert!(is_unavailable(&keys.current(None).await));
    let (began, fetches) = (Instant::now(), issuer.fetches());
    for _ in 0..100 {
        assert!(is_unavailable(&keys.current(None).await));
    }
    assert!(began.elapsed().is_zero(), "nobody waits for what has just failed");
    assert_eq!(issuer.fetches(), fetches);

    issuer.answers(&[&key("a")]);
    tokio::time::timeout(Duration::from_secs(2), keys.ready())
        .await
        .expect("it recovers by itself, and soon");
    assert!(get(&keys, "a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_answer_holds_no_call_for_longer_than_an_attempt() {
    let issuer = StandIn::with(&[&key("a")]);
    issuer.takes(Duration::from_hours(1));
    let settings = FetchSettings { timeout: Duration::from_secs(3), ..FetchSettings::default() };
    let keys = issuer.start(settings);
    let began = Instant::now();
    assert!(is_unavailable(&keys.current(None).await));
    assert!(began.elapsed() <= Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn keys_count_no_longer_than_they_may_go_unconfirmed() {
    let default = FetchSettings::default();
    assert_eq!(default.max_staleness, Some(Duration::from_hours(24)));
    for hours in [2, 24] {
        let max = Duration::from_hours(hours);
        let issuer = StandIn::with(&[&key("a")]);
        let keys = issuer.start(FetchSettings { max_staleness: Some(max), ..default });
        assert!(get(&keys, "a").await.is_some());
        issuer.is_away();
        tokio::time::sleep(Duration::from_mins(60 * hours - 10)).await;
        assert!(get(&keys, "a").await.is_some());
        tokio::time::sleep(20 * MINUTE).await;
        assert!(is_unavailable(&keys.current(None).await));
        issuer.answers(&[&key("a")]);
        tokio::time::sleep(MINUTE).await;
        assert!(get(&keys, "a").await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_without_a_usable_key_does_not_take_the_place_of_one_that_has() {
    let issuer = StandIn::with(&[&key("a")]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    for bad in [set(&[]), "<html>".to_owned(), "{}".to_owned(), set(&[&json!({ "kty": "oct", "k": "AA" })])] {
        *issuer.0.answer.lock().unwrap() = Ok(bad);
        tokio::time::sleep(6 * MINUTE).await;
        assert!(get(&keys, "a").await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_asks_no_more() {
    let issuer = StandIn::with(&[&key("a")]);
    let keys = issuer.start(FetchSettings::default());
    keys.ready().await;
    drop(keys);
    let fetches = issuer.fetches();
    tokio::time::sleep(Duration::from_hours(24)).await;
    assert_eq!(issuer.fetches(), fetches);
}

#[test]
fn when_the_runtime_that_fetched_has_gone_nobody_waits_for_ever() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let fetching = runtime();
    let keys = fetching.block_on(async {
        let keys = StandIn::with(&[&key("a")]).start(FetchSettings::default());
        keys.ready().await;
        keys
    });
    drop(fetching);
    runtime().block_on(async {
        assert!(get(&keys, "a").await.is_some());
        assert!(is_unavailable(&keys.find("b", None).await));
    });
}

#[test]
fn without_a_runtime_or_with_settings_that_cannot_be_meant_nothing_starts() {
    let settings = FetchSettings::default();
    let start = |issuer: &str, uri, settings| RemoteKeys::start(issuer, uri, settings).map(drop).unwrap_err();
    assert!(matches!(start("http://id.example", None, settings), RemoteKeysError::NoRuntime));
    let pause = FetchSettings { min_pause: Duration::ZERO, ..settings };
    let turned = FetchSettings { min_interval: Duration::from_hours(2), ..settings };
    let timeout = FetchSettings { timeout: Duration::ZERO, ..settings };
    for (issuer, uri, settings) in [
        ("id.example", None, settings),
        ("http://id.example", Some("jwks.json"), settings),
        ("http://id.example", None, pause),
        ("http://id.example", None, turned),
        ("http://id.example", None, timeout),
    ] {
        assert!(matches!(start(issuer, uri, settings), RemoteKeysError::Setting { .. }), "{issuer} {uri:?}");
    }
}

// ===== which keys count =====

fn read(keys: &[&Value]) -> Result<Published, String> {
    Published::read(set(keys).as_bytes(), &Published::default())
}

#[test]
fn only_public_keys_for_signatures_by_one_of_three_algorithms_count() {
    let good = key("good");
    let with = |name: &str, value: Value| {
        let mut key = key("bad");
        key[name] = value;
        key
    };
    let x = Base64UrlUnpadded::encode_string(&[7; 32]);
    let n = Base64UrlUnpadded::encode_string(&[0xff; 128]);
    for bad in [
        json!({ "kty": "oct", "kid": "bad", "k": x, "alg": "HS256" }),
        json!({ "kty": "oct", "kid": "bad", "alg": "HS256" }),
        json!({ "kty": "EC", "crv": "P-384", "kid": "bad", "x": x, "y": x }),
        json!({ "kty": "EC", "crv": "P-256", "kid": "bad", "x": x, "y": x }),
        json!({ "kty": "RSA", "kid": "bad", "n": n, "e": "AQAB" }),
        json!({ "kty": "new", "kid": "bad" }),
        json!("bad"),
        with("alg", json!("HS256")),
        with("alg", json!("none")),
        with("alg", json!("RS256")),
        with("use", json!("enc")),
        with("key_ops", json!(["encrypt"])),
        with("d", json!(x)),
        with("kid", json!("")),
        with("kid", json!("x".repeat(256))),
        with("kid", json!(7)),
        with("x", json!("AA")),
    ] {
        let published = read(&[&bad, &good]).unwrap_or_else(|problem| panic!("{bad}: {problem}"));
        assert!(published.set().get("good").is_some() && published.set().get("bad").is_none(), "{bad}");
        assert!(read(&[&bad]).is_err(), "{bad}");
    }
    assert!(read(&[&key("a"), &key("a")]).is_err(), "which of the two is meant cannot be known");
    let many: Vec<_> = (0..101).map(|number| key(&number.to_string())).collect();
    assert!(read(&many.iter().collect::<Vec<_>>()).is_err());
}

proptest! {
    #[test]
    fn no_document_makes_reading_panic(text in ".{0,300}", members in prop::collection::vec("[a-z]{1,3}", 0..6)) {
        let known = Published::default();
        let _ = Published::read(text.as_bytes(), &known);
        let key: serde_json::Map<_, _> = members.into_iter().map(|name| (name, json!(text))).collect();
        let _ = Published::read(set(&[&Value::Object(key)]).as_bytes(), &known);
    }
}
