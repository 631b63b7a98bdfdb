//! Owns the tables `usernames` and `username_looks`: the other forms by which a name is found, and which names a new one must not
//! resemble.
//!
//! A name has one row in the first, by its user's id, and if it has letters beyond ASCII one for each of its looks in the other. A release
//! that does not know a table leaves rows out, and leaves those of users it deletes: [`Store::refresh_usernames`],
//! [`Store::delete_stray_usernames`] and [`Store::delete_stray_looks`] put that right.

mod collisions;
mod looks;

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use aws_lc_rs::digest::{SHA256, digest};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, JoinType,
    QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use crate::store::{
    BATCH, Store,
    engine::{failure, transaction::commit},
    tables::entity::{
        usernames::{Column, Entity, Model},
        users::{Column as UserColumn, Entity as UserEntity, Model as UserModel},
    },
};
use crate::{
    base::Timestamp,
    model::{Error, UserId, Username, look::SKELETON_VERSION},
};

pub use collisions::NameCollision;
pub(in crate::store) use looks::looks_like_another;

/// A user's name, and since when the user has it.
pub(in crate::store) struct Named<'a> {
    pub(in crate::store) id: UserId,
    pub(in crate::store) name: &'a Username,
    pub(in crate::store) create_time: Timestamp,
}

/// Who gets a form of a name that two users claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contest {
    /// It stays that user's.
    FirstCome,
    /// It is the older user's.
    Oldest,
}

/// Since when a user has a name; of two the one with the lesser id, which was made earlier.
type Age = (i64, Uuid);

fn hash(skeleton: &str) -> Vec<u8> {
    digest(&SHA256, skeleton.as_bytes()).as_ref().to_vec()
}

/// Whether other forms than the one that is stored are spellings of `name`, or may be stored of another user.
fn has_variants(name: &Username) -> bool {
    name.canonical().contains('σ')
}

fn row(id: UserId, name: &Username) -> Model {
    let skeleton = hash(&name.skeleton());
    Model {
        user_id: id.0,
        canonical: has_variants(name).then(|| name.canonical().to_owned()),
        own_skeleton: name.is_beyond_ascii().then(|| skeleton.clone()),
        skeleton,
        is_beyond_ascii: name.is_beyond_ascii(),
        skeleton_version: SKELETON_VERSION,
    }
}

/// How the user whom a name means is found in `users`.
pub(in crate::store) struct Meaning<'a> {
    name: Option<&'a Username>,
    /// Who has the canonical form, if others may be stored of it.
    holder: Option<Uuid>,
}

impl Meaning<'_> {
    /// Which rows may be meant: by the form that is stored alone, but for the few names that have others.
    pub(in crate::store) fn condition(&self) -> Condition {
        let is = UserColumn::UsernameCanonical;
        // No user has an empty name.
        let Some(name) = self.name else { return Condition::all().add(is.eq("")) };
        if !has_variants(name) {
            return Condition::all().add(is.eq(name.stored()));
        }
        let condition = Condition::any().add(is.is_in(name.stored_forms()));
        match self.holder {
            Some(id) => condition.add(UserColumn::Id.eq(id)),
            None => condition,
        }
    }

    /// The one of those rows that is meant: whoever has exactly this form; then who has the canonical one; and until that is settled
    /// the oldest.
    pub(in crate::store) fn choose(&self, rows: impl IntoIterator<Item = UserModel>) -> Option<UserModel> {
        let name = self.name?;
        let rank = |row: &UserModel| {
            (row.username_canonical != name.stored(), Some(row.id) != self.holder, row.create_time, row.id)
        };
        rows.into_iter().min_by_key(rank)
    }
}

impl Store {
    /// The user that `name` means, if there is one.
    pub(in crate::store) async fn meaning<'a>(
        &self,
        name: Option<&'a Username>,
    ) -> Result<Meaning<'a>, Error> {
        let Some(name) = name.filter(|name| has_variants(name)) else {
            return Ok(Meaning { name, holder: None });
        };
        let holder = Entity::find().filter(Column::Canonical.eq(name.canonical()));
        let holder = self.ask_for_one(|| holder.clone().all(&self.db)).await?;
        Ok(Meaning { name: Some(name), holder: holder.map(|row| row.user_id) })
    }

    /// The row of `users` that `name` means.
    pub(in crate::store) async fn meant(&self, name: &Username) -> Result<Option<UserModel>, Error> {
        let meaning = self.meaning(Some(name)).await?;
        let query = UserEntity::find().filter(meaning.condition());
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(meaning.choose(rows))
    }

    /// Makes the rows of users after `after` that have none or not all, or one of an older Unicode's tables; a page of users at most.
    /// Returns the page's last user; none after the last page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn refresh_usernames(&self, after: Option<UserId>) -> Result<Option<UserId>, Error> {
        let its_row = UserEntity::belongs_to(Entity).from(UserColumn::Id).to(Column::UserId);
        let mut query = UserEntity::find()
            .select_only()
            .column(UserColumn::Id)
            .column(Column::SkeletonVersion)
            .column(Column::IsBeyondAscii)
            .join(JoinType::LeftJoin, its_row.into())
            .order_by_asc(UserColumn::Id)
            .limit(BATCH as u64);
        if let Some(after) = after {
            query = query.filter(UserColumn::Id.gt(after.0));
        }
        let page: Vec<(Uuid, Option<i32>, Option<bool>)> =
            self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
        let last = page.last().filter(|_| page.len() == BATCH).map(|row| UserId(row.0));
        let beyond_ascii: Vec<_> =
            page.iter().filter(|(.., beyond)| *beyond == Some(true)).map(|(id, ..)| *id).collect();
        let seen = self.ask(|| looks::users_among(&self.db, &beyond_ascii)).await?;
        let is_outdated = |(id, version, beyond): &(Uuid, Option<i32>, Option<bool>)| {
            version.is_none_or(|version| version < SKELETON_VERSION)
                || (*beyond == Some(true) && !seen.contains(id))
        };
        let outdated: Vec<_> = page.into_iter().filter(is_outdated).map(|(id, ..)| id).collect();
        // Whoever is in the way at the second attempt too is another replica that does the same, or adds users: the next look at them
        // finds what is left.
        if !outdated.is_empty() && !self.renew_usernames(&outdated).await? {
            self.renew_usernames(&outdated).await?;
        }
        Ok(last)
    }

    /// Makes anew the rows of the users `ids` that are there and have no row of today. False, and nothing is written, if others have
    /// added such a row or a form of such a name meanwhile.
    async fn renew_usernames(&self, ids: &[Uuid]) -> Result<bool, Error> {
        let ids = || ids.iter().copied();
        self.write(|| async {
            let db = self.begin().await?;
            // Locked, so that nobody is deleted before the row is there to be deleted too, and others who do this wait.
            let users: Vec<(Uuid, String, String, i64)> = UserEntity::find()
                .select_only()
                .columns([
                    UserColumn::Id,
                    UserColumn::Username,
                    UserColumn::UsernameCanonical,
                    UserColumn::CreateTime,
                ])
                .filter(UserColumn::Id.is_in(ids()))
                .order_by_asc(UserColumn::Id)
                .lock_exclusive()
                .into_tuple()
                .all(&db)
                .await?;
            let newest: Vec<(Uuid, bool)> = Entity::find()
                .select_only()
                .columns([Column::UserId, Column::IsBeyondAscii])
                .filter(Column::UserId.is_in(ids()))
                .filter(Column::SkeletonVersion.gte(SKELETON_VERSION))
                .into_tuple()
                .all(&db)
                .await?;
            let seen = looks::users_among(&db, &ids().collect::<Vec<_>>()).await?;
            let is_done = |(id, beyond): &(Uuid, bool)| !beyond || seen.contains(id);
            let done: HashSet<Uuid> = newest.into_iter().filter(is_done).map(|(id, _)| id).collect();
            let users: Vec<_> = users
                .into_iter()
                .filter(|(id, ..)| !done.contains(id))
                .map(|(id, typed, stored, create_time)| {
                    (UserId(id), Username::from_stored(typed, stored), Timestamp::from_micros(create_time))
                })
                .collect();
            if users.is_empty() {
                return Ok(true);
            }
            let old: Vec<_> = users.iter().map(|(id, ..)| id.0).collect();
            delete(&db, &old).await?;
            let named = users.iter().map(|(id, name, create_time)| Named {
                id: *id,
                name,
                create_time: *create_time,
            });
            match add_rows(&db, &named.collect::<Vec<_>>(), Contest::Oldest).await {
                Ok(_) => commit(db, true).await,
                Err(error) if failure::is_duplicate(&error) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Deletes the rows after `after` whose users are gone; of a page at most. Returns as [`Self::refresh_usernames`] does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_stray_usernames(&self, after: Option<UserId>) -> Result<Option<UserId>, Error> {
        self.delete_stray::<Entity>(Column::UserId, after).await
    }

    /// Deletes the rows of the table `E`, in which users are named by `user_id`, after the user `after` whose users are gone; of a page at
    /// most. Returns the page's last user; none after the last page.
    async fn delete_stray<E: EntityTrait>(
        &self,
        user_id: E::Column,
        after: Option<UserId>,
    ) -> Result<Option<UserId>, Error> {
        let its_user = E::belongs_to(UserEntity).from(user_id).to(UserColumn::Id);
        let mut query = E::find()
            .select_only()
            .column(user_id)
            .column(UserColumn::CreateTime)
            .join(JoinType::LeftJoin, its_user.into())
            .order_by_asc(user_id)
            .limit(BATCH as u64);
        if let Some(after) = after {
            query = query.filter(user_id.gt(after.0));
        }
        let page: Vec<(Uuid, Option<i64>)> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
        let last = page.last().filter(|_| page.len() == BATCH).map(|(id, _)| UserId(*id));
        let stray: Vec<_> = page.iter().filter(|(_, user)| user.is_none()).map(|(id, _)| *id).collect();
        self.delete_rows::<E, _>(user_id, &stray, Condition::all()).await?;
        Ok(last)
    }
}

/// Adds the rows of a new user within a transaction: a duplicate, if another has a form or a look of the name.
pub(in crate::store) async fn insert(
    db: &impl ConnectionTrait,
    id: UserId,
    name: &Username,
) -> Result<(), DbErr> {
    let row = row(id, name).into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(db).await?;
    looks::insert(db, id, name).await
}

/// Deletes the rows of `users` within a transaction.
pub(in crate::store) async fn delete(db: &impl ConnectionTrait, users: &[Uuid]) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::UserId.is_in(users.iter().copied())).exec(db).await?;
    looks::delete(db, users).await
}

/// Adds the rows of new users, who have no claim on what others have, within a transaction. Returns those of them whose name collides
/// with another's: it looks like it, or only this spelling is theirs.
pub(in crate::store) async fn add(
    db: &impl ConnectionTrait,
    users: &[Named<'_>],
) -> Result<HashSet<UserId>, DbErr> {
    let (rows, mut collided) = add_rows(db, users, Contest::FirstCome).await?;
    collided.extend(looks::shared(db, &rows).await?.into_keys());
    Ok(collided)
}

/// Adds the rows of `users`, who have none, within a transaction. Returns them, and those of the users who do not get their canonical
/// form, since another has it.
async fn add_rows(
    db: &impl ConnectionTrait,
    users: &[Named<'_>],
    contest: Contest,
) -> Result<(Vec<Model>, HashSet<UserId>), DbErr> {
    let mut rows: Vec<Model> = users.iter().map(|user| row(user.id, user.name)).collect();
    let mut collided = HashSet::new();
    if rows.iter().any(|row| row.is_beyond_ascii) {
        let ages: HashMap<_, _> =
            users.iter().map(|user| (user.id.0, user.create_time.as_micros())).collect();
        let held = holders(db, &rows, contest).await?;
        let age = |row: &Model| (ages.get(&row.user_id).copied().unwrap_or(i64::MAX), row.user_id);
        let claims: Vec<(&Model, Age)> = rows
            .iter()
            .map(|row| (row, age(row)))
            .chain(held.iter().map(|(row, age)| (row, (*age, row.user_id))))
            .collect();
        let canonical = oldest(claims.iter().filter_map(|(row, age)| Some((row.canonical.clone()?, *age))));
        let skeletons =
            oldest(claims.iter().filter_map(|(row, age)| Some((row.own_skeleton.clone()?, *age))));
        for (row, _) in &held {
            let loses = |owner: Option<&Uuid>| owner.is_some_and(|owner| *owner != row.user_id);
            let mut update = Entity::update_many().filter(Column::UserId.eq(row.user_id));
            let loses_canonical = loses(row.canonical.as_ref().and_then(|form| canonical.get(form)));
            let loses_skeleton = loses(row.own_skeleton.as_ref().and_then(|form| skeletons.get(form)));
            if loses_canonical {
                update = update.col_expr(Column::Canonical, Expr::value(None::<String>));
            }
            if loses_skeleton {
                update = update.col_expr(Column::OwnSkeleton, Expr::value(None::<Vec<u8>>));
            }
            if loses_canonical || loses_skeleton {
                update.exec(db).await?;
            }
        }
        for row in &mut rows {
            let id = row.user_id;
            let keeps = |owner: Option<&Uuid>| owner.is_none_or(|owner| *owner == id);
            if !keeps(row.canonical.as_ref().and_then(|form| canonical.get(form))) {
                row.canonical = None;
                collided.insert(UserId(id));
            }
            if !keeps(row.own_skeleton.as_ref().and_then(|form| skeletons.get(form))) {
                row.own_skeleton = None;
            }
        }
    }
    for rows in rows.chunks(BATCH) {
        let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
        Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    looks::add(db, users, contest).await?;
    Ok((rows, collided))
}

/// The oldest claimant of each form.
fn oldest<K: Hash + Eq>(claims: impl Iterator<Item = (K, Age)>) -> HashMap<K, Uuid> {
    let mut owners: HashMap<K, Age> = HashMap::new();
    for (form, age) in claims {
        let owner = owners.entry(form).or_insert(age);
        *owner = age.min(*owner);
    }
    owners.into_iter().map(|(form, (_, id))| (form, id)).collect()
}

/// The rows that have a form of `rows` already, and how old their users are for the purpose of `contest`.
async fn holders(
    db: &impl ConnectionTrait,
    rows: &[Model],
    contest: Contest,
) -> Result<Vec<(Model, i64)>, DbErr> {
    let mut held: HashMap<Uuid, Model> = HashMap::new();
    let canonical: Vec<_> = rows.iter().filter_map(|row| row.canonical.clone()).collect();
    for forms in canonical.chunks(BATCH) {
        let found = Entity::find().filter(Column::Canonical.is_in(forms.iter().cloned())).all(db).await?;
        held.extend(found.into_iter().map(|row| (row.user_id, row)));
    }
    let skeletons: Vec<_> = rows.iter().filter_map(|row| row.own_skeleton.clone()).collect();
    for forms in skeletons.chunks(BATCH) {
        let found = Entity::find().filter(Column::OwnSkeleton.is_in(forms.iter().cloned())).all(db).await?;
        held.extend(found.into_iter().map(|row| (row.user_id, row)));
    }
    let ids: Vec<_> = held.keys().copied().collect();
    let ages = ages(db, &ids, contest).await?;
    // Whoever is gone has no claim.
    let age = |id: &Uuid| ages.get(id).copied().unwrap_or(i64::MAX);
    Ok(held.into_iter().map(|(id, row)| (row, age(&id))).collect())
}

/// How old those of the users `ids` are that are there, and have a form of a name already, for the purpose of `contest`.
async fn ages(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    contest: Contest,
) -> Result<HashMap<Uuid, i64>, DbErr> {
    let mut ages: HashMap<Uuid, i64> = HashMap::new();
    for ids in ids.chunks(BATCH) {
        let found: Vec<(Uuid, i64)> = UserEntity::find()
            .select_only()
            .columns([UserColumn::Id, UserColumn::CreateTime])
            .filter(UserColumn::Id.is_in(ids.iter().copied()))
            .into_tuple()
            .all(db)
            .await?;
        ages.extend(found);
    }
    if contest == Contest::FirstCome {
        for age in ages.values_mut() {
            *age = i64::MIN;
        }
    }
    Ok(ages)
}
