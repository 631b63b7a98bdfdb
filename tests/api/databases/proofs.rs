//! Owns what a session opens on: a proof of credentials that are still the user's when it opens.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, TransactionTrait,
    sea_query::{Expr, ExprTrait, Query, SimpleExpr},
};
use signet::{
    model::UserId,
    proto::identity::v1::{ChangePasswordRequest, IssueTokenResponse},
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    harness::{PASSWORD, TestServer, assert_refused, config, eventually, with_token},
    issue_token::bring_over,
    own_account::rename,
};

/// How often a race is run again that SQLite has ended, whose writers wait for each other for a second or two and no longer.
const ROUNDS: usize = 10;

/// `users.credential_version` of the user `id`.
async fn version(db: &DatabaseConnection, id: UserId) -> Option<Uuid> {
    let query = Query::select()
        .column("credential_version")
        .from("users")
        .and_where(Expr::col("id").eq(id.0))
        .to_owned();
    db.query_one(&query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Logs in as `username` while `changes` of the user are written: the login has read the user and judged the password before they are
/// committed, and its session opens after.
async fn log_in_amid(
    server: &TestServer,
    username: &str,
    id: UserId,
    changes: &[(&'static str, SimpleExpr)],
) -> Result<IssueTokenResponse, Status> {
    let hashes = async || server.scrape().await.sum("signet_hash_seconds_count", &[]);
    let (db, before) = (server.data.connect().await, hashes().await);
    let changing = db.begin().await.unwrap();
    let update = Query::update()
        .table("users")
        .values(changes.iter().cloned())
        .and_where(Expr::col("id").eq(id.0))
        .to_owned();
    changing.execute(&update).await.unwrap();
    let (mut client, name) = (server.client().await, username.to_owned());
    let login = tokio::spawn(async move { client.log_in(&name, PASSWORD).await });
    eventually("the password has been judged", async || hashes().await > before).await;
    changing.commit().await.unwrap();
    login.await.unwrap()
}

/// Whether a login opens a session while `changes` are written.
async fn opens_amid(server: &TestServer, what: &str, changes: &[(&'static str, SimpleExpr)]) -> bool {
    for round in 0..ROUNDS {
        let username = format!("{}-{round}", what.replace(' ', "-"));
        let user = server.client().await.sign_up(&username, PASSWORD).await.unwrap();
        let id = UserId(user.id.parse().unwrap());
        let answer = log_in_amid(server, &username, id, changes).await;
        if answer.as_ref().is_err_and(|status| status.code() == Code::Unavailable) {
            continue;
        }
        let lifetime = config(&server.data, &[]).session_lifetime();
        let sessions =
            server.store().await.sessions(id, None, 10, lifetime, server.clock.now()).await.unwrap();
        match answer {
            Ok(_) => assert_eq!(sessions.len(), 1, "{what}"),
            Err(status) => {
                assert_refused(Err::<(), _>(status), Code::Unauthenticated, "INVALID_CREDENTIALS");
                assert_eq!(sessions, [], "{what}");
            }
        }
        return sessions.len() == 1;
    }
    panic!("{what}: the database is locked for too long, {ROUNDS} times");
}

#[tokio::test]
async fn a_login_that_races_with_a_change_of_the_credentials_opens_no_session() {
    let server = TestServer::start(&[]).await;
    let hash = || ("password_hash", Expr::value("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$another"));
    let version = || ("credential_version", Expr::value(Uuid::from_u128(7)));
    for (what, changes) in [
        ("both", vec![hash(), version()]),
        ("by the release before", vec![hash()]),
        ("another credential than the password", vec![version()]),
        ("the version is gone", vec![("credential_version", Expr::value(None::<Uuid>))]),
    ] {
        assert!(!opens_amid(&server, what, &changes).await, "{what}");
    }
    let other = [("display_name", Expr::value("Alice"))];
    assert!(opens_amid(&server, "no credential", &other).await);
}

#[tokio::test]
async fn the_version_changes_with_the_password_and_with_nothing_else() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let user = client.sign_up("alice", PASSWORD).await.unwrap();
    let id = UserId(user.id.parse().unwrap());
    let (db, store) = (server.data.connect().await, server.store().await);
    let first = version(&db, id).await;
    assert!(first.is_some(), "a new user has one");
    let mut token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    rename(&mut client, &token, "Alice").await.unwrap();
    for active in [false, true] {
        let change = crate::operator::by_operator(server.clock.now());
        let done = crate::operator::applied(store.set_active(id, active, change).await.unwrap());
        assert_eq!(done.switched, [id]);
    }
    eventually("the user is seen to be enabled", || {
        let mut client = client.clone();
        async move { client.log_in("alice", PASSWORD).await.is_ok() }
    })
    .await;
    assert_eq!(version(&db, id).await, first);
    let mut versions = vec![first];
    // Also if the new password is the old one: it was set anew.
    for _ in 0..2 {
        token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
        let change = ChangePasswordRequest {
            current_password: PASSWORD.to_owned(),
            new_password: PASSWORD.to_owned(),
        };
        client.0.change_password(with_token(change, &token)).await.unwrap();
        let changed = version(&db, id).await;
        assert!(changed.is_some() && !versions.contains(&changed), "{versions:?} {changed:?}");
        versions.push(changed);
    }
}

#[tokio::test]
async fn a_hash_that_a_login_replaces_leaves_the_version_as_it_is() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let (db, store) = (server.data.connect().await, server.store().await);
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    let [new, older] = [bring_over(&server, "new", &hash).await, bring_over(&server, "older", &hash).await];
    // As the release before leaves it.
    let forget = "UPDATE users SET credential_version = NULL WHERE username = 'older'";
    db.execute_unprepared(forget).await.unwrap();
    for (username, id) in [("new", new), ("older", older)] {
        let before = version(&db, id).await;
        assert_eq!(before.is_some(), username == "new");
        client.log_in(username, PASSWORD).await.unwrap();
        let credentials = store.credentials_of(id).await.unwrap().unwrap();
        assert_ne!(credentials.password_hash, hash, "the login has replaced it");
        assert_eq!(version(&db, id).await, before, "{username}");
        client.log_in(username, PASSWORD).await.unwrap();
    }
    let token = client.log_in("older", PASSWORD).await.unwrap().access_token;
    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: format!("{PASSWORD} staple"),
    };
    client.0.change_password(with_token(change, &token)).await.unwrap();
    assert!(version(&db, older).await.is_some(), "a change of the password gives it one");
}

/// A replica of the release before writes the hash alone.
#[tokio::test]
async fn a_password_that_the_release_before_has_changed_is_the_one_that_counts() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let user = client.sign_up("alice", PASSWORD).await.unwrap();
    let id = UserId(user.id.parse().unwrap());
    let db = server.data.connect().await;
    let changed = bcrypt::hash("another good one", 4).unwrap();
    let update = Query::update()
        .table("users")
        .value("password_hash", changed)
        .and_where(Expr::col("id").eq(id.0))
        .to_owned();
    db.execute(&update).await.unwrap();
    let refused = client.log_in("alice", PASSWORD).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let token = client.log_in("alice", "another good one").await.unwrap().access_token;
    client.get_me(&token).await.unwrap();
}
