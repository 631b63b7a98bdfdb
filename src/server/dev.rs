//! Owns what `signet dev` has there before the first call: users, and what a manifest says.

use std::time::Duration;

use super::parts::Parts;
use crate::{
    base::Deadline,
    config::Config,
    identity::{
        Administrator, NewAccount,
        apply::{Asked, DevData, Manifests},
    },
    install::StartError,
    model::Error,
};

/// How long the password of a user may take to be hashed, at settings that are for tests.
const HASH_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the users of `data`, and its manifest true.
///
/// # Errors
/// What a user or the manifest is refused with, in words; or what else fails.
pub(super) async fn settle(data: &DevData, parts: &Parts, config: &Config) -> Result<(), StartError> {
    let by = Administrator::operator();
    for user in &data.users {
        let new =
            NewAccount { username: &user.name, password: &user.password, email: None, display_name: None };
        let made =
            parts.accounts.new_accounts().create_as(user.id, new, &by, Deadline::after(HASH_TIMEOUT)).await;
        made.map_err(|error| refused(format!("the user `{}`: {error}", user.name), error))?;
    }
    let own = config.tokens.issuing().audience;
    let manifests = Manifests::new(parts.store.clone(), parts.clock.clone(), parts.audit.clone(), own);
    let DevData { manifest, secrets, .. } = data;
    let asked = Asked { manifest, secrets, prune: false, take_over: false, by: &by };
    let plan = manifests.plan(asked).await.map_err(|error| refused(error.to_string(), error))?;
    let applied = Box::pin(manifests.apply(&plan, &by)).await;
    applied.map_err(|refusal| refused(refusal.to_string(), refusal.error))
}

/// That what the files say cannot be, in words; or that something else failed.
fn refused(sentence: String, error: Error) -> StartError {
    match error {
        error @ (Error::Unavailable { .. } | Error::Internal(_)) => error.into(),
        _ => StartError::Refused(sentence),
    }
}
