//! Owns the table `changes`: the feed by which other processes learn which users, sessions, clients, signing keys, roles, groups,
//! bindings, attributes and policies were changed or ended.

use std::time::Duration;

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::store::{
    BATCH, Store,
    tables::entity::changes::{ActiveModel, Column, Entity, Model},
};
use crate::{base::Timestamp, model::Error};

/// The subject of a change of the signing keys: they are few, and are read anew all at once. Nothing else has this id.
pub const SIGNING_KEYS: Uuid = Uuid::from_u128(1);

/// The kind of row that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A user.
    User,
    /// A session.
    Session,
    /// A client.
    Client,
    /// The signing keys.
    SigningKeys,
    /// A role: it was made, gives other scopes, is bound for the first time, or no longer exists. It concerns whoever has it.
    Role,
    /// A group: it was made, is bound to other roles, or no longer exists. It concerns whoever is in it.
    Group,
    /// Who is in groups: the subject is the user who came into one or left it.
    Membership,
    /// What somebody is bound to: the subject is the user or the client. What a group is bound to is a change of the group.
    Binding,
    /// What is declared of the attributes of users: all of it is read anew at once.
    Attribute,
    /// What is in force of the policy of a service: the subject is the key of the service's audience.
    Policy,
}

/// How the row changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeEffect {
    /// The row exists, with other values.
    Changed,
    /// The row was deleted.
    Ended,
}

impl ChangeKind {
    const ALL: [Self; 10] = [
        Self::User,
        Self::Session,
        Self::Client,
        Self::SigningKeys,
        Self::Role,
        Self::Group,
        Self::Membership,
        Self::Binding,
        Self::Attribute,
        Self::Policy,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Client => "client",
            Self::SigningKeys => "signing_keys",
            Self::Role => "role",
            Self::Group => "group",
            Self::Membership => "membership",
            Self::Binding => "binding",
            Self::Attribute => "attribute",
            Self::Policy => "policy",
        }
    }
}

impl ChangeEffect {
    const ALL: [Self; 2] = [Self::Changed, Self::Ended];

    const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Ended => "ended",
        }
    }
}

/// Something that was changed or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The id of the row: the feed is read in this order.
    pub id: i64,
    /// The id of the user, the session, the client, the role, the group or the attribute, the key of the audience, or [`SIGNING_KEYS`].
    pub subject: Uuid,
    /// The kind of the row; none if another release wrote the change, which may then be of any kind.
    pub kind: Option<ChangeKind>,
    /// Whether the row names no kind at all: an earlier release wrote it, which knew users, sessions, clients and signing keys alone.
    pub is_unnamed: bool,
    /// What became of it; none if another release wrote the row. The caches forget a row either way: this is for readers to come.
    pub effect: Option<ChangeEffect>,
    /// When it was made, by the clock of whoever made it.
    pub create_time: Timestamp,
}

impl From<Model> for Change {
    fn from(row: Model) -> Self {
        let Model { id, subject, kind, effect, create_time } = row;
        let is_unnamed = kind.is_none();
        let kind = ChangeKind::ALL.into_iter().find(|known| kind.as_deref() == Some(known.name()));
        let effect = ChangeEffect::ALL.into_iter().find(|known| effect.as_deref() == Some(known.name()));
        Self { id, subject, kind, is_unnamed, effect, create_time: Timestamp::from_micros(create_time) }
    }
}

/// How much later than on the node where it was made a change may show on another node of one database.
const REPLICATION_LAG: Duration = Duration::from_secs(3);

impl Store {
    /// For how long after its id was taken a change may come into the feed, before ids that were taken later.
    ///
    /// SQLite has one writer at a time: ids are taken in the order of the commits. On a server an id is taken when the change
    /// is written, and the change shows when its transaction is committed, which is acknowledged within the time limit or not at
    /// all; a process that hung meanwhile may commit it for as long as the server lets a transaction rest.
    #[must_use]
    pub fn late_changes(&self) -> Duration {
        let rest = self.server.as_ref().map(|(_, settings)| settings.longest_rest());
        rest.map_or(Duration::ZERO, |rest| self.time_limit.max(rest) + REPLICATION_LAG)
    }

    /// The id of the newest change made before `time`; zero if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn newest_change_before(&self, time: Timestamp) -> Result<i64, Error> {
        let query = Entity::find().filter(Column::CreateTime.lt(time.as_micros())).order_by_desc(Column::Id);
        Ok(self.ask(|| query.clone().one(&self.lanes.service.reader)).await?.map_or(0, |row| row.id))
    }

    /// The changes after the id `after`, in their order; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn changes(&self, after: i64, limit: u64) -> Result<Vec<Change>, Error> {
        let query = Entity::find().filter(Column::Id.gt(after)).order_by_asc(Column::Id).limit(limit);
        let rows = self.ask(|| query.clone().all(&self.lanes.service.reader)).await?;
        Ok(rows.into_iter().map(Change::from).collect())
    }

    /// Deletes the changes made before `time`, but the newest of them. So the newest of all stays, whose id must not be used again;
    /// and so does the last one that a process has read, as long as it has read all that were made before `time`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_changes_before(&self, time: Timestamp) -> Result<(), Error> {
        let rows = Entity::find().select_only().columns([Column::Id, Column::CreateTime]);
        let rows = rows.order_by_asc(Column::Id).limit(BATCH as u64);
        let (mut after, mut newest) = (0, None);
        loop {
            let page = rows.clone().filter(Column::Id.gt(after));
            let page: Vec<(i64, i64)> = self.ask(|| page.clone().into_tuple().all(&self.db)).await?;
            let old = page.iter().filter(|(_, create_time)| *create_time < time.as_micros());
            // The one that was kept so far first, since it is not the newest if there is another.
            let mut old: Vec<_> = newest.into_iter().chain(old.map(|(id, _)| *id)).collect();
            let found = old.len() > usize::from(newest.is_some());
            newest = old.pop();
            self.delete_rows::<Entity, _>(Column::Id, &old, Condition::all()).await?;
            match page.last() {
                // They lie in the order of their making, but for the clocks of the processes: after a page that has no old one
                // comes none.
                Some((last, _)) if found => after = *last,
                _ => return Ok(()),
            }
        }
    }
}

/// Tells the others of changes, in the transaction that makes them.
pub(in crate::store) async fn tell(
    db: &impl ConnectionTrait,
    (kind, effect): (ChangeKind, ChangeEffect),
    subjects: &[Uuid],
    now: Timestamp,
) -> Result<(), DbErr> {
    for subjects in subjects.chunks(BATCH) {
        let rows = subjects.iter().map(|subject| ActiveModel {
            id: NotSet,
            subject: Set(*subject),
            create_time: Set(now.as_micros()),
            kind: Set(Some(kind.name().to_owned())),
            effect: Set(Some(effect.name().to_owned())),
        });
        Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_release_wrote_is_of_no_known_kind() {
        let row = |kind: Option<&str>, effect: Option<&str>| Model {
            id: 1,
            subject: Uuid::nil(),
            create_time: 0,
            kind: kind.map(str::to_owned),
            effect: effect.map(str::to_owned),
        };
        let read = |kind, effect| {
            let change = Change::from(row(kind, effect));
            (change.kind, change.effect)
        };
        assert_eq!(read(None, None), (None, None), "the release before");
        assert_eq!(read(Some("of-tomorrow"), Some("renamed")), (None, None), "a later one");
        for kind in ChangeKind::ALL {
            for effect in ChangeEffect::ALL {
                assert_eq!(read(Some(kind.name()), Some(effect.name())), (Some(kind), Some(effect)));
            }
        }
    }
}
