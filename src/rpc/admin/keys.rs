//! Owns `identity.admin.v1.KeyService` on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Page, administrator, request_key, required};
use crate::{
    identity::{
        Keyring,
        keyring::{ListedKey, Stage},
    },
    proto::identity::admin::v1::{
        GetKeyRequest, GetKeyResponse, Key, ListKeysRequest, ListKeysResponse, RevokeKeyRequest,
        RevokeKeyResponse, RotateKeysRequest, RotateKeysResponse, key, key_service_server::KeyService,
    },
    rpc::encode::time,
};

/// Serves `KeyService`.
#[derive(Debug)]
pub(crate) struct KeyRpc {
    keyring: Arc<Keyring>,
}

impl KeyRpc {
    pub(crate) const fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring }
    }
}

#[tonic::async_trait]
impl KeyService for KeyRpc {
    async fn get_key(&self, request: Request<GetKeyRequest>) -> Result<Response<GetKeyResponse>, Status> {
        let kid = request.into_inner().kid;
        if kid.is_empty() {
            return Err(required("kid").into());
        }
        let key = self.keyring.get(&kid).await?;
        Ok(Response::new(GetKeyResponse { key: Some(encode(&key)) }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<String>::take(&mut filter)?;
        let mut keys = self.keyring.list().await?;
        // By their times the order is another one as soon as one is told to sign at once.
        keys.sort_by(|one, other| (one.create_time, &one.kid.0).cmp(&(other.create_time, &other.kid.0)));
        if let Some(last) = page.after.as_deref().and_then(|kid| keys.iter().position(|key| key.kid.0 == kid))
        {
            keys.drain(..=last);
        }
        let next_page_token = page.next(&mut keys, |key| key.kid.0.clone());
        Ok(Response::new(ListKeysResponse { keys: keys.iter().map(encode).collect(), next_page_token }))
    }

    async fn rotate_keys(
        &self,
        request: Request<RotateKeysRequest>,
    ) -> Result<Response<RotateKeysResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "RotateKeys", &message.request_id, &message)?;
        let key = self.keyring.rotate(&by.repeatable(key)).await?;
        Ok(Response::new(RotateKeysResponse { key: Some(encode(&key)) }))
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        if message.kid.is_empty() {
            return Err(required("kid").into());
        }
        let key = request_key(&by, "RevokeKey", &message.request_id, &message)?;
        let successor = self.keyring.revoke(&message.kid, &by.repeatable(key)).await?;
        Ok(Response::new(RevokeKeyResponse { signing_key: successor.as_ref().map(encode) }))
    }
}

fn encode(listed: &ListedKey) -> Key {
    let ListedKey { kid, alg, stage, create_time, sign_time, retire_time, expire_time } = listed;
    let stage = match stage {
        Stage::Published => key::Stage::Published,
        Stage::Signing => key::Stage::Signing,
        // One that is gone is not listed.
        Stage::VerifyOnly | Stage::Gone => key::Stage::VerifyOnly,
    };
    Key {
        kid: kid.0.clone(),
        alg: alg.clone(),
        stage: stage.into(),
        create_time: Some(time(*create_time)),
        sign_time: Some(time(*sign_time)),
        retire_time: retire_time.map(time),
        expire_time: expire_time.map(time),
    }
}
