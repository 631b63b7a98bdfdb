//! Owns a transaction: all that is written in it is committed, or nothing is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, entity::prelude::async_trait,
};

use crate::store::{
    Store,
    engine::{
        attempts::Failed,
        failure::{self, FailureClass},
    },
};

/// What a node of Galera is told first in a transaction, and what it is asked last.
///
/// When another node's transaction takes the place of one whose statement is just being prepared (`COM_STMT_PREPARE`), MariaDB
/// (10.11) says of the preparation that it succeeded, and never that the transaction is gone: what follows would each be committed
/// by itself, and `COMMIT` succeeds. So nothing commits by itself, and a savepoint, which goes with its transaction, shows whether
/// this still is the one that was begun.
const MARK: &str = "SET autocommit = 0; SAVEPOINT begun";
const IS_MARKED: &str = "RELEASE SAVEPOINT begun";

/// Has each statement commit by itself again: what a connection is asked in place of a ping before it goes back into the pool.
pub(in crate::store) const UNMARK: &str = "SET autocommit = 1";

/// Whether any connection has found its server to be a node of Galera.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Galera(Arc<AtomicBool>);

impl Galera {
    pub(in crate::store) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(in crate::store) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A transaction that has begun: without [`commit`] it is rolled back.
#[derive(Debug)]
pub(in crate::store) struct Transaction {
    inner: DatabaseTransaction,
    is_marked: bool,
}

impl Store {
    /// Begins a transaction.
    pub(in crate::store) async fn begin(&self) -> Result<Transaction, DbErr> {
        self.begin_on(&self.writer).await
    }

    /// Begins a transaction on `writer`.
    pub(in crate::store) async fn begin_on(&self, writer: &DatabaseConnection) -> Result<Transaction, DbErr> {
        let inner = begin_unmarked(writer).await?;
        let is_marked = self.galera.is_noted();
        if is_marked {
            inner.execute_unprepared(MARK).await?;
        }
        Ok(Transaction { inner, is_marked })
    }
}

/// Begins what may hold statements that MySQL commits by themselves, such as those that make tables.
///
/// On SQLite a transaction holds the write lock from the start, so that what it reads cannot change before it writes, and so that it
/// never fails for having read first.
pub(in crate::store) async fn begin_unmarked(
    writer: &DatabaseConnection,
) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    writer.begin_with_options(options).await
}

/// Commits, and returns `value`.
pub(in crate::store) async fn commit<T>(transaction: Transaction, value: T) -> Result<T, Failed> {
    let Transaction { inner, is_marked } = transaction;
    if is_marked {
        inner.execute_unprepared(IS_MARKED).await?;
    }
    match inner.commit().await {
        Ok(()) => Ok(value),
        // Where the answer was lost, nobody knows whether it was committed, so it is not done again.
        Err(error) => {
            Err(Failed::Database { again: failure::classify(&error) == FailureClass::Conflict, error })
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.inner.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.inner.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.inner.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.inner.query_all_raw(statement).await
    }
}
