//! Owns the roles, groups and bindings that a database is filled with beside the users, and those few users who have many of them.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, Statement,
    sea_query::{Alias, Expr, Query, Value},
};
use uuid::Uuid;

use crate::Result;

/// How many roles there are: with the built-in ones, nearly as many as an audience may have.
const ROLES: usize = 990;

/// Of how many users one has many roles.
const USERS_OF_ONE_HOLDER: usize = 1_000;

/// How many bindings a holder has itself, and how many groups it is in alone, each of which has one.
const OWN_BINDINGS: usize = 90;
const GROUPS: usize = 10;

/// How many bindings each holder has.
pub(super) const BINDINGS: usize = OWN_BINDINGS + GROUPS;

/// How many rows a statement adds.
const ROWS: usize = 500;

/// The whole instance's rows.
const INSTANCE: Uuid = Uuid::nil();

/// What the tables keep of users: of a million, a thousand holders have 100,000 bindings and 10,000 groups.
pub(super) async fn add(db: &DatabaseConnection, users: usize) -> Result<Vec<String>> {
    let now = signet::base::Clock::system().now().as_micros();
    let roles = (0..ROLES).map(|number| {
        let (name, scopes) = (format!("bench-{number}"), format!("bench.read.{number} bench.write.{number}"));
        let (audience, described) = ("signet".to_owned(), String::new());
        let texts = [audience, name, scopes, described].map(Value::from);
        let ids = [INSTANCE, id(Table::Roles, number)].map(Value::from);
        ids.into_iter().chain(texts).chain([now, now].map(Value::from)).collect()
    });
    let columns =
        ["organization_id", "id", "audience", "name", "scopes", "description", "create_time", "update_time"];
    insert(db, "roles", &columns, roles).await?;

    let holders = holders(db, users.div_ceil(USERS_OF_ONE_HOLDER)).await?;
    let groups = (0..holders.len() * GROUPS).map(|number| {
        let name = Value::from(format!("bench-{number}"));
        vec![INSTANCE.into(), id(Table::Groups, number).into(), name, now.into()]
    });
    insert(db, "groups", &["organization_id", "id", "name", "create_time"], groups).await?;
    let members = holders.iter().enumerate().flat_map(|(holder, (user, _))| {
        groups_of(holder).map(move |group| vec![INSTANCE.into(), group.into(), (*user).into(), now.into()])
    });
    let columns = ["organization_id", "group_id", "user_id", "create_time"];
    insert(db, "memberships", &columns, members).await?;
    let subjects = holders.iter().enumerate().flat_map(|(holder, (user, _))| {
        let own = std::iter::repeat_n(("user", *user), OWN_BINDINGS);
        own.chain(groups_of(holder).map(|group| ("group", group)))
    });
    let bindings = subjects.enumerate().map(|(number, (kind, subject))| {
        // One after the other, so that nobody has a role twice.
        let role = id(Table::Roles, number % ROLES);
        let ids = [INSTANCE, id(Table::Bindings, number), role].map(Value::from);
        ids.into_iter().chain([kind.into(), subject.into(), None::<i64>.into(), now.into()]).collect()
    });
    let columns =
        ["organization_id", "id", "role_id", "subject_kind", "subject_id", "expire_time", "create_time"];
    insert(db, "bindings", &columns, bindings).await?;
    Ok(holders.into_iter().map(|(_, username)| username).collect())
}

#[derive(Clone, Copy, Debug)]
enum Table {
    Roles = 1,
    Groups,
    Bindings,
}

/// The id of the row `number`.
fn id(table: Table, number: usize) -> Uuid {
    Uuid::from_u64_pair(table as u64, number as u64)
}

fn groups_of(holder: usize) -> impl Iterator<Item = Uuid> {
    (0..GROUPS).map(move |number| id(Table::Groups, holder * GROUPS + number))
}

/// The ids and names of `count` users.
async fn holders(db: &DatabaseConnection, count: usize) -> Result<Vec<(Uuid, String)>> {
    let query = format!("SELECT id, username FROM users ORDER BY id LIMIT {count}");
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), query)).await?;
    let holder = |row: &sea_orm::QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
    rows.iter().map(holder).collect()
}

/// Adds `rows` to `table`.
async fn insert(
    db: &DatabaseConnection,
    table: &'static str,
    columns: &[&'static str],
    rows: impl Iterator<Item = Vec<Value>>,
) -> Result<()> {
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let mut statement = Query::insert();
        statement.into_table(Alias::new(table)).columns(columns.iter().map(|column| Alias::new(*column)));
        for row in rows.by_ref().take(ROWS) {
            statement.values(row.into_iter().map(Expr::value))?;
        }
        db.execute(&statement).await?;
    }
    Ok(())
}
