//! Owns listing and ending the sessions of others, for administrators.

use uuid::Uuid;

use super::Sessions;
use crate::{
    audit::{Entry, Event},
    identity::{Administrator, administrator::NO_FIELDS},
    model::{ClientId, Error, Session, SessionId, User, claims::BUILT_IN_CLIENT},
    store::{Applied, EndedPage},
};

pub use crate::store::{SessionPage, SessionsOf};

/// The result of ending sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedSessions {
    /// How many were ended, or would be, if that alone was asked; none if the same request was done before.
    pub ended: u64,
    /// How many were left, since their users hold more than who asked.
    pub left: u64,
}

impl Sessions {
    /// The session `id` and its user, if it has neither ended nor expired.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn get(&self, id: SessionId) -> Result<(Session, User), Error> {
        let found = self.store.session_and_user(id, self.settings.lifetime, self.clock.now()).await?;
        found.ok_or(Error::SessionNotFound)
    }

    /// The sessions of `of` after `after`, the oldest first; at most `limit`, and fewer where many others lie between.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::ClientNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn list_of(
        &self,
        of: &SessionsOf,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<SessionPage, Error> {
        self.must_be_there(of).await?;
        self.store.list_sessions(of, after, limit, self.settings.lifetime, self.clock.now()).await
    }

    /// Ends the session `id`, as `by` asks for.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`], [`Error::HoldsMore`]; what [`crate::store::Store::end_session`] refuses.
    pub async fn end_as(&self, id: SessionId, by: &Administrator) -> Result<(), Error> {
        let mut entry = Event::SessionRevoked.done().session(id);
        if let Some(found) = self.store.session(id).await? {
            entry = entry.user(found.session.user_id);
        }
        let entry = by.entry(entry);
        let pending = self.audit.begin(entry.clone());
        let ended = self.store.end_session(id, by.change(&entry, self.clock.now())).await;
        let count = usize::from(matches!(ended, Ok(Applied::Now(()))));
        by.settled(pending.ending(count), ended, |()| Some(NO_FIELDS))?;
        if !by.only_validates() {
            self.known.forget(id);
        }
        Ok(())
    }

    /// Ends every session of `of`, as `by` asks for: those of a user all at once, others page by page, each of which is recorded, and ended
    /// whatever becomes of the next.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::ClientNotFound`], [`Error::HoldsMore`]; what [`crate::store::Store::end_sessions`] refuses.
    pub async fn end_all_as(&self, of: &SessionsOf, by: &Administrator) -> Result<EndedSessions, Error> {
        self.must_be_there(of).await?;
        let (entry, resource) = match of {
            SessionsOf::User(user) => (Event::AllSessionsRevoked.done().user(*user), user.0),
            SessionsOf::Client(client) => {
                let id = Uuid::try_parse(client).unwrap_or_default();
                (Event::AllSessionsRevoked.done().client(client.as_str()), id)
            }
            SessionsOf::Everybody => (Event::AllSessionsRevoked.done(), Uuid::nil()),
        };
        let entry: Entry = by.entry(entry);
        let (mut sum, mut after) = (EndedSessions::default(), None);
        loop {
            let pending = self.audit.begin(entry.clone());
            let change = by.change(&entry, self.clock.now());
            let page = self.store.end_sessions(of, after, resource, change).await;
            let count = match &page {
                Ok(Applied::Now(page)) => page.ended.len(),
                _ => 0,
            };
            let page = by.settled(pending.ending(count), page, |_| (count > 0).then_some(NO_FIELDS))?;
            let Applied::Now(EndedPage { ended, left, next }) = page else { return Ok(sum) };
            if !by.only_validates() {
                self.forget(&ended);
            }
            sum = EndedSessions { ended: sum.ended + count as u64, left: sum.left + left };
            if next.is_none() {
                return Ok(sum);
            }
            after = next;
        }
    }

    async fn must_be_there(&self, of: &SessionsOf) -> Result<(), Error> {
        match of {
            SessionsOf::User(user) => {
                let found = self.store.user(*user).await?;
                found.map(drop).ok_or_else(|| Error::UserNotFound(user.to_string()))
            }
            SessionsOf::Client(client) if client == BUILT_IN_CLIENT => Ok(()),
            SessionsOf::Client(client) => {
                let not_found = || Error::ClientNotFound(client.clone());
                let id = Uuid::try_parse(client).map_err(|_| not_found())?;
                self.store.client(ClientId(id)).await?.map(drop).ok_or_else(not_found)
            }
            SessionsOf::Everybody => Ok(()),
        }
    }
}
