//! Owns what is kept: the only place that names SeaORM.

mod bulk;
mod engine;
mod sqlite;
mod tables;
mod traced;

use std::{sync::Arc, time::Duration};

use sea_orm::DatabaseConnection;
use tokio::time::timeout;

use crate::base::Entropy;
use engine::file_use::FileUse;
use engine::lanes::Lanes;
use engine::transaction::Galera;

pub use bulk::foreign_table::{ForeignRows, ForeignTable, ForeignValue};
pub use bulk::seen_keys::SeenKeys;
pub use bulk::users::{ReplacedUser, StoredUser};
pub use engine::change_order::ChangeOrder;
pub use engine::clock::DatabaseClock;
pub use engine::connect::PoolSettings;
pub use engine::lanes::Strangers;
pub use engine::location::{Location, ServerUrl};
pub use engine::pools::{DatabasePool, PoolUsage};
pub use engine::schema::{Migrated, MigrationState};
pub use sqlite::copies::SoleUse;
pub use tables::administration::{AdminChange, Applied};
pub use tables::applying::{Applying, Hanging, Made, Named, PlannedStep, Present, SetOwner, Step};
pub(crate) use tables::attributes::differences as attribute_differences;
pub use tables::audit_events::EventFilter;
pub use tables::bindings::{BindingFilter, Bound, WhichBinding};
pub use tables::built_indexes::UserIndex;
pub use tables::changes::{Change, ChangeEffect, ChangeKind, EVERYBODY, SIGNING_KEYS};
pub use tables::client_changes::ChangedClient;
pub(crate) use tables::client_changes::differences as client_differences;
pub use tables::copying::{COPIED, CopiedTable};
pub use tables::credentials::{CredentialVersion, Credentials};
pub use tables::exchanges::{Exchange, LastExchange, SeenExchange};
pub use tables::feed_marks::FeedPage;
pub use tables::held::HeldGrants;
pub use tables::job_runs::{JobRow, Process, RENEW_INTERVAL, RunEnd};
pub use tables::leases::{Lease, MANIFESTS as MANIFESTS_LEASE, SIGNING_KEYS as SIGNING_KEYS_LEASE};
pub use tables::one_time_passwords::{NewOneTimePassword, OneTimeUse, StoredOneTimePassword};
pub use tables::password_failures::{Count, FailureKey, FailureKeys, Failures, Login, NewFailure, Payer};
pub use tables::policies::PolicyStateChange;
pub use tables::resting_usernames::RestingName;
pub use tables::sealed_secrets::ResealedSecret;
pub use tables::sessions::{
    EndedPage, RefreshState, Replacement, SessionPage, SessionsOf, Sha256, StoredSession,
};
pub use tables::signing_keys::{FirstKey, KeyChange, StoredKey};
pub use tables::user_changes::{DeletedUsers, EditedUser, Rests, SwitchedUsers, UserEdit, UserTarget};
pub use tables::user_pages::{FoundUser, PlaceValue, Span, UserOrder, UserPlace};
pub use tables::usernames::NameCollision;
pub use tables::users::{NewUser, PasswordChange, ProfileChange, UpdatedProfile};

/// How many rows one statement names at most: every database has its limit on a statement's length.
pub const BATCH: usize = 500;

/// How long a server may take to say farewell: it ends what is left of a connection that is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The database, open.
#[derive(Clone, Debug)]
pub struct Store {
    db: DatabaseConnection,
    /// What writes: on SQLite, which has one writer at a time, a connection of its own, so that writers stand in a fair line here and
    /// do not sleep and ask again there; the same pool otherwise.
    writer: DatabaseConnection,
    /// The connections that ordinary calls do not use.
    lanes: Box<Lanes>,
    /// The server that it is on; none for SQLite.
    server: Option<(ServerUrl, PoolSettings)>,
    /// Whether that is a node of Galera.
    galera: Galera,
    /// The clock that tells the database's time.
    clock: DatabaseClock,
    /// What the ids of new rows, and pauses between attempts, are made of.
    entropy: Entropy,
    /// How long one operation may take, whatever it waits for.
    time_limit: Duration,
    /// Of a SQLite file: that it is used, so that nobody replaces it meanwhile.
    #[expect(dead_code, reason = "held, not read")]
    file_use: Option<Arc<FileUse>>,
}

impl Store {
    /// The same database; `told` hears of every statement how long it took, and whether it failed, and so does the trace of the request
    /// that has caused it.
    #[must_use]
    pub fn observed(mut self, told: impl Fn(Duration, bool) + Clone + Send + Sync + 'static) -> Self {
        for connection in self.connections() {
            let told = told.clone();
            connection.set_metric_callback(move |statement| {
                told(statement.elapsed, statement.failed);
                traced::trace(statement.statement, statement.elapsed, statement.failed);
            });
        }
        self
    }

    /// The randomness of which the ids of new rows are made.
    #[must_use]
    pub const fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    /// How long one operation may take, whatever it waits for.
    #[must_use]
    pub const fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// What `work` makes of it, which is closed then; or given up, if that fails.
    ///
    /// # Errors
    /// That of `work`.
    pub async fn within<T, E>(self, work: impl AsyncFnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        // On the heap: it holds what a whole command waits for.
        let done = Box::pin(work(&self)).await;
        if done.is_ok() {
            self.close().await;
        } else {
            self.give_up().await;
        }
        done
    }

    /// Closes it if it is SQLite, of whose write-ahead log nothing is left then. A server may be why nobody goes on: it is not spoken to
    /// once more.
    pub async fn give_up(self) {
        if self.server.is_none() {
            self.close().await;
        }
    }

    /// Closes every connection, and with the last one SQLite's write-ahead log. A server that does not answer is not waited for.
    pub async fn close(mut self) {
        let is_file = self.server.is_none();
        let closing = async {
            for connection in self.connections().map(|connection| connection.clone()) {
                if let Err(error) = connection.close().await {
                    tracing::warn!(error = %error, "the database did not close cleanly");
                }
            }
        };
        if is_file {
            closing.await;
        } else if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::debug!("the database did not answer while its connections were being closed");
        }
    }

    /// Every connection; SQLite's writer last, since whoever closes it folds the log into the file.
    fn connections(&mut self) -> [&mut DatabaseConnection; 5] {
        let [strangers, reader, writer] = self.lanes.connections();
        [&mut self.db, strangers, reader, writer, &mut self.writer]
    }
}
