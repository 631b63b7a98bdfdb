//! Owns copying all rows from one database to another: which tables have what is copied.

use futures_util::{TryStreamExt, future::BoxFuture};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IntoActiveModel, Iterable, ModelTrait, PaginatorTrait,
    PrimaryKeyToColumn, QueryFilter, QueryOrder, QuerySelect,
};

use crate::model::Error;
use crate::store::{
    Store,
    engine::failure,
    tables::entity::{
        admin_requests, administrators, applied_resources, applied_sets, attributes, audience_owners,
        audiences, audit_events, bindings, built_indexes, client_assertions, client_secrets, clients, groups,
        memberships, one_time_passwords, password_failures, password_failures_by_address, policy_rules,
        policy_versions, resting_usernames, roles, sealed_secrets, sessions, signing_keys, username_looks,
        usernames, users,
    },
};

/// How many rows one statement inserts, or deletes: all databases take that, whatever stands in them.
const ROWS: usize = 200;

/// A table whose rows are copied.
#[derive(Clone, Copy, Debug)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// How many rows migrations leave in it.
    seeded: u64,
    copy: for<'a> fn(&'a Store, &'a Store) -> BoxFuture<'a, Result<u64, Error>>,
    count: for<'a> fn(&'a Store) -> BoxFuture<'a, Result<u64, Error>>,
    empty: for<'a> fn(&'a Store) -> BoxFuture<'a, Result<(), Error>>,
    /// Whether the database numbers its rows: then its sequence would have to be set. None is.
    #[cfg(test)]
    is_numbered: fn() -> bool,
}

/// Every table but: the feed (`changes`, `feed_marks`) and `leases`, which are about processes that run; `built_indexes`, which is about
/// the database ([`Store::keep_built_as`]); and `copies`.
pub const COPIED: [CopiedTable; 27] = [
    table::<users::Entity>("users", 0),
    table::<usernames::Entity>("usernames", 0),
    table::<username_looks::Entity>("username_looks", 0),
    table::<resting_usernames::Entity>("resting_usernames", 0),
    table::<one_time_passwords::Entity>("one_time_passwords", 0),
    table::<attributes::Entity>("attributes", 0),
    table::<administrators::Entity>("administrators", 0),
    table::<clients::Entity>("clients", 1),
    table::<client_secrets::Entity>("client_secrets", 0),
    table::<client_assertions::Entity>("client_assertions", 0),
    table::<sessions::Entity>("sessions", 0),
    table::<audiences::Entity>("audiences", 1),
    table::<audience_owners::Entity>("audience_owners", 0),
    table::<roles::Entity>("roles", 4),
    table::<groups::Entity>("groups", 0),
    table::<memberships::Entity>("memberships", 0),
    table::<bindings::Entity>("bindings", 0),
    table::<policy_versions::Entity>("policy_versions", 0),
    table::<policy_rules::Entity>("policy_rules", 0),
    table::<applied_sets::Entity>("applied_sets", 0),
    table::<applied_resources::Entity>("applied_resources", 0),
    table::<admin_requests::Entity>("admin_requests", 0),
    table::<password_failures::Entity>("password_failures", 0),
    table::<password_failures_by_address::Entity>("password_failures_by_address", 0),
    table::<sealed_secrets::Entity>("sealed_secrets", 0),
    table::<signing_keys::Entity>("signing_keys", 0),
    table::<audit_events::Entity>("audit_events", 0),
];

impl CopiedTable {
    /// Copies its rows; returns how many there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn copy(&self, from: &Store, to: &Store) -> Result<u64, Error> {
        (self.copy)(from, to).await.map_err(|error| self.named(error))
    }

    /// How many rows it has.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn count(&self, store: &Store) -> Result<u64, Error> {
        (self.count)(store).await.map_err(|error| self.named(error))
    }

    /// Whether it has no more rows than migrations leave in it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn is_unused(&self, store: &Store) -> Result<bool, Error> {
        Ok(self.count(store).await? <= self.seeded)
    }

    /// Deletes its rows, a page at a time: a server may bound what one transaction changes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn empty(&self, store: &Store) -> Result<(), Error> {
        (self.empty)(store).await.map_err(|error| self.named(error))
    }

    fn named(&self, error: Error) -> Error {
        error.at(&format!("the table {}", self.name))
    }
}

impl Store {
    /// Has the indexes that jobs build count as built here only where they are in `other`: what they index is filled as far as there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn keep_built_as(&self, other: &Self) -> Result<(), Error> {
        use built_indexes::{Column, Entity};
        let built = other.ask(|| Entity::find().all(&other.db)).await?;
        let names: Vec<_> = built.into_iter().map(|row| row.name).collect();
        let others = Entity::delete_many().filter(Column::Name.is_not_in(names));
        self.ask(|| others.clone().exec(&self.writer)).await.map(drop)
    }
}

const fn table<E>(name: &'static str, seeded: u64) -> CopiedTable
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + Send + Sync,
    E::ActiveModel: Send,
{
    CopiedTable {
        name,
        seeded,
        copy: copy::<E>,
        count: count::<E>,
        empty: empty::<E>,
        #[cfg(test)]
        is_numbered: <E::PrimaryKey as sea_orm::PrimaryKeyTrait>::auto_increment,
    }
}

fn copy<'a, E>(from: &'a Store, to: &'a Store) -> BoxFuture<'a, Result<u64, Error>>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + Send + Sync,
    E::ActiveModel: Send,
{
    Box::pin(async move {
        // In the order of the keys: so an index grows at its end.
        let by_key = E::PrimaryKey::iter()
            .fold(E::find(), |query, key| query.order_by_asc(PrimaryKeyToColumn::into_column(key)));
        let mut rows = by_key.stream(&from.db).await.map_err(failure::from)?;
        let (mut batch, mut copied) = (Vec::with_capacity(ROWS), 0);
        loop {
            let row = rows.try_next().await.map_err(failure::from)?;
            let is_end = row.is_none();
            batch.extend(row.map(IntoActiveModel::into_active_model));
            if batch.len() == ROWS || (is_end && !batch.is_empty()) {
                copied += batch.len() as u64;
                // Not again where the answer is lost: whoever copies begins anew then.
                let insert = E::insert_many(batch.drain(..));
                insert.exec_without_returning(&to.writer).await.map_err(failure::from)?;
            }
            if is_end {
                return Ok(copied);
            }
        }
    })
}

fn count<E>(store: &Store) -> BoxFuture<'_, Result<u64, Error>>
where
    E: EntityTrait,
    E::Model: Send + Sync,
{
    Box::pin(async move { store.ask(|| E::find().count(&store.db)).await })
}

fn empty<E>(store: &Store) -> BoxFuture<'_, Result<(), Error>>
where
    E: EntityTrait,
    E::Model: Send + Sync,
{
    Box::pin(async move {
        while delete_page::<E>(store).await? > 0 {}
        Ok(())
    })
}

/// Deletes the first rows of the table, [`ROWS`] at most; returns how many it found.
async fn delete_page<E>(store: &Store) -> Result<usize, Error>
where
    E: EntityTrait,
    E::Model: Send + Sync,
{
    let keys = || E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column);
    let first = keys().fold(E::find().limit(ROWS as u64), QueryOrder::order_by_asc);
    let rows = store.ask(|| first.clone().all(&store.db)).await?;
    // Each row by the whole of its key: the first column alone is that of the whole organization.
    let is_one =
        |row: &E::Model| keys().fold(Condition::all(), |condition, key| condition.add(key.eq(row.get(key))));
    let is_any = rows.iter().map(is_one).fold(Condition::any(), Condition::add);
    if !rows.is_empty() {
        let delete = E::delete_many().filter(is_any);
        store.ask(|| delete.clone().exec(&store.writer)).await?;
    }
    Ok(rows.len())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use sea_orm::{ConnectionTrait, DbBackend, Statement};

    use super::*;
    use crate::base::Entropy;

    /// What is not copied.
    const OTHERS: [&str; 6] =
        ["built_indexes", "changes", "copies", "feed_marks", "leases", "seaql_migrations"];

    #[tokio::test]
    async fn a_table_is_emptied_by_statements_of_which_each_deletes_a_bounded_number_of_rows() {
        use administrators::{ActiveModel, Entity, Model};
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let count = async || Entity::find().count(&store.db).await.unwrap();
        // The key has two columns, of which the first is the same in all.
        let rows = (0..=2 * ROWS).map(|at| Model {
            organization_id: uuid::Uuid::nil(),
            user_id: uuid::Uuid::from_u128(at as u128),
        });
        let rows: Vec<_> = rows.map(ActiveModel::from).collect();
        for rows in rows.chunks(ROWS) {
            Entity::insert_many(rows.to_vec()).exec_without_returning(&store.writer).await.unwrap();
        }
        assert_eq!(delete_page::<Entity>(&store).await.unwrap(), ROWS);
        assert_eq!(count().await, ROWS as u64 + 1);
        let administrators = COPIED.iter().find(|table| table.name == "administrators").unwrap();
        administrators.empty(&store).await.unwrap();
        assert_eq!(count().await, 0);
    }

    #[tokio::test]
    async fn every_table_is_copied_or_said_not_to_be_and_none_numbers_its_rows() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let rows = store.db.query_all_raw(Statement::from_string(DbBackend::Sqlite, tables)).await.unwrap();
        let all: BTreeSet<String> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        let known = COPIED.iter().map(|table| table.name).chain(OTHERS).map(str::to_owned).collect();
        assert_eq!(all, known);
        for table in COPIED {
            assert_eq!(table.count(&store).await.unwrap(), table.seeded, "{}", table.name);
            let of_table = format!("SELECT count(*) FROM {}", table.name);
            let counted =
                store.db.query_one_raw(Statement::from_string(DbBackend::Sqlite, of_table)).await.unwrap();
            let counted: i64 = counted.unwrap().try_get_by_index(0).unwrap();
            assert_eq!(
                u64::try_from(counted).unwrap(),
                table.seeded,
                "{} is the entity's own table",
                table.name
            );
            assert!(!(table.is_numbered)(), "{}: its sequence must be set after a copy", table.name);
        }
    }
}
