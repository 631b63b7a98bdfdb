//! Owns the table `usernames`: by what a name is found beside the form in which it is stored, and what no new name may look like.
//!
//! A name has one row here, by its user's id. A release that does not know the table leaves rows out, and leaves those of users it
//! deletes: [`Store::refresh_usernames`] and [`Store::delete_stray_usernames`] put that right.

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

use super::{
    BATCH, Store,
    entity::{
        usernames::{Column, Entity, Model},
        users::{Column as UserColumn, Entity as UserEntity, Model as UserModel},
    },
    failure,
    transaction::commit,
};
use crate::model::{Error, Timestamp, User, UserId, Username, look::SKELETON_VERSION};

/// A user's name, and since when the user has it.
pub(super) struct Named<'a> {
    pub(super) id: UserId,
    pub(super) name: &'a Username,
    pub(super) create_time: Timestamp,
}

/// What becomes of a form of a name that another user has.
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

/// By what the user whom a name means is found in `users`.
pub(super) struct Meaning<'a> {
    name: Option<&'a Username>,
    /// Who has the canonical form, if others may be stored of it.
    holder: Option<Uuid>,
}

impl Meaning<'_> {
    /// Which rows may be meant: by the form that is stored alone, but for the few names that have others.
    pub(super) fn condition(&self) -> Condition {
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
    pub(super) fn choose(&self, rows: impl IntoIterator<Item = UserModel>) -> Option<UserModel> {
        let name = self.name?;
        let rank = |row: &UserModel| {
            (row.username_canonical != name.stored(), Some(row.id) != self.holder, row.create_time, row.id)
        };
        rows.into_iter().min_by_key(rank)
    }
}

impl Store {
    /// What `name` means; nobody, if there is none.
    pub(super) async fn meaning<'a>(&self, name: Option<&'a Username>) -> Result<Meaning<'a>, Error> {
        let Some(name) = name.filter(|name| has_variants(name)) else {
            return Ok(Meaning { name, holder: None });
        };
        let holder = Entity::find().filter(Column::Canonical.eq(name.canonical()));
        let holder = self.ask_for_one(|| holder.clone().all(&self.db)).await?;
        Ok(Meaning { name: Some(name), holder: holder.map(|row| row.user_id) })
    }

    /// The row of `users` that `name` means.
    pub(super) async fn meant(&self, name: &Username) -> Result<Option<UserModel>, Error> {
        let meaning = self.meaning(Some(name)).await?;
        let query = UserEntity::find().filter(meaning.condition());
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(meaning.choose(rows))
    }

    /// Makes the rows of users after `after` that have none, or one of an older Unicode's tables; a page of users at most. Returns the
    /// page's last user; none after the last page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn refresh_usernames(&self, after: Option<UserId>) -> Result<Option<UserId>, Error> {
        let its_row = UserEntity::belongs_to(Entity).from(UserColumn::Id).to(Column::UserId);
        let mut query = UserEntity::find()
            .select_only()
            .column(UserColumn::Id)
            .column(Column::SkeletonVersion)
            .join(JoinType::LeftJoin, its_row.into())
            .order_by_asc(UserColumn::Id)
            .limit(BATCH as u64);
        if let Some(after) = after {
            query = query.filter(UserColumn::Id.gt(after.0));
        }
        let page: Vec<(Uuid, Option<i32>)> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
        let last = page.last().filter(|_| page.len() == BATCH).map(|row| UserId(row.0));
        let is_outdated = |version: Option<i32>| version.is_none_or(|version| version < SKELETON_VERSION);
        let outdated: Vec<_> =
            page.into_iter().filter(|(_, version)| is_outdated(*version)).map(|(id, _)| id).collect();
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
            let done: Vec<Uuid> = Entity::find()
                .select_only()
                .column(Column::UserId)
                .filter(Column::UserId.is_in(ids()))
                .filter(Column::SkeletonVersion.gte(SKELETON_VERSION))
                .into_tuple()
                .all(&db)
                .await?;
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
            let old = users.iter().map(|(id, ..)| id.0);
            Entity::delete_many().filter(Column::UserId.is_in(old)).exec(&db).await?;
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
        let its_user = Entity::belongs_to(UserEntity).from(Column::UserId).to(UserColumn::Id);
        let mut query = Entity::find()
            .select_only()
            .column(Column::UserId)
            .column(UserColumn::CreateTime)
            .join(JoinType::LeftJoin, its_user.into())
            .order_by_asc(Column::UserId)
            .limit(BATCH as u64);
        if let Some(after) = after {
            query = query.filter(Column::UserId.gt(after.0));
        }
        let page: Vec<(Uuid, Option<i64>)> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
        let last = page.last().filter(|_| page.len() == BATCH).map(|(id, _)| UserId(*id));
        let stray: Vec<_> = page.iter().filter(|(_, user)| user.is_none()).map(|(id, _)| *id).collect();
        self.delete_rows::<Entity, _>(Column::UserId, &stray, Condition::all()).await?;
        Ok(last)
    }
}

/// Adds the row of a new user within a transaction: a duplicate, if another has a form of the name.
pub(super) async fn insert(db: &impl ConnectionTrait, id: UserId, name: &Username) -> Result<(), DbErr> {
    let row = row(id, name).into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}

/// Adds the rows of new users, who have no claim on what others have, within a transaction. Returns those of them whose name collides
/// with another's: it looks like it, or only this spelling is theirs.
pub(super) async fn add(db: &impl ConnectionTrait, users: &[Named<'_>]) -> Result<HashSet<UserId>, DbErr> {
    let (rows, mut collided) = add_rows(db, users, Contest::FirstCome).await?;
    collided.extend(alike(db, &rows).await?);
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
    Ok((rows, collided))
}

/// Who has each form.
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
    // Whoever is gone has no claim.
    let age = |id: &Uuid| match ages.get(id) {
        Some(_) if contest == Contest::FirstCome => i64::MIN,
        Some(age) => *age,
        None => i64::MAX,
    };
    Ok(held.into_iter().map(|(id, row)| (row, age(&id))).collect())
}

/// Those of `rows`, which are there, that have letters beyond ASCII and look like other names.
async fn alike(db: &impl ConnectionTrait, rows: &[Model]) -> Result<HashSet<UserId>, DbErr> {
    let rows: Vec<_> = rows.iter().filter(|row| row.is_beyond_ascii).collect();
    let mut alike = HashSet::new();
    for rows in rows.chunks(BATCH) {
        // One row for each skeleton: anybody may make names in ASCII that look alike, as many as they like.
        let shared: Vec<Vec<u8>> = Entity::find()
            .select_only()
            .column(Column::Skeleton)
            .filter(Column::Skeleton.is_in(rows.iter().map(|row| row.skeleton.clone())))
            .group_by(Column::Skeleton)
            .having(Expr::cust("COUNT(*) > 1"))
            .into_tuple()
            .all(db)
            .await?;
        let shared: HashSet<_> = shared.into_iter().collect();
        alike.extend(rows.iter().filter(|row| shared.contains(&row.skeleton)).map(|row| UserId(row.user_id)));
    }
    Ok(alike)
}

/// Whether the name, which has letters beyond ASCII, looks like that of another user than `id`.
pub(super) async fn looks_like_another(
    db: &impl ConnectionTrait,
    name: &Username,
    id: Option<UserId>,
) -> Result<bool, DbErr> {
    if !name.is_beyond_ascii() {
        return Ok(false);
    }
    let looks = name.skeletons().map(|skeleton| hash(&skeleton));
    let mut query = Entity::find().select_only().column(Column::UserId).filter(Column::Skeleton.is_in(looks));
    if let Some(id) = id {
        query = query.filter(Column::UserId.ne(id.0));
    }
    let found: Vec<Uuid> = query.limit(1).into_tuple().all(db).await?;
    Ok(!found.is_empty())
}

/// How many users one collision tells of at most.
const MAX_OTHERS: u64 = 100;

/// A user whose name has letters beyond ASCII, and others that it may be taken for.
#[derive(Debug)]
pub struct NameCollision {
    /// The user.
    pub user: User,
    /// Whether only this very spelling logs the user in, since an older user has the canonical form.
    pub needs_exact_spelling: bool,
    /// Whose names look the same, and who has the canonical form: a hundred at most, and that one.
    pub others: Vec<User>,
}

impl Store {
    /// The collisions of users after `after`, a page at most; and the page's last user, none after the last page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn name_collisions(
        &self,
        after: Option<UserId>,
    ) -> Result<(Vec<NameCollision>, Option<UserId>), Error> {
        let mut query = Entity::find()
            .filter(Column::IsBeyondAscii.eq(true))
            .order_by_asc(Column::UserId)
            .limit(BATCH as u64);
        if let Some(after) = after {
            query = query.filter(Column::UserId.gt(after.0));
        }
        let page = self.ask(|| query.clone().all(&self.db)).await?;
        let last = page.last().filter(|_| page.len() == BATCH).map(|row| UserId(row.user_id));
        let alike = self.ask(|| alike(&self.db, &page)).await?;
        let ids: Vec<_> = page.iter().map(|row| UserId(row.user_id)).collect();
        let users: HashMap<_, _> =
            self.users_among(&[], &ids).await?.into_iter().map(|found| (found.user.id, found.user)).collect();
        let mut collisions = Vec::new();
        for row in page {
            let Some(user) = users.get(&UserId(row.user_id)) else { continue };
            let mut others = Vec::new();
            if alike.contains(&user.id) {
                let look = Entity::find()
                    .select_only()
                    .column(Column::UserId)
                    .filter(Column::Skeleton.eq(row.skeleton.clone()))
                    .filter(Column::UserId.ne(row.user_id))
                    .order_by_asc(Column::UserId)
                    .limit(MAX_OTHERS);
                others = self.ask(|| look.clone().into_tuple().all(&self.db)).await?;
            }
            let needs_exact_spelling = has_variants(&user.username) && row.canonical.is_none();
            if needs_exact_spelling {
                let holder = Entity::find().filter(Column::Canonical.eq(user.username.canonical()));
                others.extend(self.ask(|| holder.clone().all(&self.db)).await?.iter().map(|row| row.user_id));
            }
            if others.is_empty() {
                continue;
            }
            let ids: Vec<_> = others.into_iter().map(UserId).collect();
            let mut others: Vec<_> =
                self.users_among(&[], &ids).await?.into_iter().map(|found| found.user).collect();
            others.sort_by_key(|other| (other.create_time, other.id));
            collisions.push(NameCollision { user: user.clone(), needs_exact_spelling, others });
        }
        Ok((collisions, last))
    }
}
