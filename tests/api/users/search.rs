//! Owns searching users: each filter, page by page, and what a prefix finds.

use std::collections::BTreeSet;

use signet::{
    base::Entropy,
    identity::{
        Administrator, UsernameRests,
        users::{FoundUser, NewUserFields, Span, UserFilter, UserRef},
    },
    model::{
        Error, Group, GroupId, GroupName, UserId,
        profile::{DisplayName, Email},
    },
    store::StoredUser,
};

use super::{Users, minute, prefix, user, with_profile};
use crate::{harness::START, operator::by_operator};

/// How many users there are: more than one page reads.
const MANY: u64 = 10_000;

/// Users in a row: every fourth is called `carol…`, ten are made in one minute, two thirds have logged in, ten in one minute.
fn many() -> Vec<StoredUser> {
    let one = |number: u64| {
        let word = ["alice", "Bob", "carol", "DAVE"][usize::try_from(number % 4).unwrap()];
        let mut stored = user(&format!("{word}{number:05}"), number / 10);
        stored.user.email = (!number.is_multiple_of(5))
            .then(|| Email::parse(&format!("{}@example.com", number % 7)).unwrap());
        stored.user.display_name = Some(DisplayName::parse("Somebody").unwrap());
        stored.login_time = (!number.is_multiple_of(3)).then(|| minute(MANY - number / 10));
        stored.user.is_active = !number.is_multiple_of(100);
        stored
    };
    (0..MANY).map(one).collect()
}

/// The ids of those of `users` whom `wanted` takes, in the order of `key`, and then of ids.
fn expected<K: Ord>(
    users: &[StoredUser],
    wanted: impl Fn(&StoredUser) -> bool,
    key: impl Fn(&StoredUser) -> K,
) -> Vec<UserId> {
    let mut found: Vec<_> = users.iter().filter(|user| wanted(user)).collect();
    found.sort_by_key(|stored| (key(stored), stored.user.id));
    found.into_iter().map(|stored| stored.user.id).collect()
}

fn ids(found: &[FoundUser]) -> Vec<UserId> {
    found.iter().map(|found| found.user.id).collect()
}

/// Filters, and whom each finds among `all`, of whom `members` are in `group`.
fn cases(
    all: &[StoredUser],
    group: GroupId,
    members: &BTreeSet<UserId>,
) -> Vec<(&'static str, UserFilter, Vec<UserId>)> {
    let none = UserFilter::default;
    let span = |from, before| Span { from: Some(minute(from)), before };
    let folded = |stored: &StoredUser| stored.user.username.canonical().to_owned();
    let email = |stored: &StoredUser| stored.user.email.as_ref().map(|email| email.as_str().to_owned());
    vec![
        ("nothing", none(), expected(all, |_| true, |_| ())),
        (
            "a username",
            UserFilter { username: Some(prefix("CAROL")), ..none() },
            expected(all, |stored| folded(stored).starts_with("carol"), folded),
        ),
        (
            "an address that many have",
            UserFilter { email: Some(prefix("3@E")), ..none() },
            expected(all, |stored| email(stored).as_deref() == Some("3@example.com"), email),
        ),
        (
            "any address",
            UserFilter { email: Some(prefix("")), ..none() },
            expected(all, |stored| email(stored).is_some(), email),
        ),
        (
            "a name to show that all have",
            UserFilter { display_name: Some(prefix("some")), ..none() },
            expected(all, |_| true, |_| ()),
        ),
        (
            "a group",
            UserFilter { group: Some(group), ..none() },
            expected(all, |stored| members.contains(&stored.user.id), |_| ()),
        ),
        (
            "when they were made",
            UserFilter { created: span(500, Some(minute(700))), ..none() },
            expected(
                all,
                |stored| stored.user.create_time >= minute(500) && stored.user.create_time < minute(700),
                |stored| stored.user.create_time,
            ),
        ),
        (
            "when they last logged in",
            UserFilter { last_login: span(9_500, None), ..none() },
            expected(all, |stored| stored.login_time >= Some(minute(9_500)), |stored| stored.login_time),
        ),
        (
            "a name within a group of those who have not logged in",
            UserFilter {
                username: Some(prefix("alice")),
                group: Some(group),
                last_login: Span { from: None, before: Some(START) },
                ..none()
            },
            expected(
                all,
                |stored| {
                    members.contains(&stored.user.id)
                        && stored.login_time.is_none()
                        && folded(stored).starts_with("alice")
                },
                folded,
            ),
        ),
        (
            "those who are disabled",
            UserFilter { is_active: Some(false), ..none() },
            expected(all, |stored| !stored.user.is_active, |_| ()),
        ),
    ]
}

#[tokio::test]
async fn every_filter_lists_each_user_once_and_in_its_order_however_long_the_pages_are() {
    let (users, _data, _) = Users::empty().await;
    let all = many();
    users.add(&all).await;
    let group = Group {
        id: GroupId::new(START, &Entropy::system()),
        name: GroupName::parse("night").unwrap(),
        create_time: START,
    };
    users.store.add_group(&group, by_operator(START)).await.unwrap();
    let members: BTreeSet<_> = all.iter().step_by(400).map(|stored| stored.user.id).collect();
    for id in &members {
        users.store.add_member(group.id, *id, by_operator(START)).await.unwrap();
    }
    for (what, filter, expected) in cases(&all, group.id, &members) {
        assert!(!expected.is_empty(), "{what}");
        for size in [500, 77] {
            assert_eq!(ids(&users.walk(&filter, size).await.0), expected, "{what}, by {size}");
        }
    }
}

#[tokio::test]
async fn a_page_that_filters_reads_so_many_rows_and_may_be_empty() {
    let (users, _data, _) = Users::empty().await;
    let mut all: Vec<_> = (0..5_001).map(|number| user(&format!("u{number:05}"), number)).collect();
    all.last_mut().unwrap().user.is_active = false;
    users.add(&all).await;
    let filter = UserFilter { is_active: Some(false), ..UserFilter::default() };
    let first = users.directory.search(&filter, None, 50).await.unwrap();
    assert!(first.users.is_empty() && first.next.is_some());
    let second = users.directory.search(&filter, first.next, 50).await.unwrap();
    assert_eq!((ids(&second.users), second.next), (vec![all[5_000].user.id], None));
}

#[tokio::test]
async fn who_is_changed_amid_the_pages_is_missed_by_nobody_else() {
    let (users, _data, _) = Users::empty().await;
    let all: Vec<_> = (0..20).map(|number| user(&format!("u{number:02}"), number)).collect();
    users.add(&all).await;
    let filter = UserFilter { username: Some(prefix("u")), ..UserFilter::default() };
    let first = users.directory.search(&filter, None, 10).await.unwrap();
    let by = Administrator::operator();
    let id = |number: usize| UserRef::Id(all[number].user.id);
    // The one where the next page begins is gone, one is now before it, and there is another one after it.
    let rests = async { Ok::<_, Error>(UsernameRests::OFF) };
    users.registry.delete(&id(9), None, rests, &by).await.unwrap();
    let fields = NewUserFields { username: Some("a-name-before"), ..NewUserFields::default() };
    users.registry.update(&id(15), fields, None, &UsernameRests::OFF, &by).await.unwrap();
    users.add(&[user("u12a", 30)]).await;
    let second = users.directory.search(&filter, first.next, 20).await.unwrap();
    let names: Vec<_> = second.users.iter().map(|found| found.user.username.typed()).collect();
    assert_eq!(names, ["u10", "u11", "u12", "u12a", "u13", "u14", "u16", "u17", "u18", "u19"]);
    assert_eq!(second.next, None);
}

#[tokio::test]
async fn a_prefix_is_a_text_in_any_case_and_no_pattern() {
    let (users, _data, _) = Users::empty().await;
    let shown = |name: &str, display_name: &str| with_profile(name, None, Some(display_name));
    users
        .add(&[
            shown("anna", "Émile"),
            shown("bert", "emil"),
            shown("cora", "STRASSE"),
            shown("dora", "straße 2"),
            shown("emil", "ΣΑΣ"),
            shown("fred", "σας b"),
            shown("gina", "100% sure"),
            shown("hans", "100 sure"),
            shown("ines", "a_b"),
            shown("jana", "axb"),
            shown("kurt", &"x".repeat(128)),
            shown("lisa", &format!("{}y", "x".repeat(127))),
            shown("mona", &"\u{1f468}".repeat(100)),
            shown("nora", &format!("{}b", "\u{1f468}".repeat(99))),
        ])
        .await;
    let by_name = async |text: &str| {
        users.names(&UserFilter { display_name: Some(prefix(text)), ..UserFilter::default() }).await
    };
    let sort = |mut names: Vec<String>| {
        names.sort();
        names
    };
    for (text, expected) in [
        ("ÉM", &["anna"][..]),
        ("e\u{301}m", &["anna"]),
        ("em", &["bert"]),
        ("E", &["anna", "bert"]),
        ("Straß", &["cora", "dora"]),
        ("strass", &["cora", "dora"]),
        ("σασ", &["emil", "fred"]),
        ("100%", &["gina"]),
        ("100", &["gina", "hans"]),
        ("a_", &["ines"]),
        ("%", &[]),
        ("a\0", &[]),
        (&"X".repeat(127), &["kurt", "lisa"]),
        (&"x".repeat(128), &["kurt"]),
        // Beyond what is kept of a text to be searched.
        (&"\u{1f468}".repeat(100), &["mona"]),
        (&format!("{}B", "\u{1f468}".repeat(99)), &["nora"]),
        (&"\u{1f468}".repeat(90), &["mona", "nora"]),
    ] {
        assert_eq!(sort(by_name(text).await), expected, "{text:?}");
    }
}
