//! Owns changing users: renames, races, all-or-none batches, and the account's allowance.

use signet::{
    identity::{
        Administrator, UsernameRests,
        users::{NewUserFields, UserFilter, UserRef},
    },
    model::{Error, UserId, Username},
};

use super::{Users, prefix, user, with_profile};

fn renamed(name: &str) -> NewUserFields<'_> {
    NewUserFields { username: Some(name), ..NewUserFields::default() }
}

#[tokio::test]
async fn what_is_changed_is_found_by_what_it_is_now_and_by_nothing_else() {
    let (users, _data, _) = Users::empty().await;
    let alice = with_profile("alice", Some("alice@example.com"), Some("Alice"));
    users.add(&[alice.clone(), user("bob", 1)]).await;
    let (who, by) = (UserRef::Id(alice.user.id), Administrator::operator());
    let change = NewUserFields {
        username: Some("Грета"),
        email: Some(Some("GRETA@example.com")),
        display_name: Some(None),
        ..NewUserFields::default()
    };
    let found = users.registry.update(&who, change, None, &UsernameRests::OFF, &by).await.unwrap();
    assert_eq!(found.user.username.typed(), "Грета");
    assert_ne!(found.user.etag(), alice.user.etag());
    let none = UserFilter::default;
    for (filter, expected) in [
        (UserFilter { username: Some(prefix("грет")), ..none() }, &["Грета"][..]),
        (UserFilter { username: Some(prefix("alice")), ..none() }, &[]),
        (UserFilter { email: Some(prefix("greta@")), ..none() }, &["Грета"]),
        (UserFilter { email: Some(prefix("alice")), ..none() }, &[]),
        (UserFilter { display_name: Some(prefix("")), ..none() }, &[]),
    ] {
        assert_eq!(users.names(&filter).await, expected, "{filter:?}");
    }
    let directory = &users.directory;
    assert_eq!(directory.find(&UserRef::Name("ГРЕТА".to_owned())).await.unwrap().id, alice.user.id);
    assert!(matches!(directory.find(&UserRef::Name("alice".to_owned())).await, Err(Error::UserNotFound(_))));
    // What it looks like is kept, and what it looked like is not.
    let bob = UserRef::Name("bob".to_owned());
    let taken = users.registry.update(&bob, renamed("грета"), None, &UsernameRests::OFF, &by);
    assert!(matches!(taken.await, Err(Error::UsernameTaken)));
    let outdated = alice.user.etag();
    let late =
        users.registry.update(&who, renamed("alice"), Some(outdated.as_str()), &UsernameRests::OFF, &by);
    assert!(matches!(late.await, Err(Error::EtagMismatch)));
    users.registry.update(&who, renamed("alice"), None, &UsernameRests::OFF, &by).await.unwrap();
    users.registry.update(&bob, renamed("грета"), None, &UsernameRests::OFF, &by).await.unwrap();
}

#[tokio::test]
async fn another_spelling_of_the_own_name_is_no_other_name_and_an_old_one_may_stay() {
    let (users, _data, _) = Users::empty().await;
    // A name from before the rules of new names.
    let old = user("-alice", 0);
    users.add(std::slice::from_ref(&old)).await;
    let (who, by) = (UserRef::Id(old.user.id), Administrator::operator());
    let found = users.registry.update(&who, renamed("-ALICE"), None, &UsernameRests::OFF, &by).await.unwrap();
    assert_eq!(found.user.username, Username::parse("-ALICE").unwrap());
    let refused = users.registry.update(&who, renamed("-bob"), None, &UsernameRests::OFF, &by).await;
    let Err(Error::InvalidFields(violations)) = refused else { panic!("{refused:?}") };
    assert_eq!(violations[0].field, "user.username");
}

#[tokio::test]
async fn of_two_who_are_given_one_name_at_once_one_gets_it() {
    let (users, _data, _) = Users::empty().await;
    for round in 0_u64..10 {
        // The final sigma makes one name of two texts.
        let two = [user(&format!("a{round}"), round), user(&format!("b{round}"), round)];
        users.add(&two).await;
        let (one, other) = (format!("σασ{round}σ"), format!("ΣΑΣ{round}ς"));
        let by = Administrator::operator();
        let rename = async |id: UserId, name: &str| {
            users.registry.update(&UserRef::Id(id), renamed(name), None, &UsernameRests::OFF, &by).await
        };
        let (first, second) = tokio::join!(rename(two[0].user.id, &one), rename(two[1].user.id, &other));
        let refused = [first, second].into_iter().filter_map(Result::err).collect::<Vec<_>>();
        assert!(matches!(refused.as_slice(), [Error::UsernameTaken]), "{refused:?}");
    }
}

#[tokio::test]
async fn who_is_deleted_while_it_is_changed_is_gone_with_all_of_it() {
    let (users, _data, _) = Users::empty().await;
    for round in 0_u64..10 {
        let one = user(&format!("a{round}"), round);
        users.add(std::slice::from_ref(&one)).await;
        let (who, by) = (UserRef::Id(one.user.id), Administrator::operator());
        let name = format!("грета{round}");
        let rests = async { Ok::<_, Error>(UsernameRests::OFF) };
        let (changed, deleted) = tokio::join!(
            users.registry.update(&who, renamed(&name), None, &UsernameRests::OFF, &by),
            users.registry.delete(&who, None, rests, &by),
        );
        assert!(deleted.unwrap().is_some());
        assert!(matches!(changed, Ok(_) | Err(Error::UserNotFound(_))), "{changed:?}");
        // Neither name is anybody's.
        users.add(&[user(&name, round), user(&format!("A{round}"), round)]).await;
    }
}

#[tokio::test]
async fn a_batch_is_done_to_all_or_to_none() {
    let (users, _data, _) = Users::empty().await;
    let all: Vec<_> = (0..3).map(|number| user(&format!("u{number}"), number)).collect();
    users.add(&all).await;
    let (by, ids) = (Administrator::operator(), all.iter().map(|one| one.user.id).collect::<Vec<_>>());
    let with_nobody = [ids.as_slice(), &[UserId(uuid::Uuid::nil())]].concat();
    let (registry, store) = (&users.registry, &users.store);
    let refused = registry.disable_all(&with_nobody, &by).await;
    assert!(matches!(&refused, Err(Error::UserNotFound(who)) if *who == uuid::Uuid::nil().to_string()));
    assert!(matches!(
        registry.delete_all(&with_nobody, &UsernameRests::OFF, &by).await,
        Err(Error::UserNotFound(_))
    ));
    assert!(store.user(ids[0]).await.unwrap().unwrap().is_active);
    // One that is named twice is one.
    registry.disable_all(&[ids.as_slice(), &ids].concat(), &by).await.unwrap();
    for id in &ids {
        assert!(!store.user(*id).await.unwrap().unwrap().is_active);
    }
    registry.delete_all(&ids, &UsernameRests::OFF, &by).await.unwrap();
    assert_eq!(store.user_count().await.unwrap(), 0);
}
