//! Owns the table `username_looks`: what a name with letters beyond ASCII looks like, both as it was typed and in its canonical form,
//! since either is shown.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::{Age, BATCH, Contest, Named, Store, ages, hash, oldest};
use crate::{
    model::{Error, UserId, Username},
    store::tables::entity::{
        username_looks::{Column, Entity, Model},
        usernames,
    },
};

/// A digest that is equal for names that look alike.
type Look = Vec<u8>;

/// The looks of `name`; none, if it has no letters beyond ASCII. In order, so that two who add the same ones do not wait for each other.
fn looks_of(name: &Username) -> BTreeSet<Look> {
    let skeletons = name.is_beyond_ascii().then(|| name.skeletons());
    skeletons.into_iter().flatten().map(|skeleton| hash(&skeleton)).collect()
}

/// Adds the looks of a new user within a transaction: a duplicate, if another has one.
pub(super) async fn insert(db: &impl ConnectionTrait, id: UserId, name: &Username) -> Result<(), DbErr> {
    let row = |look: Look| Model { user_id: id.0, own_look: Some(look.clone()), look };
    insert_all(db, &looks_of(name).into_iter().map(row).collect::<Vec<_>>()).await
}

/// Adds the looks of `users`, who have none, within a transaction; each is own to whom `contest` gives it.
pub(super) async fn add(
    db: &impl ConnectionTrait,
    users: &[Named<'_>],
    contest: Contest,
) -> Result<(), DbErr> {
    let wanted = users.iter().flat_map(|user| {
        let age: Age = (user.create_time.as_micros(), user.id.0);
        looks_of(user.name).into_iter().map(move |look| (look, age))
    });
    let wanted: Vec<(Look, Age)> = wanted.collect();
    let mut held = Vec::new();
    for looks in wanted.chunks(BATCH) {
        let looks = looks.iter().map(|(look, _)| look.clone());
        held.extend(Entity::find().filter(Column::OwnLook.is_in(looks)).all(db).await?);
    }
    let ids: Vec<_> = held.iter().map(|row| row.user_id).collect();
    let ages = ages(db, &ids, contest).await?;
    let age = |id: Uuid| (ages.get(&id).copied().unwrap_or(i64::MAX), id);
    let of_held = held.iter().map(|row| (row.look.clone(), age(row.user_id)));
    let owners = oldest(of_held.chain(wanted.iter().cloned()));
    for row in held.iter().filter(|row| owners.get(&row.look) != Some(&row.user_id)) {
        Entity::update_many()
            .col_expr(Column::OwnLook, Expr::value(None::<Look>))
            .filter(Column::UserId.eq(row.user_id))
            .filter(Column::Look.eq(row.look.clone()))
            .exec(db)
            .await?;
    }
    let rows = wanted.into_iter().map(|(look, (_, user_id))| {
        let own_look = (owners.get(&look) == Some(&user_id)).then(|| look.clone());
        Model { user_id, look, own_look }
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|left, right| left.look.cmp(&right.look));
    insert_all(db, &rows).await
}

async fn insert_all(db: &impl ConnectionTrait, rows: &[Model]) -> Result<(), DbErr> {
    for rows in rows.chunks(BATCH) {
        let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
        Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Deletes the looks of `users` within a transaction.
pub(super) async fn delete(db: &impl ConnectionTrait, users: &[Uuid]) -> Result<(), DbErr> {
    let of_users = Column::UserId.is_in(users.iter().copied());
    Entity::delete_many().filter(of_users).exec(db).await.map(drop)
}

/// Those of `users` that have rows.
pub(super) async fn users_among(db: &impl ConnectionTrait, users: &[Uuid]) -> Result<HashSet<Uuid>, DbErr> {
    if users.is_empty() {
        return Ok(HashSet::new());
    }
    let query = Entity::find().select_only().column(Column::UserId);
    let query = query.filter(Column::UserId.is_in(users.iter().copied()));
    Ok(query.into_tuple().all(db).await?.into_iter().collect())
}

/// Whether the name has letters beyond ASCII, and looks like that of another user than `id`.
pub(in crate::store) async fn looks_like_another(
    db: &impl ConnectionTrait,
    name: &Username,
    id: Option<UserId>,
) -> Result<bool, DbErr> {
    let looks = looks_of(name);
    if looks.is_empty() {
        return Ok(false);
    }
    // Names in ASCII have one look. Those that the release before has added have theirs here, too.
    Ok(!others(db, id.unwrap_or(UserId(Uuid::nil())), &looks, 1).await?.is_empty())
}

/// The users but `id` whose names have one of `looks`; of each table at most `limit`.
pub(super) async fn others(
    db: &impl ConnectionTrait,
    id: UserId,
    looks: &BTreeSet<Look>,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let typed = usernames::Entity::find()
        .select_only()
        .column(usernames::Column::UserId)
        .filter(usernames::Column::Skeleton.is_in(looks.iter().cloned()))
        .filter(usernames::Column::UserId.ne(id.0))
        .order_by_asc(usernames::Column::UserId)
        .limit(limit);
    let any = Entity::find()
        .select_only()
        .column(Column::UserId)
        .filter(Column::Look.is_in(looks.iter().cloned()))
        .filter(Column::UserId.ne(id.0))
        .order_by_asc(Column::UserId)
        .limit(limit);
    let typed: Vec<Uuid> = typed.into_tuple().all(db).await?;
    let any: Vec<Uuid> = any.into_tuple().all(db).await?;
    Ok(typed.into_iter().chain(any).collect::<BTreeSet<_>>().into_iter().collect())
}

/// Those of `rows`, which are there, that have letters beyond ASCII and look like other names, each with the looks that it shares.
pub(super) async fn shared(
    db: &impl ConnectionTrait,
    rows: &[usernames::Model],
) -> Result<HashMap<UserId, BTreeSet<Look>>, DbErr> {
    let rows: Vec<_> = rows.iter().filter(|row| row.is_beyond_ascii).collect();
    let mut shared = HashMap::<UserId, BTreeSet<Look>>::new();
    for rows in rows.chunks(BATCH / 2) {
        let own = Entity::find().filter(Column::UserId.is_in(rows.iter().map(|row| row.user_id)));
        let own: HashSet<(Uuid, Look)> =
            own.all(db).await?.into_iter().map(|row| (row.user_id, row.look)).collect();
        let typed: HashSet<(Uuid, Look)> =
            rows.iter().map(|row| (row.user_id, row.skeleton.clone())).collect();
        let looks: BTreeSet<Look> = own.union(&typed).map(|(_, look)| look.clone()).collect();
        let (in_names, in_looks) = counts(db, &looks).await?;
        for (user, look) in own.union(&typed) {
            let count = |counts: &HashMap<Look, i64>, of_itself: &HashSet<(Uuid, Look)>| {
                let itself = i64::from(of_itself.contains(&(*user, look.clone())));
                counts.get(look).copied().unwrap_or_default() - itself
            };
            if count(&in_names, &typed) > 0 || count(&in_looks, &own) > 0 {
                shared.entry(UserId(*user)).or_default().insert(look.clone());
            }
        }
    }
    Ok(shared)
}

/// How many names have each of `looks` as they were typed, and how many have it at all. One row for each look: anybody may make names in
/// ASCII that look alike, as many as they like.
async fn counts(
    db: &impl ConnectionTrait,
    looks: &BTreeSet<Look>,
) -> Result<(HashMap<Look, i64>, HashMap<Look, i64>), DbErr> {
    let number = || Expr::cust("COUNT(*)");
    let typed: Vec<(Look, i64)> = usernames::Entity::find()
        .select_only()
        .column(usernames::Column::Skeleton)
        .column_as(number(), "number")
        .filter(usernames::Column::Skeleton.is_in(looks.iter().cloned()))
        .group_by(usernames::Column::Skeleton)
        .into_tuple()
        .all(db)
        .await?;
    let any: Vec<(Look, i64)> = Entity::find()
        .select_only()
        .column(Column::Look)
        .column_as(number(), "number")
        .filter(Column::Look.is_in(looks.iter().cloned()))
        .group_by(Column::Look)
        .into_tuple()
        .all(db)
        .await?;
    Ok((typed.into_iter().collect(), any.into_iter().collect()))
}

impl Store {
    /// Deletes the looks after the user `after` whose users are gone; of a page at most. Returns the page's last user; none after the last
    /// page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_stray_looks(&self, after: Option<UserId>) -> Result<Option<UserId>, Error> {
        self.delete_stray::<Entity>(Column::UserId, after).await
    }
}
