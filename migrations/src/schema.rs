//! Owns the schema as a database has it: which migrations were applied, and whether this program can use what newer programs made of
//! it.

use std::collections::BTreeSet;

use sea_orm_migration::{
    migrator::MigratorTraitSelf,
    prelude::*,
    sea_orm::{ConnectionTrait, DatabaseTransaction},
};

use crate::{Migrator, names::Name};

/// The migrations of this program, for a database that may have newer ones as well.
pub struct Schema {
    pending: Vec<String>,
    newer: Vec<String>,
}

impl Schema {
    /// Reads which migrations `db` has. Changes nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn read(db: &DatabaseTransaction) -> Result<Self, DbErr> {
        let table = <Migrator as MigratorTrait>::migration_table_name();
        let mut applied = BTreeSet::new();
        if SchemaManager::new(db).has_table(table.to_string()).await? {
            let select = Query::select().column("version").from(table).to_owned();
            for row in db.query_all(&select).await? {
                applied.insert(row.try_get_by_index::<String>(0)?);
            }
        }
        let known: BTreeSet<_> = names().into_iter().collect();
        Ok(Self {
            pending: known.difference(&applied).cloned().collect(),
            newer: applied.difference(&known).cloned().collect(),
        })
    }

    /// The migrations that the database does not have yet, oldest first.
    #[must_use]
    pub fn pending(&self) -> &[String] {
        &self.pending
    }

    /// The migrations that the database has and this program does not know, oldest first.
    #[must_use]
    pub fn newer(&self) -> &[String] {
        &self.newer
    }

    /// Those of them after which this program cannot use the schema.
    #[must_use]
    pub fn unusable(&self) -> Vec<&str> {
        let newest = newest_number();
        let is_usable =
            |name: &str| Name::parse(name).is_some_and(|name| name.needs.is_none_or(|needs| needs <= newest));
        self.newer.iter().map(String::as_str).filter(|name| !is_usable(name)).collect()
    }
}

/// The names of this program's migrations, oldest first.
#[must_use]
pub fn names() -> Vec<String> {
    <Migrator as MigratorTrait>::migrations().iter().map(|migration| migration.name().to_owned()).collect()
}

/// The number of this program's newest migration.
fn newest_number() -> u32 {
    names().iter().filter_map(|name| Some(Name::parse(name)?.number)).max().unwrap_or(0)
}

/// SeaORM refuses a database with migrations that are not in this list, so they are.
impl MigratorTraitSelf for Schema {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        let newer =
            self.newer.iter().map(|name| -> Box<dyn MigrationTrait> { Box::new(Newer(name.clone())) });
        <Migrator as MigratorTrait>::migrations().into_iter().chain(newer).collect()
    }
}

/// A migration of a newer program, which has been applied.
struct Newer(String);

impl MigrationName for Newer {
    fn name(&self) -> &str {
        &self.0
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Newer {
    async fn up(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(format!("{} is a newer version's", self.0)))
    }
}
