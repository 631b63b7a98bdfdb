//! Owns whether a caller's token still counts, and how far its client lets it, read in the transaction of the change that the caller
//! asks for.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::model::{ClientId, Error, NameSet, SessionId, Subject, UserId};
use crate::store::{
    engine::attempts::Failed,
    tables::entity::{clients, sessions, users},
};

/// Succeeds if `subject` is active; a user, if its session goes on as well. Who was just thrown out by another change, for which this one
/// has waited, changes nothing any more.
///
/// Returns what a user's client is registered with, beyond which the user has nothing by it; none of the built-in one, which may be asked
/// for all that administers, and of a client by itself.
///
/// # Errors
/// [`Error::TokenRevoked`].
pub(super) async fn must_stand(
    db: &impl ConnectionTrait,
    subject: Subject,
) -> Result<Option<NameSet>, Failed> {
    let client = match subject {
        Subject::User(user, session) => client_of(db, user, session).await?,
        Subject::Client(client) => Some(client),
    };
    let Some(client) = client else { return Err(Error::TokenRevoked.into()) };
    let found = clients::Entity::find_by_id(client.0)
        .select_only()
        .columns([clients::Column::IsActive, clients::Column::Scopes]);
    let found: Vec<(bool, String)> = found.into_tuple().all(db).await?;
    // The row of the built-in one is made again when it is changed next, if somebody has deleted it.
    let (is_active, scopes) = found.into_iter().next().unwrap_or((client.is_built_in(), String::new()));
    if !is_active {
        return Err(Error::TokenRevoked.into());
    }
    let is_cut = matches!(subject, Subject::User(..)) && !client.is_built_in();
    Ok(is_cut.then(|| NameSet::from_stored(scopes)))
}

/// The client that `session` was opened with, if it goes on and is that of `user`, who is active.
async fn client_of(
    db: &impl ConnectionTrait,
    UserId(user): UserId,
    SessionId(session): SessionId,
) -> Result<Option<ClientId>, Failed> {
    let is_active = users::Entity::find_by_id(user).select_only().column(users::Column::IsActive);
    if is_active.into_tuple::<bool>().all(db).await? != [true] {
        return Ok(None);
    }
    let with = sessions::Entity::find_by_id(session)
        .filter(sessions::Column::UserId.eq(user))
        .select_only()
        .column(sessions::Column::ClientId);
    let with: Vec<String> = with.into_tuple().all(db).await?;
    Ok(with.first().and_then(|id| ClientId::parse(id)))
}
