//! Owns whether a caller's token still counts, read in the transaction of the change that the caller asks for.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::model::{ClientId, Error, SessionId, Subject, UserId};
use crate::store::{
    engine::attempts::Failed,
    tables::entity::{clients, sessions, users},
};

/// Succeeds if `subject` is active; a user, if its session goes on as well. Who was just thrown out by another change, for which this one
/// has waited, changes nothing any more.
///
/// # Errors
/// [`Error::TokenRevoked`].
pub(super) async fn must_stand(db: &impl ConnectionTrait, subject: Subject) -> Result<(), Failed> {
    let stands = match subject {
        Subject::User(user, session) => user_stands(db, user, session).await?,
        Subject::Client(client) => client_stands(db, client).await?,
    };
    if stands { Ok(()) } else { Err(Error::TokenRevoked.into()) }
}

async fn user_stands(
    db: &impl ConnectionTrait,
    UserId(user): UserId,
    SessionId(session): SessionId,
) -> Result<bool, Failed> {
    let is_active = users::Entity::find_by_id(user).select_only().column(users::Column::IsActive);
    if is_active.into_tuple::<bool>().all(db).await? != [true] {
        return Ok(false);
    }
    let with = sessions::Entity::find_by_id(session)
        .filter(sessions::Column::UserId.eq(user))
        .select_only()
        .column(sessions::Column::ClientId);
    let with: Vec<String> = with.into_tuple().all(db).await?;
    match with.first().and_then(|id| ClientId::parse(id)) {
        Some(client) => client_stands(db, client).await,
        None => Ok(false),
    }
}

async fn client_stands(db: &impl ConnectionTrait, client: ClientId) -> Result<bool, Failed> {
    let is_active = clients::Entity::find_by_id(client.0).select_only().column(clients::Column::IsActive);
    let is_active: Vec<bool> = is_active.into_tuple().all(db).await?;
    // The row of the built-in one is made again when it is changed next, if somebody has deleted it.
    Ok(is_active.first().copied().unwrap_or(client.is_built_in()))
}
