//! Owns what those hear who show one, or none: nothing of what is there, at the cost of a login.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::{collections::BTreeSet, time::Duration};

use sea_orm::ConnectionTrait;
use signet::{
    identity::{Administrator, UserRegistry, passwords::fits_nothing, users::UserRef},
    model::{BuiltInRole, Username},
    proto::identity::v1::{ChangePasswordRequest, DeleteMeRequest, SetNewPasswordRequest},
};
use tonic::{Code, Request};

use super::{NEW, Resets, user};
use crate::{
    harness::{PASSWORD, assert_refused, eventually, unaudited, with_token},
    issue_token::bring_over,
};

#[tokio::test]
async fn whoever_has_none_or_is_not_there_gets_the_answer_of_a_wrong_one_after_one_hash() {
    let resets = Resets::start(&[]).await;
    let mut client = resets.client.clone();
    for name in ["bob", "carol", "dave"] {
        client.sign_up(name, PASSWORD).await.unwrap();
    }
    bring_over(&resets.server, "erin", &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let (wrong, right, late) =
        (resets.reset("bob").await, resets.reset("alice").await, resets.reset("carol").await);
    resets.bind(BuiltInRole::Auditor.name(), &user("carol"), true).await;
    let disabled = resets.reset("dave").await;
    let registry =
        UserRegistry::new(resets.store.clone(), resets.server.clock.clone(), unaudited(&resets.server.clock));
    registry
        .set_active(&UserRef::Name("dave".to_owned()), false, None, &Administrator::operator())
        .await
        .unwrap();
    let mut answers = Vec::new();
    for (what, username, shown) in [
        ("nobody", "nobody", wrong.as_str()),
        ("no name", "no spaces", &wrong),
        ("another's", "alice", &wrong),
        ("none at all", "alice", "not of this form"),
        ("nothing", "alice", ""),
        ("oversized", "alice", &"0".repeat(10_000)),
        ("the password of whom has one", "erin", PASSWORD),
        ("void", "carol", &late),
        ("right, and disabled", "dave", &disabled),
    ] {
        let before = resets.hashes().await;
        let status = resets.set(username, shown, NEW).await.unwrap_err();
        assert_eq!(resets.hashes().await - before, 1.0, "{what}");
        let said = (status.code(), status.message().to_owned());
        assert_refused(Err::<(), _>(status), Code::Unauthenticated, "INVALID_CREDENTIALS");
        answers.push(said);
        // And at a login it is a wrong password: one hash, too, unless another system made the user's.
        let before = resets.hashes().await;
        if username != "erin" {
            let refused = client.log_in(username, shown).await;
            let status = assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
            answers.push((status.code(), status.message().to_owned()));
            assert_eq!(resets.hashes().await - before, 1.0, "{what}");
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let before = resets.hashes().await;
    resets.must_change("alice", &right).await;
    assert_eq!(resets.hashes().await - before, 1.0, "what opens nothing costs what a login costs");
    resets.set("alice", &right, NEW).await.unwrap();
    assert_eq!(resets.hashes().await - before, 2.0, "and so does choosing");
    // Those of one place that are alike are told in few lines.
    let expected = ["one_time_password_void", "unknown_user", "user_disabled", "wrong_password"];
    eventually("each reason is told", async || {
        let reasons: BTreeSet<_> = resets.reasons("password.set", 1).await.into_iter().collect();
        reasons.iter().eq(expected)
    })
    .await;
}

#[tokio::test]
async fn failures_are_charged_like_those_of_logins() {
    let resets = Resets::start(&["--account-failures=10", "--address-failures=100"]).await;
    for name in ["alice", "nobody"] {
        for _ in 0..10 {
            let refused = resets.set(name, "wrong", NEW).await;
            assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
        }
        let refused = resets.set(name, "wrong", NEW).await;
        assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
        let refused = resets.client.clone().log_in(name, "wrong").await;
        assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    }
    // A right one costs nothing at a login, for which what is used up is used up, too.
    let one_time = resets.reset("alice").await;
    let refused = resets.client.clone().log_in("alice", &one_time).await;
    assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    resets.server.clock.advance(Duration::from_hours(1));
    for _ in 0..20 {
        resets.must_change("alice", &one_time).await;
    }
    resets.set("alice", &one_time, NEW).await.unwrap();
}

/// Nobody guesses 128 random bits, and whoever guesses passwords must not keep a user from choosing one.
#[tokio::test]
async fn whoever_uses_up_what_an_account_has_keeps_nobody_from_the_one_time_password() {
    let resets = Resets::start(&[
        "--trusted-proxy-addresses=127.0.0.1",
        "--account-failures=10",
        "--address-failures=20",
    ])
    .await;
    let from = async |address: &str, username: &str, one_time: &str| {
        let mut request = Request::new(SetNewPasswordRequest {
            username: username.to_owned(),
            one_time_password: one_time.to_owned(),
            new_password: NEW.to_owned(),
        });
        request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
        resets.client.clone().0.set_new_password(request).await
    };
    let (old, right) = (resets.reset("alice").await, resets.reset("alice").await);
    // What has the form of one costs no account anything ...
    for number in 0..20 {
        let refused = from(&format!("192.0.2.{number}"), "alice", &old).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
    resets.must_change("alice", &right).await;
    // ... and is judged whatever the account is charged with; but it costs the address.
    for number in 0..10 {
        let refused = from(&format!("192.0.2.{number}"), "alice", "wrong").await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
    // Nothing is left to the address where the user is, either.
    let home = "198.51.100.7";
    for _ in 0..3 {
        let refused = from(home, "alice", "wrong").await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
    let refused = from(home, "alice", "wrong").await;
    assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    for username in ["alice", "nobody"] {
        for _ in 0..7 {
            let refused = from(home, username, &old).await;
            assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
        }
    }
    from(home, "alice", &right).await.unwrap();
    for _ in 0..3 {
        let refused = from(home, "alice", &right).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
    assert_refused(from(home, "alice", &right).await, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
}

#[tokio::test]
async fn it_is_no_password_where_one_is_asked_for_to_change_something() {
    let mut resets = Resets::start(&[]).await;
    let token = resets.client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let one_time = resets.reset("alice").await;
    let change = ChangePasswordRequest { current_password: one_time.clone(), new_password: NEW.to_owned() };
    let refused = resets.client.0.change_password(with_token(change, &token)).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let delete = DeleteMeRequest { password: one_time.clone() };
    let refused = resets.client.0.delete_me(with_token(delete, &token)).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    resets.set("alice", &one_time, NEW).await.unwrap();
}

/// What the release before does with the user: it judges the hash, and knows nothing else.
#[tokio::test]
async fn the_hash_beside_it_fits_nothing_and_another_hash_ends_it() {
    let resets = Resets::start(&[]).await;
    let one_time = resets.reset("alice").await;
    let alice = Username::parse("alice").unwrap();
    let found = resets.store.user_named(&alice).await.unwrap().unwrap();
    let hash = resets.store.credentials_of(found.id).await.unwrap().unwrap().password_hash;
    assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
    assert!(fits_nothing(&hash));
    // An import of the release before.
    let db = resets.server.data.connect().await;
    let imported = bcrypt::hash("brought over", 4).unwrap();
    db.execute_unprepared(&format!("UPDATE users SET password_hash = '{imported}' WHERE username = 'alice'"))
        .await
        .unwrap();
    resets.must_not_fit("alice", &one_time).await;
    resets.client.clone().log_in("alice", "brought over").await.unwrap();
}
