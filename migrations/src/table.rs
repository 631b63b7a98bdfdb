//! Owns what all tables have in common, and steps that can be taken again after a migration was cut off in the middle.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// Makes a table, unless it is there.
///
/// On MySQL its texts compare by their bytes, as they do on SQLite and PostgreSQL: its own default would hold `a` and `A` equal.
pub(crate) async fn create(
    manager: &SchemaManager<'_>,
    table: &mut TableCreateStatement,
) -> Result<(), DbErr> {
    table.if_not_exists();
    if manager.get_database_backend() == DbBackend::MySql {
        table.engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_bin");
    }
    manager.create_table(table.to_owned()).await
}

/// Makes the index `name` of `table`, unless it is there.
pub(crate) async fn create_index(
    manager: &SchemaManager<'_>,
    name: &str,
    table: impl Iden + 'static,
    index: &mut IndexCreateStatement,
) -> Result<(), DbErr> {
    if manager.has_index(table.to_string(), name).await? {
        return Ok(());
    }
    manager.create_index(index.name(name).table(table).to_owned()).await
}

/// Adds a column to `table`, unless it is there.
pub(crate) async fn add_column(
    manager: &SchemaManager<'_>,
    table: impl Iden + 'static,
    column: &mut ColumnDef,
) -> Result<(), DbErr> {
    let name = column.get_column_name();
    if manager.has_column(table.to_string(), name).await? {
        return Ok(());
    }
    manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await
}
