//! Owns the columns of `sessions` about the last exchange of a refresh token: where it came from, how often it was repeated, and whether
//! an access token of it has been seen.
//!
//! An exchange is known by its time, which is the session's `last_use_time`. So what is left of an earlier exchange, or of one that the
//! release before has made since, counts for nothing, and an exchange need not clear it.

use std::time::Duration;

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter, UpdateMany,
    sea_query::{Expr, IntoCondition},
};

use crate::store::{
    Store,
    engine::transaction::commit,
    tables::{
        entity::sessions::{Column, Entity, Model},
        sessions::{Sha256, StoredSession, sha256},
    },
};
use crate::{
    base::Timestamp,
    model::{Error, SessionId},
};

/// The exchange that made the newest refresh token of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastExchange {
    /// A keyed digest of where it came from; none if there was no exchange, or the release before made it.
    pub origin: Option<Sha256>,
    /// How often it was repeated from there.
    pub repeats: u32,
    /// Whether an access token of it has been seen.
    pub is_seen: bool,
    /// When a repeat of any exchange of the session was last answered that came late or from elsewhere.
    pub odd_repeat_time: Option<Timestamp>,
}

/// An exchange to be made.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// SHA-256 of the next refresh token.
    pub next: Sha256,
    /// When it is made.
    pub time: Timestamp,
    /// A keyed digest of where it comes from.
    pub origin: Sha256,
}

/// An exchange of which an access token has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenExchange {
    /// Whose session it belongs to.
    pub session: SessionId,
    /// Its time, in milliseconds since 1970.
    pub millis: u64,
}

impl LastExchange {
    /// The last exchange, as `row` has it.
    pub(in crate::store) fn read(row: &Model) -> Result<Self, Error> {
        let of_this = |time: Option<i64>| time == Some(row.last_use_time);
        let known = of_this(row.exchange_time);
        let origin = row.exchange_origin.as_deref().filter(|_| known).map(sha256).transpose()?;
        let repeats = row.exchange_repeats.filter(|_| known).unwrap_or_default();
        Ok(Self {
            origin,
            repeats: repeats.unsigned_abs(),
            is_seen: of_this(row.exchange_seen),
            odd_repeat_time: row.odd_repeat_time.map(Timestamp::from_micros),
        })
    }
}

impl Store {
    /// Puts the refresh token of SHA-256 `next` after `newest`, if that is still the newest of the session `id`: of any number
    /// that do it at once, one does. One statement, so that it needs no transaction; done twice, because the answer was lost, it
    /// returns false.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn exchange_refresh_token(
        &self,
        id: SessionId,
        newest: Sha256,
        exchange: &Exchange,
    ) -> Result<bool, Error> {
        let update = Entity::update_many()
            .col_expr(Column::RefreshNewest, Expr::value(exchange.next.to_vec()))
            .col_expr(Column::RefreshBeforeNewest, Expr::value(newest.to_vec()))
            .col_expr(Column::LastUseTime, Expr::value(exchange.time.as_micros()))
            .col_expr(Column::ExchangeTime, Expr::value(exchange.time.as_micros()))
            .col_expr(Column::ExchangeOrigin, Expr::value(exchange.origin.to_vec()))
            .col_expr(Column::ExchangeRepeats, Expr::value(0))
            .filter(Column::Id.eq(id.0))
            .filter(Column::RefreshNewest.eq(newest.to_vec()));
        Ok(self.ask(|| update.clone().exec(&self.writer)).await?.rows_affected > 0)
    }

    /// Counts a repeat of the last exchange of `found`, if that is still the last and has been repeated fewer than `at_most` times. One
    /// that the release before made is from now on held for one from `origin`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn count_repeat(
        &self,
        found: &StoredSession,
        origin: Sha256,
        at_most: u32,
    ) -> Result<bool, Error> {
        let is_of_this = Column::ExchangeTime.eq(found.session.last_use_time.as_micros());
        let update = if found.exchange.origin.is_some() {
            update_last(found)
                .col_expr(Column::ExchangeRepeats, Expr::col(Column::ExchangeRepeats).add(1))
                .filter(is_of_this)
                .filter(Column::ExchangeRepeats.lt(at_most))
        } else {
            update_last(found)
                .col_expr(Column::ExchangeRepeats, Expr::value(1))
                .col_expr(Column::ExchangeOrigin, Expr::value(origin.to_vec()))
                .col_expr(Column::ExchangeTime, Expr::value(found.session.last_use_time.as_micros()))
                .filter(Column::ExchangeTime.is_null().or(is_of_this.not()))
        };
        Ok(self.ask(|| update.clone().exec(&self.writer)).await?.rows_affected > 0)
    }

    /// Notes at `now` that a repeat of the last exchange of `found` is answered though it comes late or from elsewhere; if that is still
    /// the last, none of its access tokens has been seen, and no such repeat was answered within `interval`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn note_odd_repeat(
        &self,
        found: &StoredSession,
        now: Timestamp,
        interval: Duration,
    ) -> Result<bool, Error> {
        let is_unseen = Column::ExchangeSeen.ne(found.session.last_use_time.as_micros());
        let is_due = Column::OddRepeatTime.lte(now.before(interval).as_micros());
        let update = update_last(found)
            .col_expr(Column::OddRepeatTime, Expr::value(now.as_micros()))
            .filter(Column::ExchangeSeen.is_null().or(is_unseen))
            .filter(Column::OddRepeatTime.is_null().or(is_due));
        // In a transaction, which is not done again where its outcome is unknown: the second time it would find its own note, and the
        // session would end for it.
        self.write(|| async {
            let db = self.begin().await?;
            let noted = update.clone().exec(&db).await?.rows_affected > 0;
            commit(db, noted).await
        })
        .await
    }

    /// Notes that access tokens of these exchanges have been seen, as far as they are still the last of their sessions; at most
    /// [`BATCH`](crate::store::BATCH), in the order of the sessions' ids.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn note_seen(&self, exchanges: &[SeenExchange]) -> Result<(), Error> {
        let any = exchanges.iter().fold(Condition::any(), |any, SeenExchange { session, millis }| {
            let micros = i64::try_from(*millis).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000);
            let within = Column::LastUseTime.between(micros, micros.saturating_add(999));
            any.add(Column::Id.eq(session.0).and(within))
        });
        let is_unseen = Expr::col(Column::ExchangeSeen).ne(Expr::col(Column::LastUseTime));
        let update = Entity::update_many()
            .col_expr(Column::ExchangeSeen, Expr::col(Column::LastUseTime))
            // By the key, and the rest decides among those rows.
            .filter(Column::Id.is_in(exchanges.iter().map(|exchange| exchange.session.0)))
            .filter(any.into_condition())
            .filter(Column::ExchangeSeen.is_null().or(is_unseen));
        self.ask(|| update.clone().exec(&self.writer)).await?;
        Ok(())
    }
}

/// An update of the session `found`, if no refresh token of it was exchanged since.
fn update_last(found: &StoredSession) -> UpdateMany<Entity> {
    Entity::update_many()
        .filter(Column::Id.eq(found.session.id.0))
        .filter(Column::RefreshNewest.eq(found.refresh.newest.to_vec()))
        .filter(Column::LastUseTime.eq(found.session.last_use_time.as_micros()))
}
