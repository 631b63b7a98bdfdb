//! Owns the table `feed_marks`: how far changes have been deleted from the feed, which whoever has read less could not see otherwise.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, OnConflict},
};

use crate::model::Error;
use crate::store::{
    Store,
    tables::{
        access::INSTANCE,
        changes::Change,
        entity::{
            changes::{Column as ChangeColumn, Entity as ChangeEntity, Model as ChangeRow},
            feed_marks::{ActiveModel, Column, Entity},
        },
    },
};

/// The mark of how far changes have been deleted.
const PASSED: &str = "passed";

/// Changes in the order of their ids, and what tells whether some before them are gone.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// The changes.
    pub changes: Vec<Change>,
    /// Up to which id changes had been deleted when these were read, but for those that last; zero if none, or if there is no change.
    pub passed: i64,
}

/// A change, and the mark.
#[derive(Debug, FromQueryResult)]
struct PageRow {
    #[sea_orm(nested)]
    change: ChangeRow,
    passed: Option<i64>,
}

impl Store {
    /// The changes after the id `after`, in their order, at most `limit`; and up to which id changes have been deleted. Both in one
    /// statement, so that what it does not find any more is marked.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn feed_page(&self, after: i64, limit: u64) -> Result<FeedPage, Error> {
        let mark = Entity::find_by_id((INSTANCE, PASSED.to_owned())).select_only().column(Column::ChangeId);
        let query = ChangeEntity::find()
            .expr_as(Expr::from(mark.into_query()), "passed")
            .filter(ChangeColumn::Id.gt(after))
            .order_by_asc(ChangeColumn::Id)
            .limit(limit);
        let rows = || query.clone().into_model::<PageRow>();
        let rows = self.ask(|| rows().all(&self.lanes.service.reader)).await?;
        let passed = rows.first().and_then(|row| row.passed).unwrap_or(0);
        Ok(FeedPage { changes: rows.into_iter().map(|row| row.change.into()).collect(), passed })
    }

    /// Up to which id changes have been deleted, but for those that last; zero if none, or by the release before alone.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn passed_changes(&self) -> Result<i64, Error> {
        let query = Entity::find_by_id((INSTANCE, PASSED.to_owned()));
        let row = self.ask_for_one(|| query.clone().all(&self.lanes.service.reader)).await?;
        Ok(row.map_or(0, |row| row.change_id))
    }

    /// Marks that changes up to the id `id` are about to be deleted: first this, since whoever finds one gone must find the mark.
    pub(super) async fn mark_passed(&self, id: i64) -> Result<(), Error> {
        let row = || ActiveModel {
            organization_id: Set(INSTANCE),
            name: Set(PASSED.to_owned()),
            change_id: Set(id),
        };
        let key = [Column::OrganizationId, Column::Name];
        let nothing = || OnConflict::columns(key).do_nothing_on(key).to_owned();
        let insert = || Entity::insert(row()).on_conflict(nothing());
        self.ask(|| insert().exec_without_returning(&self.writer)).await?;
        // It never goes back: another process may have come further.
        let raise = Entity::update_many()
            .col_expr(Column::ChangeId, Expr::value(id))
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Name.eq(PASSED))
            .filter(Column::ChangeId.lt(id));
        self.ask(|| raise.clone().exec(&self.writer)).await.map(drop)
    }
}
