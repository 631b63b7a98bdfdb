//! Owns what one account may fail, from however many addresses, and what its user can do meanwhile.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use signet::proto::identity::v1::{ChangePasswordRequest, DeleteMeRequest};
use tokio::task::JoinSet;
use tonic::{Code, metadata::MetadataValue};

use super::{Guessed, PASSWORD, Somebody, WRONG};
use crate::{
    harness::{assert_refused, eventually},
    http::client::encoded,
};

/// After how long an account has one more failure.
const INTERVAL: Duration = Duration::from_secs(30);

/// How many failures an account has at once: fewer than by default, since each costs a call.
const FEW: &str = "--account-failures=10";

const GUESSER: &str = "192.0.2.66";
const HOME: &str = "198.51.100.1";
const CAFE: &str = "203.0.113.5";

impl Guessed {
    /// Has an attacker use up what `username` may fail.
    async fn use_up(&self, username: &str) {
        let attacker = self.from(GUESSER).await;
        for _ in 0..10 {
            attacker.must_fail(username).await;
        }
        Somebody::assert_throttled(attacker.log_in(username, PASSWORD).await, INTERVAL);
    }

    /// How many rows `table` has.
    async fn rows(&self, table: &str) -> i64 {
        let db = self.server.data.connect().await;
        let count =
            Statement::from_string(db.get_database_backend(), format!("SELECT COUNT(*) FROM {table}"));
        db.query_one_raw(count).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }
}

#[tokio::test]
async fn when_an_account_has_no_failures_left_nobody_is_locked_out() {
    let guessed = Guessed::start(&[FEW]).await;
    let (home, cafe) = (guessed.from(HOME).await, guessed.from(CAFE).await);
    home.log_in("alice", PASSWORD).await.unwrap();
    for username in ["alice", "nobody"] {
        guessed.use_up(username).await;
        // From an address that has not failed lately: three, and the right one among them costs nothing.
        for _ in 0..2 {
            cafe.must_fail(username).await;
        }
        if username == "alice" {
            cafe.log_in(username, PASSWORD).await.unwrap();
        }
        cafe.must_fail(username).await;
    }
    Somebody::assert_throttled(cafe.log_in("nobody", PASSWORD).await, INTERVAL);
    // Its session is open now, so the café is an address from which one came.
    for _ in 0..10 {
        cafe.must_fail("alice").await;
    }
    Somebody::assert_throttled(cafe.log_in("alice", PASSWORD).await, INTERVAL);
    // From where an open session came: three, as from anywhere, and ten apart from those.
    for _ in 0..12 {
        home.must_fail("alice").await;
    }
    home.log_in("alice", PASSWORD).await.unwrap();
    home.must_fail("alice").await;
    Somebody::assert_throttled(home.log_in("alice", PASSWORD).await, INTERVAL);
    // Others are not concerned.
    guessed.from(GUESSER).await.must_fail("bob").await;
    // One comes back, for whoever is first.
    guessed.server.clock.advance(INTERVAL);
    guessed.from(GUESSER).await.must_fail("alice").await;
    Somebody::assert_throttled(home.log_in("alice", PASSWORD).await, INTERVAL);
    // And an hour later the addresses are as good as new.
    guessed.server.clock.advance(Duration::from_hours(1));
    home.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn what_an_owner_has_failed_before_leaves_all_tries_of_an_open_session() {
    let guessed = Guessed::start(&[FEW]).await;
    let home = guessed.from(HOME).await;
    home.log_in("alice", PASSWORD).await.unwrap();
    // A program of the owner's that has an old password.
    for _ in 0..10 {
        home.must_fail("alice").await;
    }
    for _ in 0..9 {
        home.must_fail("alice").await;
    }
    home.log_in("alice", PASSWORD).await.unwrap();
    home.must_fail("alice").await;
    Somebody::assert_throttled(home.log_in("alice", PASSWORD).await, INTERVAL);
    // They come back an hour after the last of them, whatever else fails meanwhile.
    guessed.server.clock.advance(Duration::from_mins(59));
    guessed.use_up("alice").await;
    Somebody::assert_throttled(home.log_in("alice", PASSWORD).await, INTERVAL);
    guessed.server.clock.advance(Duration::from_mins(1));
    home.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn tries_side_by_side_from_where_an_open_session_came_are_all_counted() {
    let guessed = Guessed::start(&[FEW]).await;
    let home = guessed.from(HOME).await;
    home.log_in("alice", PASSWORD).await.unwrap();
    guessed.use_up("alice").await;
    let mut tries = JoinSet::new();
    for _ in 0..60 {
        let home = home.clone();
        tries.spawn(async move { home.log_in("alice", WRONG).await.unwrap_err().code() });
    }
    let codes = tries.join_all().await;
    let judged = codes.iter().filter(|code| **code == Code::Unauthenticated).count();
    // On a busy machine the database may not answer one in time, which is no place for another.
    let unanswered = codes.iter().filter(|code| **code == Code::Unavailable).count();
    let expected = 13_usize.saturating_sub(unanswered)..=13;
    assert!(expected.contains(&judged), "three as from anywhere, and ten more: {codes:?}");
}

#[tokio::test]
async fn addresses_that_have_not_failed_lately_have_300_tries_a_day_together() {
    let guessed = Guessed::start(&[FEW]).await;
    let home = guessed.from(HOME).await;
    home.log_in("alice", PASSWORD).await.unwrap();
    guessed.use_up("alice").await;
    let newcomer = guessed.from(CAFE).await;
    for number in 0..100 {
        let one = Somebody { address: format!("192.0.2.{}", 100 + number), ..newcomer.clone() };
        for _ in 0..3 {
            one.must_fail("alice").await;
        }
    }
    Somebody::assert_throttled(newcomer.log_in("alice", PASSWORD).await, INTERVAL);
    // Neither the owner, where a session is open, nor another account is concerned.
    home.log_in("alice", PASSWORD).await.unwrap();
    newcomer.must_fail("bob").await;
    // The account's own allowance comes back meanwhile, and these tries do not.
    guessed.server.clock.advance(Duration::from_hours(24) - Duration::from_secs(1));
    guessed.use_up("alice").await;
    Somebody::assert_throttled(newcomer.log_in("alice", PASSWORD).await, Duration::from_secs(1));
    guessed.server.clock.advance(Duration::from_secs(1));
    newcomer.must_fail("alice").await;
    newcomer.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn networks_of_one_site_are_one_address_to_an_account() {
    let guessed = Guessed::start(&[FEW]).await;
    guessed.use_up("alice").await;
    for network in 0..3 {
        guessed.from(format!("2001:db8:5:{network:x}::1")).await.must_fail("alice").await;
    }
    let another = guessed.from("2001:db8:5:ff::1").await;
    Somebody::assert_throttled(another.log_in("alice", PASSWORD).await, INTERVAL);
    guessed.from("2001:db8:6::1").await.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn tries_side_by_side_are_all_counted() {
    let guessed = Guessed::start(&[FEW]).await;
    let attacker = guessed.from(GUESSER).await;
    let mut tries = JoinSet::new();
    for _ in 0..60 {
        let attacker = attacker.clone();
        tries.spawn(async move { attacker.log_in("alice", WRONG).await.unwrap_err().code() });
    }
    let mut codes = tries.join_all().await;
    // Some may be refused that would have been judged later: those that were tried meanwhile count, too.
    loop {
        let code = attacker.log_in("alice", WRONG).await.unwrap_err().code();
        codes.push(code);
        if code == Code::ResourceExhausted {
            break;
        }
    }
    let judged = codes.iter().filter(|code| **code == Code::Unauthenticated).count();
    // On a busy machine the database may not answer one in time, which is no place for another.
    let unanswered = codes.iter().filter(|code| **code == Code::Unavailable).count();
    assert!((10_usize.saturating_sub(unanswered)..=10).contains(&judged), "{codes:?}");
    Somebody::assert_throttled(attacker.log_in("alice", PASSWORD).await, INTERVAL);
}

#[tokio::test]
async fn replicas_share_what_an_account_has_failed() {
    let guessed = Guessed::start(&[FEW]).await;
    let replica = guessed.server.replica(&[FEW, "--trusted-proxy-addresses=127.0.0.1"]).await;
    for number in 0..10 {
        let server = if number % 2 == 0 { &guessed.server } else { &replica };
        Somebody { client: server.client().await, address: GUESSER.to_owned() }.must_fail("alice").await;
    }
    for server in [&guessed.server, &replica] {
        let attacker = Somebody { client: server.client().await, address: GUESSER.to_owned() };
        Somebody::assert_throttled(attacker.log_in("alice", PASSWORD).await, INTERVAL);
    }
    // A restart forgets nothing either.
    let (data, clock) = replica.stop().await;
    let args = [FEW, "--trusted-proxy-addresses=127.0.0.1"];
    let again = crate::harness::TestServer::start_in(data, clock, &args).await;
    let attacker = Somebody { client: again.client().await, address: GUESSER.to_owned() };
    Somebody::assert_throttled(attacker.log_in("alice", PASSWORD).await, INTERVAL);
}

#[tokio::test]
async fn every_prompt_for_a_password_counts_and_is_throttled() {
    let guessed = Guessed::start(&[FEW]).await;
    let home = guessed.from(HOME).await;
    let token = guessed.server.client().await.log_in("alice", PASSWORD).await.unwrap().access_token;
    let bearer: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    let change = async |current: &str| {
        let message = ChangePasswordRequest {
            current_password: current.to_owned(),
            new_password: "another horse battery".to_owned(),
        };
        let mut request = home.says(message);
        request.metadata_mut().insert("authorization", bearer.clone());
        home.client.clone().0.change_password(request).await
    };
    let delete = async |password: &str| {
        let mut request = home.says(DeleteMeRequest { password: password.to_owned() });
        request.metadata_mut().insert("authorization", bearer.clone());
        home.client.clone().0.delete_me(request).await
    };
    let http = guessed.server.http();
    let over_http = async |password: &str| {
        let form = encoded(&[("grant_type", "password"), ("username", "alice"), ("password", password)]);
        http.send(http.form("/oauth2/token").header("x-forwarded-for", HOME), &form).await
    };
    for _ in 0..3 {
        assert_refused(change(WRONG).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
        assert_refused(delete(WRONG).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
        over_http(WRONG).await.assert_refused(400, "invalid_grant", "INVALID_CREDENTIALS");
    }
    home.must_fail("alice").await;
    Somebody::assert_throttled(change(PASSWORD).await, INTERVAL);
    Somebody::assert_throttled(delete(PASSWORD).await, INTERVAL);
    Somebody::assert_throttled(home.log_in("alice", PASSWORD).await, INTERVAL);
    let refused = over_http(PASSWORD).await;
    refused.assert_refused(429, "temporarily_unavailable", "TOO_MANY_ATTEMPTS");
    assert_eq!(refused.header("retry-after"), "30");
    guessed.from(CAFE).await.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_guessed_account_is_told_once_and_names_are_told_never() {
    let guessed = Guessed::start(&[FEW]).await;
    guessed.use_up("alice").await;
    guessed.use_up("nobody").await;
    let high = guessed.told("login.failures_high", 2).await;
    let users: Vec<_> = high.iter().map(|line| line["user_id"].is_string()).collect();
    assert_eq!(users, [true, false]);
    let throttled = guessed.told("login.throttled", 2).await;
    for line in high.iter().chain(&throttled) {
        assert_eq!((&line["reason"], &line["address"]), (&"account_failures".into(), &GUESSER.into()));
    }
    assert_eq!((guessed.counted("failed").await, guessed.counted("account_throttled").await), (20.0, 2.0));
}

#[tokio::test]
async fn a_row_goes_when_it_counts_no_longer_and_not_before() {
    let guessed = Guessed::start(&[FEW]).await;
    guessed.use_up("alice").await;
    guessed.from(CAFE).await.must_fail("bob").await;
    guessed.server.clock.advance(Duration::from_mins(4));
    assert_eq!(guessed.rows("password_failures").await, 2);
    assert_eq!(guessed.rows("password_failures_by_address").await, 2);
    // Ten failures of half a minute each are forgotten after five minutes; the sweep comes every ten.
    guessed.server.clock.advance(Duration::from_mins(7));
    eventually("the accounts' rows go", async || guessed.rows("password_failures").await == 0).await;
    assert_eq!(guessed.rows("password_failures_by_address").await, 2);
    guessed.server.clock.advance(Duration::from_hours(1));
    // Again and again: the sweep that took the accounts' rows may have been under way, and come next after another ten minutes.
    eventually("the addresses' rows go", async || {
        guessed.server.clock.advance(Duration::from_mins(10));
        guessed.rows("password_failures_by_address").await == 0
    })
    .await;
}

#[tokio::test]
async fn failures_that_the_database_does_not_take_count_and_are_written_when_it_does() {
    let guessed = Guessed::start(&[FEW]).await;
    let db = guessed.server.data.connect().await;
    let (refuse, take) = match db.get_database_backend() {
        DbBackend::Sqlite => (
            "CREATE TRIGGER refuse BEFORE INSERT ON password_failures BEGIN SELECT RAISE(ABORT, 'no'); END",
            "DROP TRIGGER refuse",
        ),
        _ => (
            "ALTER TABLE password_failures ADD CONSTRAINT refuse CHECK (spare_used < 0)",
            "ALTER TABLE password_failures DROP CONSTRAINT refuse",
        ),
    };
    db.execute_unprepared(refuse).await.unwrap();
    let attacker = guessed.from(GUESSER).await;
    for _ in 0..10 {
        assert_ne!(attacker.log_in("alice", WRONG).await.unwrap_err().code(), Code::Unauthenticated);
    }
    Somebody::assert_throttled(attacker.log_in("alice", PASSWORD).await, Duration::from_secs(1));
    db.execute_unprepared(take).await.unwrap();
    let failures = Statement::from_string(
        db.get_database_backend(),
        "SELECT failures FROM password_failures_by_address",
    );
    eventually("all of them are written", async || {
        let row = db.query_one_raw(failures.clone()).await.unwrap();
        row.is_some_and(|row| row.try_get_by_index::<i32>(0).unwrap() == 10)
    })
    .await;
    Somebody::assert_throttled(attacker.log_in("alice", PASSWORD).await, INTERVAL);
}
