//! Owns the table `users` in bulk: whole rows, many at a time.

use std::collections::HashSet;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::store::{
    BATCH, Credentials, Store,
    engine::{failure, transaction::commit},
    tables::{
        audit_events,
        changes::{self, ChangeEffect, ChangeKind},
        credentials::next_version,
        entity::users::{ActiveModel, Column, Entity, Model},
        leftovers, one_time_passwords, sessions, user_changes,
        usernames::{self, Named},
        users,
    },
};
use crate::{
    audit::{Actor, Entry, Event, FieldChange},
    base::{Entropy, Timestamp},
    model::{Error, User, UserId, Username},
};

/// A user with all columns, for imports and exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUser {
    /// The user.
    pub user: User,
    /// The password's hash: a PHC string, or the form of the system that the user came from.
    pub password_hash: String,
    /// When it last logged in; none if it never has.
    pub login_time: Option<Timestamp>,
}

/// A user who is to be replaced.
#[derive(Clone, Debug)]
pub struct ReplacedUser {
    /// The user, as it is.
    pub old: StoredUser,
    /// The same user, with the same id and name, as it shall be.
    pub new: StoredUser,
    /// What the attributes are called that become others.
    pub attributes: Vec<String>,
}

/// What the connection that writes to SQLite is told when rows come in by the hundred thousand, each to another place of the indices:
/// to keep 64 MiB of pages in memory, not 2, and to carry the log over to the file each 64 MiB, not each 4. Otherwise the same
/// pages are written again and again.
const SQLITE_BULK: [&str; 2] = ["PRAGMA cache_size = -65536", "PRAGMA wal_autocheckpoint = 16384"];

/// What PostgreSQL is told when tables have grown by much. It plans a prepared statement by the sizes that it has counted last, once for
/// all times: one that was planned when the table was small reads all of it, and it counts by itself a minute later.
const POSTGRES_GROWN: [&str; 2] = ["ANALYZE users", "ANALYZE usernames"];

impl StoredUser {
    /// Whether the sessions end when the user becomes `next`: its password is another one, or it is disabled.
    #[must_use]
    pub fn loses_sessions_to(&self, next: &Self) -> bool {
        self.has_other_password_than(next) || (self.user.is_active && !next.user.is_active)
    }

    /// Whether the password hash differs: then the password may differ too.
    fn has_other_password_than(&self, other: &Self) -> bool {
        self.password_hash != other.password_hash
    }

    /// The row, but for the version of the credentials.
    fn row(&self) -> ActiveModel {
        users::row(&self.user, self.password_hash.clone(), self.login_time)
    }

    /// The row, with credentials that change at `now`.
    fn row_with_new_credentials(&self, now: Timestamp, entropy: &Entropy) -> ActiveModel {
        ActiveModel { credential_version: Set(Some(next_version(now, entropy))), ..self.row() }
    }
}

impl Store {
    /// Prepares for many users at once, for as long as this is open.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn expect_many(&self) -> Result<(), Error> {
        if self.server.is_none() {
            for pragma in SQLITE_BULK {
                self.ask(|| self.writer.execute_unprepared(pragma)).await?;
            }
        }
        Ok(())
    }

    /// Has the database plan by the number of users that there are now, if it does not do so by itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn users_have_grown(&self) -> Result<(), Error> {
        if self.db.get_database_backend() == DbBackend::Postgres {
            for statement in POSTGRES_GROWN {
                self.ask(|| self.db.execute_unprepared(statement)).await?;
            }
        }
        Ok(())
    }

    /// The users after `after` in the order of their ids; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn stored_users(&self, after: Option<UserId>, limit: u64) -> Result<Vec<StoredUser>, Error> {
        let mut query = Entity::find().order_by_asc(Column::Id).limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().map(StoredUser::from).collect())
    }

    /// Those who have one of these names, or one of these ids, in no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn users_among(&self, names: &[&Username], ids: &[UserId]) -> Result<Vec<StoredUser>, Error> {
        let mut found: Vec<Model> = Vec::new();
        for names in names.chunks(BATCH) {
            let names = names.iter().map(|name| name.stored());
            let query = Entity::find().filter(Column::UsernameCanonical.is_in(names));
            found.extend(self.ask(|| query.clone().all(&self.db)).await?);
        }
        for ids in ids.chunks(BATCH) {
            let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
            for row in self.ask(|| query.clone().all(&self.db)).await? {
                if !found.iter().any(|other| other.id == row.id) {
                    found.push(row);
                }
            }
        }
        Ok(found.into_iter().map(StoredUser::from).collect())
    }

    /// Adds all of `users`, at most [`BATCH`], or none: none if the database has a name or an id of theirs already. Returns those whose
    /// names collide with others': they look like them, or have one canonical form.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_users(
        &self,
        users: &[StoredUser],
        now: Timestamp,
    ) -> Result<Option<HashSet<UserId>>, Error> {
        if users.is_empty() {
            return Ok(Some(HashSet::new()));
        }
        self.write(|| async {
            let rows =
                users.iter().map(|new| new.row_with_new_credentials(new.user.create_time, &self.entropy));
            let db = self.begin().await?;
            let added = async {
                Entity::insert_many(rows).exec_without_returning(&db).await?;
                // An id may be that of a user whom the release before has deleted, who had roles.
                let ids: Vec<_> = users.iter().map(|new| new.user.id).collect();
                leftovers::delete_of_earlier(&db, &ids, now).await?;
                let named = users.iter().map(|StoredUser { user, .. }| Named {
                    id: user.id,
                    name: &user.username,
                    create_time: user.create_time,
                });
                usernames::add(&db, &named.collect::<Vec<_>>()).await
            };
            match added.await {
                Ok(collided) => commit(db, Some(collided)).await,
                Err(error) if failure::is_duplicate(&error) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Replaces each of `users`, ends the sessions of those who lose them, and tells the other processes; all or none: none if one was
    /// changed meanwhile. Returns what is recorded of it, as the doing of `by`, which the transaction keeps.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn replace_users(
        &self,
        users: &[ReplacedUser],
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Vec<Entry>>, Error> {
        let ids: Vec<_> = users.iter().map(|of| of.old.user.id.0).collect();
        let others = users.iter().filter(|of| of.old.has_other_password_than(&of.new));
        let others: Vec<_> = others.map(|of| of.old.user.id).collect();
        self.write(|| async {
            let db = self.begin().await?;
            for ReplacedUser { old, new, .. } in users {
                let is_other = old.has_other_password_than(new);
                let row = if is_other { new.row_with_new_credentials(now, &self.entropy) } else { new.row() };
                let done = Entity::update_many()
                    .set(row)
                    .filter(Column::Id.eq(old.user.id.0))
                    .filter(Column::PasswordHash.eq(&old.password_hash))
                    .filter(Column::UpdateTime.eq(old.user.update_time.as_micros()))
                    .exec(&db)
                    .await?;
                if done.rows_affected == 0 {
                    return Ok(None);
                }
            }
            one_time_passwords::delete_of(&db, &others).await?;
            let mut told = Vec::new();
            for of in users {
                let ended = if of.old.loses_sessions_to(&of.new) {
                    sessions::delete_of_users(&db, &[of.old.user.id], None, now).await?.len()
                } else {
                    0
                };
                told.extend(entries(of, ended, by));
            }
            // How many sessions have ended is a number in the log, and a field of what is kept.
            let kept = |(entry, ended): &(Entry, usize)| {
                entry.kept(now, 0, &self.entropy).changing(FieldChange::of_ended_sessions(*ended))
            };
            audit_events::keep(&db, told.iter().map(kept)).await?;
            changes::tell(&db, (ChangeKind::User, ChangeEffect::Changed), &ids, now).await?;
            let told = told.into_iter().map(|(entry, ended)| {
                entry.leave_to_transaction();
                if ended > 0 { entry.sessions(ended as u64) } else { entry }
            });
            commit(db, Some(told.collect())).await
        })
        .await
    }
}

/// What is recorded of a user whom `by` has replaced, and of whom `ended` sessions ended: each event with how many of them.
fn entries(
    ReplacedUser { old, new, attributes }: &ReplacedUser,
    ended: usize,
    by: &Actor,
) -> Vec<(Entry, usize)> {
    let entry = |event: Event| event.done().by(by.clone()).user(old.user.id);
    let mut told = Vec::new();
    let mut changed = user_changes::differences(&old.user, &new.user);
    changed.extend(user_changes::attributes_changed(attributes));
    if !changed.is_empty() {
        told.push((entry(Event::UserUpdated).changed(changed), 0));
    }
    let is_active = new.user.is_active;
    if old.user.is_active != is_active {
        let event = if is_active { Event::UserEnabled } else { Event::UserDisabled };
        told.push((entry(event).changed([FieldChange::of_activity(is_active)]), ended));
    }
    if old.has_other_password_than(new) {
        // The sessions are told once.
        let ended = if told.iter().any(|(_, told)| *told > 0) { 0 } else { ended };
        told.push((entry(Event::PasswordSet), ended));
    }
    told
}

impl From<Model> for StoredUser {
    fn from(row: Model) -> Self {
        let login_time = row.login_time.map(Timestamp::from_micros);
        let Credentials { user, password_hash, .. } = row.into();
        Self { user, password_hash, login_time }
    }
}
