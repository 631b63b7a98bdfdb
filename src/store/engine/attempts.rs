//! Owns attempts: the one place that bounds how long the database may take, and that repeats what it refused for a passing reason.
//!
//! A write is one transaction. SQLite has one writer at a time, and the transaction is it from its start. PostgreSQL and MySQL run
//! many at READ COMMITTED, and what excludes them from each other is the rows that they write: a transaction first writes the row
//! that its rule hangs on (conditionally, in one statement), which locks it until the commit, and every later statement sees what
//! was committed before. So that no two wait for each other, rows are taken in the order users, sessions; if two do
//! nonetheless, the database ends one, which is done again here. Since the row is written and not only locked, Galera certifies it
//! too: of two transactions on two nodes one fails, and is done again.

use std::time::Duration;

use sea_orm::DbErr;
use tokio::time::{sleep, timeout};

use crate::store::{
    Store,
    engine::failure::{self, FailureClass},
};
use crate::{base::Entropy, model::Error};

/// The longest pause before another attempt: each is random, and twice as long as the last at most.
const MAX_PAUSE: Duration = Duration::from_millis(64);

impl Store {
    /// Asks for one `statement`, again if a connection is lost: a query, or a change that does no harm when it is made twice.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database does not answer within the time limit or says that it cannot;
    /// [`Error::Internal`] for a defect.
    pub(in crate::store) async fn ask<T, Asked>(&self, statement: impl Fn() -> Asked) -> Result<T, Error>
    where
        Asked: Future<Output = Result<T, DbErr>>,
    {
        self.repeated(|| async { Ok(statement().await?) }).await
    }

    /// Asks for the row of what is unique by `all`, which asks for every such row.
    ///
    /// Not by SeaORM's `one`: it binds a `LIMIT`, and SQLite plans such a statement anew each time (`sqlite3ExprIsInteger` has the
    /// statement expire with the value), which costs more than the read.
    ///
    /// # Errors
    /// As with [`Store::ask`].
    pub(in crate::store) async fn ask_for_one<T, Asked>(
        &self,
        all: impl Fn() -> Asked,
    ) -> Result<Option<T>, Error>
    where
        Asked: Future<Output = Result<Vec<T>, DbErr>>,
    {
        let mut rows = self.ask(all).await?;
        debug_assert!(rows.len() <= 1, "what was asked for is not unique");
        Ok(rows.pop())
    }

    /// Writes in one transaction, which `attempt` begins by [`Store::begin`] and ends by
    /// [`commit`](crate::store::engine::transaction::commit); without that nothing is written. `attempt` may be run several times.
    ///
    /// # Errors
    /// As with [`Store::ask`], and what `attempt` refuses with. If the connection is lost amid the commit, [`Error::Unavailable`] may
    /// stand for either outcome.
    pub(in crate::store) async fn write<T, Attempt>(&self, attempt: impl Fn() -> Attempt) -> Result<T, Error>
    where
        Attempt: Future<Output = Result<T, Failed>>,
    {
        self.repeated(attempt).await
    }

    fn no_answer(&self) -> Error {
        let source = format!("no answer within {:?}", self.time_limit).into();
        Error::Unavailable { what: "database", source }
    }

    async fn repeated<T, Attempt>(&self, attempt: impl Fn() -> Attempt) -> Result<T, Error>
    where
        Attempt: Future<Output = Result<T, Failed>>,
    {
        let mut last = None;
        let attempts = async {
            let mut pauses = Pauses::new(&self.entropy);
            loop {
                match attempt().await {
                    Ok(value) => return Ok(value),
                    Err(Failed::Refused(error)) => return Err(error),
                    Err(Failed::Database { error, again: false }) => return Err(failure::from(error)),
                    Err(Failed::Database { error, again: true }) => {
                        tracing::debug!(error = %error, "the database is asked again");
                        last = Some(error);
                    }
                }
                sleep(pauses.draw()).await;
            }
        };
        match timeout(self.time_limit, attempts).await {
            Ok(result) => result,
            Err(_) => Err(last.map_or_else(|| self.no_answer(), failure::from)),
        }
    }
}

/// The pauses between attempts.
struct Pauses<'a> {
    entropy: &'a Entropy,
    longest: Duration,
}

impl<'a> Pauses<'a> {
    const fn new(entropy: &'a Entropy) -> Self {
        Self { entropy, longest: Duration::from_millis(1) }
    }

    /// The next one: at random, so that two who collided do not meet again.
    fn draw(&mut self) -> Duration {
        let pause = self.entropy.part_of(self.longest, 0.0..1.0);
        self.longest = (self.longest * 2).min(MAX_PAUSE);
        pause
    }
}

/// Why an attempt failed.
#[derive(Debug)]
pub(in crate::store) enum Failed {
    /// The database failed, and another attempt makes sense, or does not.
    Database { error: DbErr, again: bool },
    /// What the database holds does not allow it: nothing is written, and it is not tried again.
    Refused(Error),
}

/// Before the commit, nothing has been written: neither a conflict nor a lost connection matters to the next attempt.
impl From<DbErr> for Failed {
    fn from(error: DbErr) -> Self {
        let again = matches!(failure::classify(&error), FailureClass::Conflict | FailureClass::Disconnected);
        Self::Database { error, again }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(seed: u64) -> Vec<Duration> {
        let entropy = Entropy::seeded(seed);
        let mut pauses = Pauses::new(&entropy);
        (0..10).map(|_| pauses.draw()).collect()
    }

    #[test]
    fn pauses_repeat_by_a_seed_and_two_who_collide_do_not_collide_again() {
        for seed in 0..20 {
            let first = pauses(seed);
            assert_eq!(pauses(seed), first);
            assert_ne!(pauses(seed + 1), first);
            let bounds = [1, 2, 4, 8, 16, 32, 64, 64, 64, 64].map(Duration::from_millis);
            assert!(first.iter().zip(bounds).all(|(pause, bound)| *pause <= bound), "{first:?}");
        }
    }
}
