//! Owns what administrators ask of the table `sessions`: listing and ending the sessions of others.

use std::collections::HashSet;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, JoinType, QueryFilter,
    QueryOrder, QuerySelect, Select, SelectTwo,
};
use uuid::Uuid;

use super::{Column, Ending, Entity, Expiry, UserColumn, UserEntity, delete_of_users, end, ending};
use crate::store::{
    BATCH, Store,
    engine::attempts::Failed,
    tables::{
        access,
        administration::{AdminChange, Administering, Applied},
        holders,
    },
};
use crate::{
    audit::FieldChange,
    base::Timestamp,
    model::{AdminScope, Error, Principal, Session, SessionId, SessionLifetime, User, UserId},
};

/// How many sessions are looked at for one page, where no index finds those that are meant: an index would have to be written at each
/// refresh.
const MOST_LOOKED_AT: u64 = 5_000;

/// Whose sessions are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionsOf {
    /// The sessions of this user.
    User(UserId),
    /// The sessions that were opened with this client, by its id in tokens.
    Client(String),
    /// All.
    Everybody,
}

/// A page of sessions.
#[derive(Debug)]
pub struct SessionPage {
    /// The sessions, the oldest first, each with its user.
    pub sessions: Vec<(Session, User)>,
    /// After which the next page begins; none if this was the last.
    pub next: Option<SessionId>,
}

/// The result of ending a page of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedPage {
    /// The sessions that were ended.
    pub ended: Vec<SessionId>,
    /// How many were left, since their users hold more than who asks.
    pub left: u64,
    /// After which the next page begins; none if this was the last.
    pub next: Option<SessionId>,
}

impl Store {
    /// The session `id` and its user, if it has neither ended nor expired.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn session_and_user(
        &self,
        id: SessionId,
        lifetime: SessionLifetime,
        now: Timestamp,
    ) -> Result<Option<(Session, User)>, Error> {
        let query = with_users(Entity::find_by_id(id.0)).filter(Expiry::by(now, lifetime).has_come().not());
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().find_map(|(session, user)| Some((session.into(), user?.into()))))
    }

    /// The sessions of `of` after `after` that have not expired by `now`; at most `limit` of them, and fewer where many others lie between.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn list_sessions(
        &self,
        of: &SessionsOf,
        after: Option<SessionId>,
        limit: u64,
        lifetime: SessionLifetime,
        now: Timestamp,
    ) -> Result<SessionPage, Error> {
        let bound = match of {
            SessionsOf::User(_) => None,
            SessionsOf::Client(_) | SessionsOf::Everybody => self.ask(|| bound(&self.db, after)).await?,
        };
        let query = between(of, after, bound).filter(Expiry::by(now, lifetime).has_come().not());
        // One more tells whether there is a next page.
        let query = with_users(query).order_by_asc(Column::Id).limit(limit.saturating_add(1));
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let last = rows.get(limit.wrapping_sub(1)).map(|(session, _)| SessionId(session.id));
        let next = if rows.len() > limit { last } else { bound };
        let sessions = rows.into_iter().take(limit);
        let sessions = sessions.filter_map(|(session, user)| Some((session.into(), user?.into())));
        Ok(SessionPage { sessions: sessions.collect(), next })
    }

    /// Ends the session `id`, as `asked`.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`]; [`Error::HoldsMore`] of its user; [`Error::InsufficientScope`], [`Error::RequestIdReused`];
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn end_session(&self, id: SessionId, asked: AdminChange<'_>) -> Result<Applied<()>, Error> {
        let find = ending(Entity::find_by_id(id.0));
        let find = &find;
        self.change(asked, |db| async move {
            db.rights().must_have(AdminScope::SessionsWrite)?;
            let found: Option<Ending> = find.clone().into_tuple().all(&*db).await?.pop();
            let found = found.ok_or(Error::SessionNotFound)?;
            db.may_change(Principal::User(UserId(found.1))).await?;
            end(&*db, vec![found], asked.now).await?;
            db.done(id.0, FieldChange::of_ended_sessions(1), ()).await
        })
        .await
    }

    /// Ends the sessions of `of` after `after`, as `asked`: those of a user all at once, others a page of them. Sessions of users who hold
    /// more than who asks are left, if it is not that user's that are meant. The last page notes the request, and ends the session of
    /// whoever asks: what is cut short before it goes on where it is repeated.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; [`Error::HoldsMore`] of the user; [`Error::InsufficientScope`], [`Error::RequestIdReused`];
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn end_sessions(
        &self,
        of: &SessionsOf,
        after: Option<SessionId>,
        resource: Uuid,
        asked: AdminChange<'_>,
    ) -> Result<Applied<EndedPage>, Error> {
        self.change(asked, |mut db| async move {
            db.rights().must_have(AdminScope::SessionsWrite)?;
            let page = match of {
                SessionsOf::User(user) => {
                    access::must_be_there(&*db, Principal::User(*user)).await?;
                    db.may_change(Principal::User(*user)).await?;
                    let ended = delete_of_users(&*db, &[*user], None, asked.now).await?;
                    EndedPage { ended, left: 0, next: None }
                }
                SessionsOf::Client(_) | SessionsOf::Everybody => end_page(&db, of, after, asked.now).await?,
            };
            if page.next.is_some() {
                db.goes_on();
            }
            match FieldChange::of_ended_sessions(page.ended.len()) {
                Some(ended) => db.done(resource, [ended], page).await,
                None => db.unchanged(resource, page).await,
            }
        })
        .await
    }
}

/// Ends the next page of sessions of `of`.
async fn end_page(
    db: &Administering<'_>,
    of: &SessionsOf,
    after: Option<SessionId>,
    now: Timestamp,
) -> Result<EndedPage, Failed> {
    let bound = bound(&**db, after).await?;
    let page = ending(between(of, after, bound)).order_by_asc(Column::Id).limit(BATCH as u64);
    let mut page: Vec<Ending> = page.into_tuple().all(&**db).await?;
    let next = if page.len() == BATCH { page.last().map(|(id, ..)| SessionId(*id)) } else { bound };
    if let Some(own) = db.session() {
        page.retain(|(id, ..)| *id != own.0);
        if next.is_none() {
            let own = ending(between(of, None, None).filter(Column::Id.eq(own.0)));
            page.extend(own.into_tuple::<Ending>().all(&**db).await?);
        }
    }
    let users: HashSet<UserId> = page.iter().map(|(_, user, _)| UserId(*user)).collect();
    let beyond = holders::who_hold_more(&**db, db.rights(), &users, now).await?;
    let (left, ending): (Vec<Ending>, Vec<Ending>) =
        page.into_iter().partition(|(_, user, _)| beyond.contains(&UserId(*user)));
    let ended = end(&**db, ending, now).await?;
    Ok(EndedPage { ended, left: left.len() as u64, next })
}

/// The last session that is looked at for the page after `after`; none if all that are left are.
async fn bound(db: &impl ConnectionTrait, after: Option<SessionId>) -> Result<Option<SessionId>, DbErr> {
    let mut query = Entity::find().select_only().column(Column::Id).order_by_asc(Column::Id);
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after.0));
    }
    let ids: Vec<Uuid> = query.offset(MOST_LOOKED_AT - 1).limit(1).into_tuple().all(db).await?;
    Ok(ids.into_iter().next().map(SessionId))
}

/// The sessions of `of` after `after`, up to `bound`.
fn between(of: &SessionsOf, after: Option<SessionId>, bound: Option<SessionId>) -> Select<Entity> {
    let mut all = Condition::all();
    match of {
        SessionsOf::User(user) => all = all.add(Column::UserId.eq(user.0)),
        SessionsOf::Client(client) => all = all.add(Column::ClientId.eq(client.as_str())),
        SessionsOf::Everybody => {}
    }
    if let Some(after) = after {
        all = all.add(Column::Id.gt(after.0));
    }
    if let Some(bound) = bound {
        all = all.add(Column::Id.lte(bound.0));
    }
    Entity::find().filter(all)
}

/// `sessions`, each with its user.
fn with_users(sessions: Select<Entity>) -> SelectTwo<Entity, UserEntity> {
    let its_user = Entity::belongs_to(UserEntity).from(Column::UserId).to(UserColumn::Id);
    sessions.join(JoinType::LeftJoin, its_user.into()).select_also(UserEntity)
}
