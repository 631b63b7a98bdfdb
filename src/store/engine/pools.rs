//! Owns telling how many connections each pool has, and how many of them are busy.

use sea_orm::{
    DatabaseConnection, DbBackend,
    sqlx::{Database, Pool},
};

use crate::store::{Store, engine::lanes::Division};

/// Connections of one kind.
#[derive(Clone, Debug)]
pub struct DatabasePool {
    /// What they are for: `calls`, `strangers`, `service`, or, where there is one writer at a time, `writer`.
    pub name: &'static str,
    connections: DatabaseConnection,
}

/// How many there are of a pool's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    /// How many a statement or a transaction has.
    pub busy: u32,
    /// How many wait for one.
    pub idle: u32,
    /// How many there may be.
    pub most: u32,
}

impl Store {
    /// The pools that its connections are divided into.
    #[must_use]
    pub fn pools(&self) -> Vec<DatabasePool> {
        let pool =
            |name, connections: &DatabaseConnection| DatabasePool { name, connections: connections.clone() };
        let mut pools = vec![pool("calls", &self.db)];
        if self.is_divided() {
            let lanes = self.lanes.pools();
            pools.extend(lanes.map(|(name, connections)| pool(name, connections)));
        }
        if self.server.is_none() {
            pools.push(pool("writer", &self.writer));
        }
        pools
    }

    /// Whether strangers and the service itself have connections of their own.
    fn is_divided(&self) -> bool {
        self.server.as_ref().is_none_or(|(_, settings)| Division::of(settings.size).is_some())
    }
}

impl DatabasePool {
    /// How many connections it has at this moment.
    #[must_use]
    pub fn usage(&self) -> PoolUsage {
        match self.connections.get_database_backend() {
            DbBackend::Sqlite => usage(self.connections.get_sqlite_connection_pool()),
            DbBackend::MySql => usage(self.connections.get_mysql_connection_pool()),
            _ => usage(self.connections.get_postgres_connection_pool()),
        }
    }
}

fn usage<DB: Database>(pool: &Pool<DB>) -> PoolUsage {
    let open = pool.size();
    // Two looks: one may have been given back between them.
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX).min(open);
    PoolUsage { busy: open - idle, idle, most: pool.options().get_max_connections() }
}
