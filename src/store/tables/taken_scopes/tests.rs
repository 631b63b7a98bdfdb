//! Owns from whom scopes are said to be taken.

use sea_orm::ActiveValue::Set;

use super::*;
use crate::{base::Entropy, model::RoleId, store::Store};

fn ids(range: std::ops::RangeInclusive<u128>) -> BTreeSet<Uuid> {
    range.map(Uuid::from_u128).collect()
}

fn set(names: &str) -> NameSet {
    NameSet::parse(names).unwrap()
}

fn role(id: u128, audience: &str, scopes: &str) -> Role {
    Role {
        id: RoleId(Uuid::from_u128(id)),
        name: RoleName::parse(&format!("role{id}")).unwrap(),
        audience: AudienceName::parse(audience).unwrap(),
        scopes: set(scopes),
        description: crate::model::Description::default(),
        create_time: Timestamp::from_micros(0),
        update_time: Timestamp::from_micros(0),
    }
}

/// A store, in which whoever is asked for need not exist.
async fn store(dir: &tempfile::TempDir) -> Store {
    let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
    store.migrate(Duration::ZERO).await.unwrap();
    store
}

async fn bind(store: &Store, role: &Role, subject: Principal, end: Option<Timestamp>) {
    let row = bound::ActiveModel {
        organization_id: Set(INSTANCE),
        id: Set(Uuid::from_u128(role.id.0.as_u128() << 64 | subject.id().as_u128())),
        role_id: Set(role.id.0),
        subject_kind: Set(subject.kind().to_owned()),
        subject_id: Set(subject.id()),
        expire_time: Set(end.map(Timestamp::as_micros)),
        create_time: Set(0),
    };
    bound::Entity::insert(row).exec_without_returning(&store.writer).await.unwrap();
}

async fn group_of(store: &Store, role: &Role, group: u128, members: BTreeSet<Uuid>) {
    let group = GroupId(Uuid::from_u128(group));
    bind(store, role, Principal::Group(group), None).await;
    let rows = members.into_iter().map(|user| memberships::ActiveModel {
        organization_id: Set(INSTANCE),
        group_id: Set(group.0),
        user_id: Set(user),
        create_time: Set(0),
    });
    memberships::Entity::insert_many(rows).exec_without_returning(&store.writer).await.unwrap();
}

/// Whom the feed says to have lost which scopes.
async fn told(store: &Store) -> Vec<(Uuid, String)> {
    let changes = store.changes(0, 1_000).await.unwrap();
    let told = changes.into_iter().filter(|change| change.kind == Some(ChangeKind::Scopes));
    told.map(|change| (change.subject, change.scopes.unwrap().as_str().to_owned())).collect()
}

#[test]
fn a_hundred_are_named_and_more_are_everybody() {
    assert!(matches!(Losers::of(ids(1..=100)), Losers::Named(named) if named.len() == 100));
    assert_eq!(Losers::of(ids(1..=101)), Losers::Everybody);
}

#[tokio::test]
async fn who_is_in_two_groups_takes_nobody_elses_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let writer = role(1, "stock", "write");
    group_of(&store, &writer, 1_001, ids(1..=60)).await;
    group_of(&store, &writer, 1_002, ids(1..=60)).await;
    group_of(&store, &writer, 1_003, ids(61..=65)).await;
    // Another role's are not meant.
    group_of(&store, &role(2, "stock", "read"), 1_004, ids(200..=220)).await;
    assert_eq!(holders(&store.db, &writer).await.unwrap(), Losers::Named(ids(1..=65)));
    for user in ids(1..=51) {
        bind(&store, &writer, Principal::User(crate::model::UserId(user)), None).await;
    }
    assert_eq!(holders(&store.db, &writer).await.unwrap(), Losers::Named(ids(1..=65)));
    group_of(&store, &writer, 1_005, ids(66..=100)).await;
    assert_eq!(holders(&store.db, &writer).await.unwrap(), Losers::Named(ids(1..=100)));
    group_of(&store, &writer, 1_006, ids(101..=101)).await;
    assert_eq!(holders(&store.db, &writer).await.unwrap(), Losers::Everybody);
    let everyone = Role { name: RoleName::everyone(), ..role(3, "stock", "read") };
    assert_eq!(holders(&store.db, &everyone).await.unwrap(), Losers::Everybody, "who signs up now, too");
}

#[tokio::test]
async fn what_ends_before_a_token_does_is_not_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let now = Timestamp::from_micros(1_795_435_200_000_000);
    let alice = Principal::User(crate::model::UserId(Uuid::from_u128(7)));
    let gone = role(1, "stock", "write read count");
    let (soon, late) = (role(2, "stock", "write"), role(3, "stock", "count"));
    for role in [&soon, &late] {
        super::super::roles::insert(&store.writer, role).await.unwrap();
    }
    bind(&store, &soon, alice, Some(now.after(Duration::from_mins(1)))).await;
    bind(&store, &late, alice, Some(now.after(Duration::from_hours(25)))).await;
    tell_of(&store.writer, alice, std::slice::from_ref(&gone), now).await.unwrap();
    assert_eq!(told(&store).await, [(alice.id(), "write read".to_owned())]);
}

#[tokio::test]
async fn an_end_is_told_that_a_token_may_outlive_and_without_what_another_role_gives() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let now = Timestamp::from_micros(1_795_435_200_000_000);
    let alice = Principal::User(crate::model::UserId(Uuid::from_u128(7)));
    let (writer, other) = (role(1, "stock", "write read"), role(2, "stock", "read"));
    for role in [&writer, &other] {
        super::super::roles::insert(&store.writer, role).await.unwrap();
    }
    bind(&store, &other, alice, None).await;
    let in_30_days = now.after(Duration::from_hours(30 * 24));
    tell_of_end(&store.writer, alice, &writer, in_30_days, now).await.unwrap();
    assert_eq!(told(&store).await, []);
    let in_an_hour = now.after(Duration::from_hours(1));
    bind(&store, &writer, alice, Some(in_an_hour)).await;
    tell_of_end(&store.writer, alice, &writer, in_an_hour, now).await.unwrap();
    assert_eq!(told(&store).await, [(alice.id(), "write".to_owned())]);
}

#[tokio::test]
async fn the_roles_of_one_audience_are_told_at_once_and_long_ones_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let now = Timestamp::from_micros(1);
    let roles = [role(1, "stock", "write"), role(2, "stock", "read write"), role(3, "orders", "read")];
    let losers = Losers::Named(ids(7..=7));
    tell_of_group(&store.writer, &losers, &roles, now).await.unwrap();
    let alice = Uuid::from_u128(7);
    assert_eq!(told(&store).await, [(alice, "read".to_owned()), (alice, "write read".to_owned())]);
    let many: Vec<_> = (0..200).map(|number| format!("scope.number.{number}")).collect();
    let scopes = NameSet::default().with(many.iter().map(String::as_str));
    let audience = AudienceName::parse("parts").unwrap();
    tell(&store.writer, &Losers::Everybody, &audience, &scopes, now).await.unwrap();
    let told = told(&store).await;
    let parts = told.iter().filter(|(subject, _)| *subject == EVERYBODY).map(|(_, scopes)| &**scopes);
    assert_eq!(parts.collect::<Vec<_>>().join(" "), scopes.as_str());
}
