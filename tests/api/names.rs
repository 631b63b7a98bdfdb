//! Owns what signing up promises of names: nobody passes for another, over any number of replicas, whatever earlier releases have left.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait,
    sea_query::{Expr, Query},
};
use signet::{
    identity::{Administrator, MasterKey, Usernames},
    proto::identity::v1::DeleteMeRequest,
};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    harness::{Client, PASSWORD, TestServer, assert_refused, eventually, with_token},
    key_revocation::elsewhere,
};

impl Client {
    async fn cannot_have(&mut self, username: &str) {
        let refused = self.sign_up(username, PASSWORD).await.map(|_| username);
        assert_refused(refused, Code::AlreadyExists, "USERNAME_TAKEN");
    }

    async fn delete_me(&mut self, username: &str) {
        let token = self.log_in(username, PASSWORD).await.unwrap().access_token;
        let request = DeleteMeRequest { password: PASSWORD.to_owned() };
        self.0.delete_me(with_token(request, &token)).await.unwrap();
    }
}

/// How many rows the table of what names look like has.
async fn looks(db: &DatabaseConnection) -> i64 {
    let mut query = Query::select();
    query.expr(Expr::cust("COUNT(*)")).from("username_looks");
    db.query_one(&query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// How many rows the table of names has, and how many of them are by an old Unicode's tables.
async fn rows(db: &DatabaseConnection) -> (i64, i64) {
    let count = async |old: bool| {
        let mut query = Query::select();
        query.expr(Expr::cust("COUNT(*)")).from("usernames");
        if old {
            query.and_where(Expr::cust("skeleton_version < 100000"));
        }
        let row = db.query_one(&query).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0).unwrap()
    };
    (count(false).await, count(true).await)
}

/// How many rows of names are nobody's.
async fn strays(db: &DatabaseConnection) -> i64 {
    let mut query = Query::select();
    query.expr(Expr::cust("COUNT(*)")).from("usernames");
    query.and_where(Expr::cust("user_id NOT IN (SELECT id FROM users)"));
    db.query_one(&query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn a_name_begins_with_a_letter_or_a_digit_and_is_of_one_writing_system() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    for (name, rule) in [
        ("--help", "must begin with a letter or a digit"),
        ("../../etc", "must begin with a letter or a digit"),
        ("$(id)", "must begin with a letter or a digit"),
        ("<script>", "must begin with a letter or a digit"),
        ("\u{430}dmin", "mixes letters of scripts"),
        ("sco\u{440}e", "mixes letters of scripts"),
    ] {
        let refused = client.sign_up(name, PASSWORD).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        let violation = &status.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!(
            (violation.field.as_str(), violation.reason.as_str()),
            ("username", "FORBIDDEN_CHARACTER")
        );
        assert!(violation.description.contains(rule), "{name}: {violation:?}");
    }
    let address = format!("{}@{}.example", "a".repeat(64), "b".repeat(181));
    assert_eq!(address.len(), 254);
    for name in ["7of9", "иван", "東京tokyo", "ürsula@example.com", &address] {
        client.sign_up(name, PASSWORD).await.unwrap();
        client.log_in(name, PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_beyond_ascii_looks_like_nobody_elses() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    for name in ["scope", "Tom", "corner", "Al"] {
        client.sign_up(name, PASSWORD).await.unwrap();
    }
    // Cyrillic, Cyrillic and Greek capitals.
    for imitation in ["\u{455}\u{441}\u{43e}\u{440}\u{435}", "\u{422}\u{41e}\u{41c}", "\u{3a4}\u{39f}\u{39c}"]
    {
        client.cannot_have(imitation).await;
    }
    // Greek and Cyrillic capitals that look like a small l.
    for imitation in ["\u{391}\u{399}", "\u{410}\u{406}"] {
        client.cannot_have(imitation).await;
    }
    // Whose small letters look otherwise.
    client.sign_up("\u{442}\u{43e}\u{43c}", PASSWORD).await.unwrap();
    // Names in ASCII are two people's though they look alike, and nobody blocks one by a look-alike.
    client.sign_up("comer", PASSWORD).await.unwrap();
    client.sign_up("\u{435}\u{445}\u{441}\u{435}\u{455}\u{455}", PASSWORD).await.unwrap();
    client.sign_up("excess", PASSWORD).await.unwrap();
    // Once it is free, so is what looks like it.
    client.delete_me("scope").await;
    client.sign_up("\u{455}\u{441}\u{43e}\u{440}\u{435}", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn two_names_beyond_ascii_that_look_alike_are_one_whichever_comes_first() {
    // Greek capitals, whose small letters look like the Cyrillic ones.
    let names = ["\u{3a4}\u{39f}", "\u{442}\u{43e}"];
    for (first, second) in [(names[0], names[1]), (names[1], names[0])] {
        let server = TestServer::start(&[]).await;
        let mut client = server.client().await;
        client.sign_up(first, PASSWORD).await.unwrap();
        client.cannot_have(second).await;
        client.delete_me(first).await;
        client.sign_up(second, PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_signs_up_with_a_reserved_name_or_what_looks_like_one() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    for name in
        ["admin", "ADMIN", "\u{ff41}dmin", "adrnin", "root", "postmaster", "Signet", "ADMlN", "ADM1N", "R00T"]
    {
        client.cannot_have(name).await;
    }
    let (data, clock) = server.stop().await;
    let server =
        TestServer::start_in(data, clock, &["--reserved-usernames=Ada, \u{3b6}\u{3b5}\u{3c5}\u{3c2}"]).await;
    let mut client = server.client().await;
    client.sign_up("admin", PASSWORD).await.unwrap();
    for name in ["ada", "\u{396}\u{395}\u{3a5}\u{3a3}"] {
        client.cannot_have(name).await;
    }
    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &["--reserved-usernames="]).await;
    server.client().await.sign_up("ada", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_final_sigma_is_a_sigma() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let (capitals, small, neither) =
        ("\u{3a3}\u{391}\u{3a3}", "\u{3c3}\u{3b1}\u{3c2}", "\u{3c3}\u{3b1}\u{3c3}");
    for first in [small, capitals] {
        let id = client.sign_up(first, PASSWORD).await.unwrap().id;
        for same in [capitals, small, neither] {
            client.cannot_have(same).await;
            let token = client.log_in(same, PASSWORD).await.unwrap().access_token;
            let me = client.get_me(&token).await.unwrap();
            assert_eq!((&me.id, me.username.as_str()), (&id, first));
        }
        client.delete_me(neither).await;
    }
}

#[tokio::test]
async fn of_a_hundred_at_once_for_names_that_look_alike_one_wins() {
    let servers = [TestServer::start(&[]).await];
    let replica = servers[0].replica(&[]).await;
    let clients = [servers[0].client().await, replica.client().await];
    for names in [
        // Cyrillic and Greek capitals; two spellings of one name.
        ["\u{422}\u{41e}\u{41c}", "\u{3a4}\u{39f}\u{39c}"],
        ["\u{3a3}\u{391}\u{3a3}", "\u{3c3}\u{3b1}\u{3c2}"],
        // Capitals whose small letters look like the other's.
        ["\u{3a4}\u{39f}", "\u{442}\u{43e}"],
    ] {
        let mut calls = JoinSet::new();
        for number in 0..100 {
            let mut client = clients[number % 2].clone();
            calls.spawn(async move { client.sign_up_in_the_end(names[number / 2 % 2], PASSWORD).await });
        }
        let mut won = 0;
        while let Some(call) = calls.join_next().await {
            match call.unwrap() {
                Ok(_) => won += 1,
                Err(status) => {
                    assert_refused(Err::<(), _>(status), Code::AlreadyExists, "USERNAME_TAKEN");
                }
            }
        }
        assert_eq!(won, 1, "{names:?}");
    }
    assert_eq!(servers[0].store().await.users(None, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_earlier_releases_and_an_older_unicode_have_left_is_put_right() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    for name in ["scope", "excess", "\u{438}\u{432}\u{430}\u{43d}"] {
        client.sign_up(name, PASSWORD).await.unwrap();
    }
    let (data, clock) = server.stop().await;
    let db = data.connect().await;
    assert_eq!(rows(&db).await, (3, 0));
    // As after sign-ups by a release that does not know the table; then as after a change of Unicode; then as after its deletions.
    for change in [
        "DELETE FROM usernames WHERE user_id IN (SELECT id FROM users WHERE username = 'scope')",
        "UPDATE usernames SET skeleton_version = 60300, skeleton = own_skeleton WHERE is_beyond_ascii",
        "DELETE FROM users WHERE username = 'excess'",
    ] {
        db.execute_unprepared(change).await.unwrap();
    }
    assert_eq!(rows(&db).await, (2, 1));
    let server = TestServer::start_in(data, clock, &[]).await;
    let is_right = async || rows(&db).await == (2, 0) && strays(&db).await == 0;
    eventually("every name has its row again, and no other has one", is_right).await;
    let mut client = server.client().await;
    client.cannot_have("\u{455}\u{441}\u{43e}\u{440}\u{435}").await;
    client.cannot_have("\u{418}\u{412}\u{410}\u{41d}").await;
    client.sign_up("\u{435}\u{445}\u{441}\u{435}\u{455}\u{455}", PASSWORD).await.unwrap();
}

/// The release before this one knows the first table of names and not the second: it adds users without looks, and leaves those of users
/// that it deletes.
#[tokio::test]
async fn what_the_release_before_has_left_of_looks_is_put_right() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let (capitals, small) = ("\u{3a4}\u{39f}", "\u{442}\u{43e}");
    client.sign_up(capitals, PASSWORD).await.unwrap();
    client.sign_up("\u{438}\u{432}\u{430}\u{43d}", PASSWORD).await.unwrap();
    let (data, clock) = server.stop().await;
    let db = data.connect().await;
    assert_eq!(looks(&db).await, 3, "capitals have two looks");
    for change in [
        "DELETE FROM username_looks WHERE user_id IN (SELECT id FROM users WHERE username = '\u{3a4}\u{39f}')",
        "DELETE FROM users WHERE username = '\u{438}\u{432}\u{430}\u{43d}'",
        "DELETE FROM usernames WHERE user_id NOT IN (SELECT id FROM users)",
    ] {
        db.execute_unprepared(change).await.unwrap();
    }
    assert_eq!(looks(&db).await, 1);
    let server = TestServer::start_in(data, clock, &[]).await;
    let mut client = server.client().await;
    eventually("the looks are there again, and no others", || async { looks(&db).await == 2 }).await;
    client.cannot_have(small).await;
    client.sign_up("\u{418}\u{412}\u{410}\u{41d}", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn replicas_that_put_names_right_at_once_do_not_stand_in_each_others_way() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let names = ["scope", "excess", "иван", "мария", "ольга", "ΣΑΣ"];
    for name in names {
        client.sign_up(name, PASSWORD).await.unwrap();
    }
    let db = server.data.connect().await;
    for change in
        ["DELETE FROM usernames", "UPDATE usernames SET skeleton_version = 60300", "DELETE FROM usernames"]
    {
        db.execute_unprepared(change).await.unwrap();
        let mut replicas = JoinSet::new();
        for _ in 0..8 {
            let usernames = Usernames::new(server.store().await);
            replicas.spawn(async move { usernames.refresh().await });
        }
        while let Some(refreshed) = replicas.join_next().await {
            refreshed.unwrap().unwrap();
        }
        assert_eq!(rows(&db).await, (i64::try_from(names.len()).unwrap(), 0), "{change}");
    }
}

/// Whether a statement waits for a lock: on MariaDB any of the server's, since it tells of its transactions what it knew when it was last
/// left alone for a tenth of a second.
async fn waits_for_a_lock(db: &DatabaseConnection) -> bool {
    let waiting = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        }
        _ => {
            "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
             WHERE variable_name = 'Innodb_row_lock_current_waits'"
        }
    };
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), waiting)).await.unwrap();
    row.unwrap().try_get_by_index::<i64>(0).unwrap() > 0
}

/// On SQLite one of the two goes first: there is one writer at a time.
#[tokio::test]
async fn nothing_is_stored_of_the_name_of_a_user_who_is_deleted_while_names_are_put_right() {
    let server = TestServer::start(&[]).await;
    if server.data.is_embedded() {
        return;
    }
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let db = server.data.connect().await;
    db.execute_unprepared("DELETE FROM usernames").await.unwrap();
    let deleting = server.data.connect().await.begin().await.unwrap();
    deleting.execute_unprepared("DELETE FROM users").await.unwrap();
    let store = server.store().await;
    let refreshing = tokio::spawn(async move { store.refresh_usernames(None).await });
    eventually("she was seen", async || refreshing.is_finished() || waits_for_a_lock(&db).await).await;
    deleting.commit().await.unwrap();
    refreshing.await.unwrap().unwrap();
    assert_eq!(rows(&db).await, (0, 0));
}

#[tokio::test]
async fn a_deleted_name_rests_in_every_spelling_if_its_account_was_older_than_a_day() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    for name in ["Alice", "bob", "\u{3c3}\u{3b1}\u{3c2}"] {
        client.sign_up(name, PASSWORD).await.unwrap();
    }
    // Nobody is known by the name of a day.
    client.delete_me("bob").await;
    client.sign_up("bob", PASSWORD).await.unwrap();
    server.clock.advance(Duration::from_hours(24) + Duration::from_secs(1));
    let replica = server.replica(&[]).await;
    let mut elsewhere = replica.client().await;
    for name in ["alice", "\u{3c3}\u{3b1}\u{3c3}"] {
        client.delete_me(name).await;
    }
    server.clock.advance(Duration::from_hours(29 * 24));
    for name in ["alice", "ALICE", "Alice", "\u{3a3}\u{391}\u{3a3}", "\u{3c3}\u{3b1}\u{3c2}"] {
        client.cannot_have(name).await;
        elsewhere.cannot_have(name).await;
    }
    client.sign_up("alicia", PASSWORD).await.unwrap();
    server.clock.advance(Duration::from_hours(24));
    for name in ["alice", "\u{3a3}\u{391}\u{3a3}"] {
        elsewhere.sign_up(name, PASSWORD).await.unwrap();
    }
    let db = server.data.connect().await;
    eventually("nothing is kept of a name that rests no longer", || async { resting(&db).await == 0 }).await;
}

#[tokio::test]
async fn a_name_rests_on_when_keys_rotate_and_the_master_key_is_replaced() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    server.clock.advance(Duration::from_hours(25));
    client.delete_me("alice").await;
    let keys = elsewhere(&server).await;
    keys.rotate(true, &Administrator::operator()).await.unwrap();
    client.cannot_have("Alice").await;
    let master_key = "0f".repeat(32);
    keys.reseal(&MasterKey::from_hex(&master_key).unwrap()).await.unwrap();
    client.cannot_have("Alice").await;
    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &[&format!("--master-key={master_key}")]).await;
    let mut client = server.client().await;
    client.cannot_have("Alice").await;
    client.sign_up("alicia", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn no_name_rests_where_that_is_off() {
    let server = TestServer::start(&["--username-rest=0s"]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    server.clock.advance(Duration::from_hours(48));
    client.delete_me("alice").await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    assert_eq!(resting(&server.data.connect().await).await, 0);
}

/// How many names rest.
async fn resting(db: &DatabaseConnection) -> i64 {
    let mut query = Query::select();
    query.expr(Expr::cust("COUNT(*)")).from("resting_usernames");
    db.query_one(&query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}
