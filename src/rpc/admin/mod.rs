//! Owns `identity.admin.v1` on the wire: each service in a file of its own, and what all of them share.

mod access;
mod apply;
mod attributes;
mod client_fields;
mod clients;
mod events;
mod fields;
mod groups;
mod keys;
mod policies;
mod roles;
mod sessions;
mod users;

pub(crate) use apply::{ApplyRpc, MANIFEST_MAX_BYTES};
pub(crate) use attributes::AttributeRpc;
pub(crate) use clients::ClientRpc;
pub(crate) use events::AuditRpc;
pub(crate) use groups::GroupRpc;
pub(crate) use keys::KeyRpc;
pub(crate) use policies::PolicyRpc;
pub(crate) use roles::RoleRpc;
pub(crate) use sessions::SessionRpc;
pub(crate) use users::UserRpc;

use prost::Message;
use tonic::Request;

use super::{
    origin_of,
    page::{Cursor, Page},
    refused, required,
    update_mask::{UpdateMask, not_updatable},
};
use crate::{
    auth::Caller,
    identity::Administrator,
    model::{Error, RequestKey},
};

use fields::{at, etag, id, moment};

/// Who asks for what `request` says.
fn administrator<T>(request: &Request<T>) -> Result<Administrator, Error> {
    Ok(Administrator::of_caller(Caller::of(request)?, origin_of(request)))
}

/// What a repetition of `message`, by which `by` calls `method`, is known by (AIP-155): `request_id`, its own field of that name; none if
/// that is empty.
///
/// # Errors
/// [`Error::InvalidFields`] if it is no UUID.
fn request_key(
    by: &Administrator,
    method: &'static str,
    request_id: &str,
    message: &impl Message,
) -> Result<Option<RequestKey>, Error> {
    if request_id.is_empty() {
        return Ok(None);
    }
    let id = id("request_id", request_id)?;
    let Some(caller) = by.principal() else { return Ok(None) };
    Ok(Some(RequestKey::new(caller, id, method, &message.encode_to_vec())))
}
