//! Owns the table `changes`: the feed by which other processes learn which users, sessions, clients, signing keys, roles, groups,
//! bindings, attributes and policies were changed or ended, and which scopes were taken away from whom.

use std::time::Duration;

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use crate::store::{
    BATCH, Store,
    tables::entity::changes::{ActiveModel, Column, Entity, Model},
};
use crate::{
    base::Timestamp,
    model::{Error, NameSet},
};

/// The subject of a change of the signing keys: they are few, and are read anew all at once. Nothing else has this id.
pub const SIGNING_KEYS: Uuid = Uuid::from_u128(1);

/// The subject of scopes that were taken away from more users and clients than are named.
pub const EVERYBODY: Uuid = Uuid::nil();

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
    /// Scopes were taken away: the subject is the user or client that had them, or [`EVERYBODY`].
    Scopes,
}

/// How the row changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeEffect {
    /// The row exists, with other values.
    Changed,
    /// The row was deleted, or a client disabled: nothing of it counts any more.
    Ended,
}

impl ChangeKind {
    const ALL: [Self; 11] = [
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
        Self::Scopes,
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
            Self::Scopes => "scopes",
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The id of the row: the feed is read in this order.
    pub id: i64,
    /// The id of the user, the session, the client, the role, the group or the attribute, the key of the audience, or [`SIGNING_KEYS`].
    pub subject: Uuid,
    /// The kind of the row; none if another release wrote the change, which may then be of any kind.
    pub kind: Option<ChangeKind>,
    /// Whether the row names no kind at all: an earlier release wrote it, which knew users, sessions, clients and signing keys alone.
    pub is_unnamed: bool,
    /// What became of it; none if another release wrote the row. The caches forget a row either way: this is for the stream that other
    /// services follow.
    pub effect: Option<ChangeEffect>,
    /// The user of a session that ended; the client, if scopes were taken from tokens alone that were got with it.
    pub holder: Option<Uuid>,
    /// The audiences of a session or client that ended, or the one where scopes were taken away; none if the release before wrote the
    /// row.
    pub audience: Option<NameSet>,
    /// The scopes that were taken away.
    pub scopes: Option<NameSet>,
    /// When it was made, by the clock of whoever made it.
    pub create_time: Timestamp,
}

impl Change {
    /// Whether it is of `kind`, or may be since that is not known.
    #[must_use]
    pub fn concerns(&self, kind: ChangeKind) -> bool {
        self.kind.is_none_or(|of| of == kind)
    }

    /// The same of a kind that no release knew which told of changes without their kind.
    #[must_use]
    pub fn concerns_by_name(&self, kind: ChangeKind) -> bool {
        self.concerns(kind) && !self.is_unnamed
    }
}

impl From<Model> for Change {
    fn from(row: Model) -> Self {
        let Model { id, subject, kind, effect, create_time, holder, audience, scopes } = row;
        let is_unnamed = kind.is_none();
        let kind = ChangeKind::ALL.into_iter().find(|known| kind.as_deref() == Some(known.name()));
        let effect = ChangeEffect::ALL.into_iter().find(|known| effect.as_deref() == Some(known.name()));
        Self {
            id,
            subject,
            kind,
            is_unnamed,
            effect,
            holder,
            audience: audience.map(NameSet::from_stored),
            scopes: scopes.map(NameSet::from_stored),
            create_time: Timestamp::from_micros(create_time),
        }
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
        Ok(self.feed_page(after, limit).await?.changes)
    }

    /// Deletes the changes made before `time` that come after the id `kept_to`, but those that last and the newest of them. So
    /// the newest of all stays, whose id must not be used again; and so does the last one that a process has read, as long as it has read
    /// all that were made before `time`. How far it has come is marked first, so that one that has not finds that ([`Store::feed_page`]):
    /// the change that it has read last may be one that lasts. Returns up to which id those that are left all last.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_changes_before(&self, time: Timestamp, kept_to: i64) -> Result<i64, Error> {
        let (mut after, mut newest, mut left) = (kept_to, None, None);
        loop {
            let page = self.deletion_page(after).await?;
            if page.is_empty() && after == kept_to {
                // The newest stays, so this is an older database than it was.
                return Ok(0);
            }
            let is_old = |row: &&Deletable| row.create_time < time.as_micros();
            // By a process whose clock is ahead: it is to go later.
            left = left.or_else(|| page.iter().find(|row| !is_old(row) && !row.lasts()).map(|row| row.id));
            let old = page.iter().filter(is_old);
            // The one that was kept so far first, since it is not the newest if there is another.
            let mut old: Vec<_> = newest.into_iter().chain(old.map(|row| (row.id, row.lasts()))).collect();
            let found = old.len() > usize::from(newest.is_some());
            newest = old.pop();
            if let Some((passed, _)) = old.last() {
                self.mark_passed(*passed).await?;
            }
            let gone: Vec<_> = old.into_iter().filter(|(_, lasts)| !lasts).map(|(id, _)| id).collect();
            self.delete_rows::<Entity, _>(Column::Id, &gone, Condition::all()).await?;
            match page.last() {
                // They lie in the order of their making, but for the clocks of the processes: after a page that has no old one
                // comes none.
                Some(last) if found => after = last.id,
                _ => {
                    let stays = newest.map(|(id, _)| id).into_iter().chain(left).min();
                    return Ok(stays.map_or(kept_to, |id| id.saturating_sub(1)));
                }
            }
        }
    }

    /// Deletes the changes made before `time` up to the id `kept_to`, up to which all that are left last.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_lasting_changes_before(&self, time: Timestamp, kept_to: i64) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let page = self.deletion_page(after).await?;
            let is_old = |row: &&Deletable| row.create_time < time.as_micros() && row.id <= kept_to;
            let old: Vec<_> = page.iter().filter(is_old).map(|row| row.id).collect();
            self.delete_rows::<Entity, _>(Column::Id, &old, Condition::all()).await?;
            match page.last() {
                Some(last) if !old.is_empty() => after = last.id,
                _ => return Ok(()),
            }
        }
    }

    /// What decides on the deletion of the next changes after the id `after`.
    async fn deletion_page(&self, after: i64) -> Result<Vec<Deletable>, Error> {
        let query = Entity::find()
            .select_only()
            .columns([Column::Id, Column::CreateTime, Column::Kind, Column::Effect])
            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(BATCH as u64);
        self.ask(|| query.clone().into_model().all(&self.db)).await
    }
}

/// What decides on the deletion of a change.
#[derive(Debug, FromQueryResult)]
struct Deletable {
    id: i64,
    create_time: i64,
    kind: Option<String>,
    effect: Option<String>,
}

impl Deletable {
    /// Whether other services are told of it for as long as tokens live: of sessions and clients that ended, and of scopes that were taken
    /// away.
    fn lasts(&self) -> bool {
        let is = |kind: ChangeKind| self.kind.as_deref() == Some(kind.name());
        let has_ended = self.effect.as_deref() == Some(ChangeEffect::Ended.name());
        is(ChangeKind::Scopes) || (has_ended && (is(ChangeKind::Session) || is(ChangeKind::Client)))
    }
}

/// A change, and what the stream that other services follow tells of it.
pub(in crate::store) struct Detailed {
    /// The session or client that ended, or whose scopes were taken away.
    pub(in crate::store) subject: Uuid,
    /// The user of the session; the client with which the tokens were got, if only those lose the scopes.
    pub(in crate::store) holder: Option<Uuid>,
    /// At which audiences; none if that is not known, and everybody is told.
    pub(in crate::store) audience: Option<String>,
    /// The scopes that were taken away.
    pub(in crate::store) scopes: Option<String>,
}

/// Tells the others of changes, and the stream of what it says of them, in the transaction that makes them.
pub(in crate::store) async fn tell_in_detail(
    db: &impl ConnectionTrait,
    (kind, effect): (ChangeKind, ChangeEffect),
    changes: Vec<Detailed>,
    now: Timestamp,
) -> Result<(), DbErr> {
    let mut rows = changes.into_iter().map(|change| ActiveModel {
        id: NotSet,
        subject: Set(change.subject),
        create_time: Set(now.as_micros()),
        kind: Set(Some(kind.name().to_owned())),
        effect: Set(Some(effect.name().to_owned())),
        holder: Set(change.holder),
        audience: Set(change.audience),
        scopes: Set(change.scopes),
    });
    loop {
        let some: Vec<_> = rows.by_ref().take(BATCH).collect();
        if some.is_empty() {
            return Ok(());
        }
        Entity::insert_many(some).exec_without_returning(db).await?;
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
            ..ActiveModel::default()
        });
        Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// The id of the newest change at this point of a transaction; zero if there is none.
pub(in crate::store) async fn newest(db: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let ids = Entity::find().select_only().column(Column::Id).order_by_desc(Column::Id).limit(1);
    Ok(ids.into_tuple().all(db).await?.pop().unwrap_or(0))
}

/// Tells once more of the changes after the id `after` that were made at `now`, at the end of a transaction that took long: the feed may
/// have passed the ids that it took before. Whoever heard of them does no more than before.
pub(in crate::store) async fn tell_again(
    db: &impl ConnectionTrait,
    after: i64,
    now: Timestamp,
) -> Result<(), DbErr> {
    let told = Entity::find().filter(Column::Id.gt(after)).filter(Column::CreateTime.eq(now.as_micros()));
    let told: Vec<Model> = told.order_by_asc(Column::Id).all(db).await?;
    for rows in told.chunks(BATCH) {
        let rows = rows.iter().map(|row| ActiveModel { id: NotSet, ..row.clone().into() });
        Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// `names`, in as many sets as it takes for each to fit into a row.
pub(in crate::store) fn in_rows(names: &NameSet) -> Vec<NameSet> {
    let (mut left, mut sets) = (names.clone(), Vec::new());
    while !left.is_empty() {
        let mut set = left.as_far_as_fits();
        if set.is_empty() {
            // A name that fills a row alone.
            set = set.with(left.iter().take(1));
        }
        left = left.without(&set);
        sets.push(set);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Entropy;

    #[test]
    fn names_that_do_not_fit_into_one_row_are_told_in_several() {
        assert_eq!(in_rows(&NameSet::default()), []);
        let few = NameSet::parse("read write").unwrap();
        assert_eq!(in_rows(&few), [few]);
        let longest = "x".repeat(1_024);
        let many: Vec<_> = (0..300).map(|number| format!("scope.number.{number}")).collect();
        let all = NameSet::default().with(many.iter().map(String::as_str)).with([&*longest, "last"]);
        let rows = in_rows(&all);
        assert!(rows.iter().all(|row| row.as_str().len() <= 1_024), "{rows:?}");
        let told = rows.iter().fold(NameSet::default(), |told, row| told.with(row.iter()));
        assert_eq!(told, all);
    }

    #[tokio::test]
    async fn what_a_long_transaction_told_early_is_told_once_more_with_later_ids() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let (before, now) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
        let [old, role, other] = [1, 2, 3].map(Uuid::from_u128);
        let of_roles = (ChangeKind::Role, ChangeEffect::Changed);
        tell(&store.writer, of_roles, &[old], now).await.unwrap();
        let start = newest(&store.db).await.unwrap();
        tell(&store.writer, of_roles, &[role], now).await.unwrap();
        tell(&store.writer, of_roles, &[other], before).await.unwrap();
        let scopes = Some("read".to_owned());
        let taken =
            Detailed { subject: role, holder: Some(other), audience: Some("stock".to_owned()), scopes };
        tell_in_detail(&store.writer, (ChangeKind::Scopes, ChangeEffect::Changed), vec![taken], now)
            .await
            .unwrap();
        tell_again(&store.writer, start, now).await.unwrap();
        let told = store.changes(start, 100).await.unwrap();
        let [first, between, second, again, last] = &told[..] else { panic!("{told:?}") };
        assert_eq!(between.subject, other, "of somebody else, at another time");
        assert_eq!(*again, Change { id: again.id, ..first.clone() });
        assert_eq!(*last, Change { id: last.id, ..second.clone() });
        assert_eq!(second.audience.as_ref().map(NameSet::as_str), Some("stock"));
    }

    #[test]
    fn what_another_release_wrote_is_of_no_known_kind() {
        let row = |kind: Option<&str>, effect: Option<&str>| Model {
            id: 1,
            subject: Uuid::nil(),
            create_time: 0,
            kind: kind.map(str::to_owned),
            effect: effect.map(str::to_owned),
            holder: None,
            audience: None,
            scopes: None,
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
