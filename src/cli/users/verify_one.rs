//! Owns `signet users import --verify-one`: whether a password that somebody knows fits the hash of its row, before anything is written.

use serde_json::json;

use super::{HASH_TIMEOUT, prehash::GivenPrehash, read_password, source::Source, verifying_pool};
use crate::{
    base::Deadline,
    cli::{CommandReason, Failure, Output, records::Records},
    identity::{
        HashRequest,
        passwords::{Prehash, PrehashKeys},
    },
    model::{Password, Username},
    transfer::{Row, RowRules},
};

/// Looks for the row of `username` in `source`, asks for the password, and says whether the hash takes it.
pub(super) async fn run(
    username: &str,
    (source, rules): (Source, RowRules),
    given: &GivenPrehash,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    let argon2 = rules.argon2;
    let row = find(username, source, rules).await?;
    // Of two that are spelt alike, whoever reads the answer must know which it is of.
    let shown = row.username.as_deref().unwrap_or(username).to_owned();
    let candidate = row.candidate.map_err(|refusal| {
        let sentence =
            format!("the row of `{shown}` would be refused: {} ({})", refusal.problem, refusal.reason.name());
        Failure::because(CommandReason::RowsRefused, sentence)
    })?;
    let hash = candidate.user.password_hash;
    let keys = keys_of(&hash, given, records).await?;
    let password = read_password()?;
    let pool = verifying_pool(argon2, keys)?;
    let request = HashRequest::new(None, None, Deadline::after(HASH_TIMEOUT));
    if !pool.verify(Password::for_login(&password), Some(hash), request).await? {
        let sentence = format!(
            "the hash of `{shown}` does not take this password: perhaps a digest of it was hashed (--password-prehash), or another key \
             was taken"
        );
        return Err(Failure::because(CommandReason::PasswordDoesNotFit, sentence));
    }
    let text = format!("The hash of `{shown}` takes this password. Nothing was written.");
    output.answer(&text, &json!({ "username": shown, "verified": true }))
}

/// The row of `username`: the one that is spelt so, or else that of the user who would log in so.
async fn find(username: &str, source: Source, rules: RowRules) -> Result<Row, Failure> {
    let wanted = Username::parse(username).ok();
    let is_wanted = |row: &Row| match (&row.candidate, &wanted) {
        (Ok(candidate), Some(wanted)) => candidate.user.user.username.stored() == wanted.stored(),
        _ => row.username.as_deref() == Some(username),
    };
    let (mut batches, mut alike) = (source.read(rules), None);
    while let Some(mut batch) = batches.next().await? {
        let is_spelt_so = |row: &Row| row.username.as_deref() == Some(username);
        if let Some(at) = batch.rows.iter().position(is_spelt_so) {
            return Ok(batch.rows.swap_remove(at));
        }
        alike = alike.or_else(|| batch.rows.into_iter().find(is_wanted));
    }
    if let Some(row) = alike {
        return Ok(row);
    }
    let sentence = format!("--verify-one: no row has the username `{}`", username.escape_debug());
    Err(Failure::Usage(sentence))
}

/// The key that `hash` names, if it names one.
async fn keys_of(hash: &str, given: &GivenPrehash, records: &Records) -> Result<PrehashKeys, Failure> {
    let Some(name) = Prehash::key_of_hash(hash) else { return Ok(PrehashKeys::default()) };
    let key = match given.key(&name) {
        Some(key) => Some(key.clone()),
        None => records.prehash_key(&name).await?,
    };
    Ok(PrehashKeys::of(key.map(|key| (name, key)).into_iter().collect()))
}
