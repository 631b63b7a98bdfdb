//! Owns the columns of `users` that searches use: reading users page by page along an index, and keeping these columns true.
//!
//! A page begins after the last user of the one before, at a place of the index, so that the last page of a million costs what the first
//! one does. Users with one value stand in the order of their ids: those are read by a statement of their own, since MySQL does not
//! follow an index by two values compared at once.

use sea_orm::{
    ColumnTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, Select, UpdateMany,
    sea_query::{Expr, Value},
};
use uuid::Uuid;

use crate::store::{
    BATCH, Store,
    engine::transaction::commit,
    tables::{
        access::INSTANCE,
        built_indexes::UserIndex,
        entity::{
            memberships as members,
            users::{Column, Entity, Model},
        },
    },
};
use crate::{
    base::Timestamp,
    model::{Error, GroupId, Prefix, SearchKey, User, UserId, search_key::SEARCH_KEY_MAX_BYTES},
};

/// The filter that gives a list of users its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserOrder {
    /// All, by id.
    Id,
    /// Users whose names may begin with this, ordered by name.
    Username(Prefix),
    /// Users whose e-mail addresses may begin with this, ordered by address.
    Email(Prefix),
    /// Users whose display names may begin with this, ordered by that name.
    DisplayName(Prefix),
    /// The members of a group, by id.
    Group(GroupId),
    /// Users created in this time, the oldest first.
    CreateTime(Span),
    /// Users who last logged in within this time, the longest ago first.
    LoginTime(Span),
}

/// A time from a moment on, and before another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// From when on.
    pub from: Option<Timestamp>,
    /// Before when.
    pub before: Option<Timestamp>,
}

/// A user's place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPlace {
    /// The value that the list is ordered by.
    pub value: PlaceValue,
    /// The user: the order of those with one value.
    pub id: UserId,
}

/// A value that a list is ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceValue {
    /// Ids alone.
    None,
    /// A text.
    Key(Vec<u8>),
    /// A time.
    Micros(i64),
}

/// A user, with what is known of when it logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundUser {
    /// The user.
    pub user: User,
    /// When it last logged in; none if it never has, or before that was kept.
    pub login_time: Option<Timestamp>,
}

impl From<Model> for FoundUser {
    fn from(row: Model) -> Self {
        let login_time = row.login_time.map(Timestamp::from_micros);
        Self { user: User::from(row), login_time }
    }
}

impl Span {
    /// Whether `time` is in it.
    #[must_use]
    pub fn has(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.before.is_none_or(|before| time < before)
    }

    /// Whether it is all of time.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.from.is_none() && self.before.is_none()
    }
}

impl UserOrder {
    /// The index that it needs, if that is one that a job builds.
    #[must_use]
    pub const fn index(&self) -> Option<UserIndex> {
        match self {
            Self::Id | Self::Group(_) => None,
            Self::Username(_) => Some(UserIndex::Username),
            Self::Email(_) => Some(UserIndex::Email),
            Self::DisplayName(_) => Some(UserIndex::DisplayName),
            Self::CreateTime(_) => Some(UserIndex::CreateTime),
            Self::LoginTime(_) => Some(UserIndex::LoginTime),
        }
    }

    /// The column that orders, and the values that it may have: from, and before. None if the order is that of ids.
    fn range(&self) -> Option<(Column, Option<Value>, Option<Value>)> {
        let micros = |time: Option<Timestamp>| time.map(|time| time.as_micros().into());
        let of_texts = |column, prefix: &Prefix| {
            let (first, end) = prefix.keys();
            Some((column, Some(first.into()), end.map(Value::from)))
        };
        match self {
            Self::Id | Self::Group(_) => None,
            Self::Username(prefix) => of_texts(Column::UsernameKey, prefix),
            Self::Email(prefix) => of_texts(Column::EmailKey, prefix),
            Self::DisplayName(prefix) => of_texts(Column::DisplayNameKey, prefix),
            Self::CreateTime(span) => Some((Column::CreateTime, micros(span.from), micros(span.before))),
            Self::LoginTime(span) => Some((Column::LoginTime, micros(span.from), micros(span.before))),
        }
    }

    /// Whether a user may stand at `place` in it: a place of another order says nothing here.
    #[must_use]
    pub const fn has(&self, place: &UserPlace) -> bool {
        match self {
            Self::Id | Self::Group(_) => matches!(place.value, PlaceValue::None),
            Self::Username(_) | Self::Email(_) | Self::DisplayName(_) => {
                matches!(place.value, PlaceValue::Key(_))
            }
            Self::CreateTime(_) | Self::LoginTime(_) => matches!(place.value, PlaceValue::Micros(_)),
        }
    }

    /// The place of the user of `row` in this order.
    fn place(&self, row: &Model) -> UserPlace {
        let key = |key: &Option<Vec<u8>>| PlaceValue::Key(key.clone().unwrap_or_default());
        let value = match self {
            Self::Id | Self::Group(_) => PlaceValue::None,
            Self::Username(_) => key(&row.username_key),
            Self::Email(_) => key(&row.email_key),
            Self::DisplayName(_) => key(&row.display_name_key),
            Self::CreateTime(_) => PlaceValue::Micros(row.create_time),
            Self::LoginTime(_) => PlaceValue::Micros(row.login_time.unwrap_or_default()),
        };
        UserPlace { value, id: UserId(row.id) }
    }
}

impl PlaceValue {
    fn to_value(&self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Key(key) => Some(key.clone().into()),
            Self::Micros(micros) => Some((*micros).into()),
        }
    }
}

impl UserPlace {
    /// The bytes for a page token.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let value = match &self.value {
            PlaceValue::None => vec![0],
            PlaceValue::Key(key) => [&[1], key.as_slice()].concat(),
            PlaceValue::Micros(micros) => [&[2], micros.to_be_bytes().as_slice()].concat(),
        };
        [self.id.0.as_bytes(), value.as_slice()].concat()
    }

    /// Reads the bytes of [`Self::to_bytes`]; none for others.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_at_checked(16)?;
        let value = match rest.split_first()? {
            (0, []) => PlaceValue::None,
            (1, key) if key.len() <= SEARCH_KEY_MAX_BYTES => PlaceValue::Key(key.to_vec()),
            (2, micros) => PlaceValue::Micros(i64::from_be_bytes(micros.try_into().ok()?)),
            _ => return None,
        };
        Some(Self { value, id: UserId(Uuid::from_slice(id).ok()?) })
    }
}

impl Store {
    /// The users of `order` after `after`, each with its place; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn user_page(
        &self,
        order: &UserOrder,
        after: Option<&UserPlace>,
        limit: u64,
    ) -> Result<Vec<(FoundUser, UserPlace)>, Error> {
        let mut rows = Vec::new();
        for query in Self::statements(order, after) {
            let left = limit.saturating_sub(rows.len() as u64);
            if left == 0 {
                break;
            }
            let query = query.limit(left);
            rows.extend(self.ask(|| query.clone().all(&self.db)).await?);
        }
        Ok(rows
            .into_iter()
            .map(|row| (order.place(&row), row))
            .map(|(place, row)| (row.into(), place))
            .collect())
    }

    /// The statements that read `order` after `after`, one after the other.
    fn statements(order: &UserOrder, after: Option<&UserPlace>) -> Vec<Select<Entity>> {
        if let UserOrder::Group(group) = order {
            return vec![of_group(*group, after)];
        }
        let Some((column, from, before)) = order.range() else {
            let all = Entity::find().order_by_asc(Column::Id);
            return vec![match after {
                Some(place) => all.filter(Column::Id.gt(place.id.0)),
                None => all,
            }];
        };
        let in_order = || {
            let query = Entity::find().order_by_asc(column).order_by_asc(Column::Id);
            match &before {
                Some(before) => query.filter(column.lt(before.clone())),
                // Null stands at either end, by database: it is no value.
                None => query.filter(column.is_not_null()),
            }
        };
        match after.and_then(|place| Some((place.value.to_value()?, place.id))) {
            Some((value, id)) => vec![
                Entity::find()
                    .filter(column.eq(value.clone()))
                    .filter(Column::Id.gt(id.0))
                    .order_by_asc(Column::Id),
                in_order().filter(column.gt(value)),
            ],
            None => vec![match from {
                Some(from) => in_order().filter(column.gte(from)),
                None => in_order(),
            }],
        }
    }

    /// Those of `users` who are in `group`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn members_among(&self, group: GroupId, users: &[UserId]) -> Result<Vec<UserId>, Error> {
        let mut found = Vec::new();
        for users in users.chunks(BATCH) {
            let query = members::Entity::find()
                .select_only()
                .column(members::Column::UserId)
                .filter(members::Column::OrganizationId.eq(INSTANCE))
                .filter(members::Column::GroupId.eq(group.0))
                .filter(members::Column::UserId.is_in(users.iter().map(|user| user.0)));
            let ids: Vec<Uuid> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
            found.extend(ids.into_iter().map(UserId));
        }
        Ok(found)
    }

    /// The existing users of `ids`, in no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn found_users(&self, ids: &[UserId]) -> Result<Vec<FoundUser>, Error> {
        let mut found = Vec::new();
        for ids in ids.chunks(BATCH) {
            let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
            found.extend(self.ask(|| query.clone().all(&self.db)).await?);
        }
        Ok(found.into_iter().map(FoundUser::from).collect())
    }

    /// The place of the user `id` in `order`; none if there is no such user.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn user_place(&self, order: &UserOrder, id: UserId) -> Result<Option<UserPlace>, Error> {
        let row = self.ask_for_one(|| Entity::find_by_id(id.0).all(&self.db)).await?;
        Ok(row.map(|row| order.place(&row)))
    }

    /// Fills what is searched of the users after `after`, where it is not what it should be: the release before has written them, or one
    /// that knew an older Unicode. A page of users at most. Returns the page's last user; none after the last page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn refresh_search_keys(&self, after: Option<UserId>) -> Result<Option<UserId>, Error> {
        let mut query = Entity::find().order_by_asc(Column::Id).limit(BATCH as u64);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let page = self.ask(|| query.clone().all(&self.db)).await?;
        let last = page.last().filter(|_| page.len() == BATCH).map(|row| UserId(row.id));
        let ids: Vec<_> = page.into_iter().filter_map(|row| Some(outdated(row)?.0)).collect();
        // Few at a time: until they are committed, these users do not log in.
        for ids in ids.chunks(BATCH / 5) {
            let query = Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
            let query = query.order_by_asc(Column::Id).lock_exclusive();
            self.write(|| async {
                let db = self.begin().await?;
                // They may have been changed since they were read.
                for (id, keys) in query.clone().all(&db).await?.into_iter().filter_map(outdated) {
                    fill(id, keys).exec(&db).await?;
                }
                commit(db, ()).await
            })
            .await?;
        }
        Ok(last)
    }
}

/// The members of `group` after `after`.
fn of_group(group: GroupId, after: Option<&UserPlace>) -> Select<Entity> {
    let membership = Entity::belongs_to(members::Entity).from(Column::Id).to(members::Column::UserId);
    let mut query = Entity::find()
        .join(JoinType::InnerJoin, membership.into())
        .filter(members::Column::OrganizationId.eq(INSTANCE))
        .filter(members::Column::GroupId.eq(group.0))
        // By the column of the index that has the group's members in this order.
        .order_by_asc(members::Column::UserId);
    if let Some(place) = after {
        query = query.filter(members::Column::UserId.gt(place.id.0));
    }
    query
}

/// The columns of a user that searches use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct SearchKeys {
    pub(in crate::store) username: Option<Vec<u8>>,
    pub(in crate::store) email: Option<Vec<u8>>,
    pub(in crate::store) display_name: Option<Vec<u8>>,
}

/// The key of `text`, if there is one.
pub(in crate::store) fn search_key(text: Option<&str>) -> Option<Vec<u8>> {
    text.map(|text| SearchKey::of(text).into_bytes())
}

impl SearchKeys {
    pub(in crate::store) fn of(user: &User) -> Self {
        Self {
            username: search_key(Some(user.username.canonical())),
            email: search_key(user.email.as_ref().map(crate::model::profile::Email::as_str)),
            display_name: search_key(
                user.display_name.as_ref().map(crate::model::profile::DisplayName::as_str),
            ),
        }
    }
}

/// Whose row it is, and what its keys should be, if they are not that.
fn outdated(mut row: Model) -> Option<(Uuid, SearchKeys)> {
    let kept = SearchKeys {
        username: row.username_key.take(),
        email: row.email_key.take(),
        display_name: row.display_name_key.take(),
    };
    let id = row.id;
    let keys = SearchKeys::of(&User::from(row));
    (keys != kept).then_some((id, keys))
}

fn fill(id: Uuid, keys: SearchKeys) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::UsernameKey, Expr::value(keys.username))
        .col_expr(Column::EmailKey, Expr::value(keys.email))
        .col_expr(Column::DisplayNameKey, Expr::value(keys.display_name))
        .filter(Column::Id.eq(id))
}
