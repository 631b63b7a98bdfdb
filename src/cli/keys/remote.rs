//! Owns `signet keys` over the admin API.

use super::{Change, Command, Revoke, Rotate, Shown, heading, tell, tell_published, tell_revoked};
use crate::{
    cli::{
        Failure, Output,
        remote::{Remote, answered, each, only_there, read},
    },
    proto::identity::admin::v1::{Key, ListKeysRequest, RevokeKeyRequest, RotateKeysRequest, key},
};

pub(super) async fn run(command: Command, remote: &Remote, output: Output) -> Result<(), Failure> {
    match command {
        Command::List => {
            let read = async |page_size, page_token| {
                let page =
                    answered(remote.keys().list_keys(ListKeysRequest { page_size, page_token }).await)?;
                Ok((page.keys, page.next_page_token))
            };
            each(None, || heading(output), read, async |key: Key| tell(&shown(&key), output)).await
        }
        Command::Change(Change::Rotate(Rotate { now: true })) => {
            Err(only_there("keys rotate --now", "run it where the database is"))
        }
        Command::Change(Change::Rotate(Rotate { now: false })) => {
            let rotated = answered(remote.keys().rotate_keys(RotateKeysRequest::default()).await)?;
            let key = rotated.key.unwrap_or_default();
            tell_published(&key.kid, read::time(key.sign_time), output)
        }
        Command::Change(Change::Revoke(Revoke { kid })) => {
            let request = RevokeKeyRequest { kid: kid.clone(), ..RevokeKeyRequest::default() };
            let revoked = answered(remote.keys().revoke_key(request).await)?;
            tell_revoked(&kid, revoked.signing_key.map(|key| key.kid).as_deref(), output)
        }
        Command::Change(Change::Reseal(_)) => {
            Err(only_there("keys reseal", "run it where the database and the master key are"))
        }
        Command::Change(Change::Reset(_)) => Err(only_there("keys reset", "run it where the database is")),
    }
}

fn shown(key: &Key) -> Shown<'_> {
    let stage = match key.stage() {
        key::Stage::Published => "published",
        key::Stage::Signing => "signing",
        key::Stage::VerifyOnly => "verify-only",
        key::Stage::Unspecified => "unknown",
    };
    Shown {
        kid: &key.kid,
        alg: &key.alg,
        stage: stage.to_owned(),
        create_time: read::time(key.create_time),
        sign_time: read::time(key.sign_time),
        retire_time: read::if_told(key.retire_time),
        expire_time: read::if_told(key.expire_time),
    }
}
