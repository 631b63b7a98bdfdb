//! Owns `identity.admin.v1.ClientService` on the wire.

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Page, administrator,
    client_fields::{change_of, encode, id_of, in_client, new_client, ref_of},
    etag, request_key, required,
};
use crate::{
    identity::{
        Administrator, ClientDirectory, ClientRegistry,
        clients::{ClientFilter, CreatedClient, RotatedSecret},
    },
    model::ClientId,
    proto::identity::admin::v1::{
        Client, CreateClientRequest, CreateClientResponse, DeleteClientRequest, DeleteClientResponse,
        DisableClientRequest, DisableClientResponse, EnableClientRequest, EnableClientResponse,
        GetClientRequest, GetClientResponse, ListClientsRequest, ListClientsResponse,
        RotateClientSecretRequest, RotateClientSecretResponse, UpdateClientRequest, UpdateClientResponse,
        client_service_server::ClientService,
    },
};

/// Serves `ClientService`.
#[derive(Debug)]
pub(crate) struct ClientRpc {
    registry: ClientRegistry,
    directory: ClientDirectory,
}

impl ClientRpc {
    pub(crate) const fn new(registry: ClientRegistry, directory: ClientDirectory) -> Self {
        Self { registry, directory }
    }
}

#[tonic::async_trait]
impl ClientService for ClientRpc {
    async fn create_client(
        &self,
        request: Request<CreateClientRequest>,
    ) -> Result<Response<CreateClientResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "CreateClient", &message.request_id, &message)?;
        let only_validates = message.validate_only;
        let new = new_client(message.client.ok_or_else(|| required("client"))?)?;
        let by = by.repeatable(key).validating(only_validates);
        let CreatedClient { client, secret, user_scopes } =
            self.registry.register(new, &by).await.map_err(in_client)?;
        let mut client = encode(&client);
        if only_validates {
            // It is nobody's: the next call makes another.
            client = Client {
                id: String::new(),
                etag: String::new(),
                secrets: 0,
                create_time: None,
                update_time: None,
                ..client
            };
        }
        Ok(Response::new(CreateClientResponse {
            client: Some(client),
            client_secret: secret.map(|secret| secret.to_string()),
            user_scopes: user_scopes.iter().map(str::to_owned).collect(),
        }))
    }

    async fn get_client(
        &self,
        request: Request<GetClientRequest>,
    ) -> Result<Response<GetClientResponse>, Status> {
        let which = request.into_inner().which.ok_or_else(|| required("id"))?;
        let client = self.directory.find(&ref_of(which)?).await?;
        Ok(Response::new(GetClientResponse { client: Some(encode(&client)) }))
    }

    async fn list_clients(
        &self,
        request: Request<ListClientsRequest>,
    ) -> Result<Response<ListClientsResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<Uuid>::take(&mut filter)?;
        let ListClientsRequest { name_prefix, scope, audience, .. } = filter;
        let filter = ClientFilter { name_prefix, scope, audience };
        let (clients, next) = self.directory.list(&filter, page.after.map(ClientId), page.size).await?;
        Ok(Response::new(ListClientsResponse {
            clients: clients.iter().map(encode).collect(),
            next_page_token: next.map(|last| page.token(&last.0)).unwrap_or_default(),
        }))
    }

    async fn update_client(
        &self,
        request: Request<UpdateClientRequest>,
    ) -> Result<Response<UpdateClientResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "UpdateClient", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let client = message.client.ok_or_else(|| required("client"))?;
        let who = id_of("client.id", &client.id)?.into();
        let change = change_of(client, message.update_mask.as_ref())?;
        let client = self.registry.update(&who, &change, &by).await.map_err(in_client)?;
        Ok(Response::new(UpdateClientResponse { client: Some(changed(&client, &by)) }))
    }

    async fn rotate_client_secret(
        &self,
        request: Request<RotateClientSecretRequest>,
    ) -> Result<Response<RotateClientSecretResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "RotateClientSecret", &message.request_id, &message)?;
        let who = id_of("id", &message.id)?.into();
        let (by, etag) =
            (by.repeatable(key).validating(message.validate_only), etag(&message.etag).map(str::to_owned));
        let rotated = self.registry.rotate_secret(&who, message.end_older, etag, &by).await?;
        let RotatedSecret { client, secret } = rotated;
        Ok(Response::new(RotateClientSecretResponse {
            client: Some(changed(&client, &by)),
            client_secret: secret.map(|secret| secret.to_string()).unwrap_or_default(),
        }))
    }

    async fn disable_client(
        &self,
        request: Request<DisableClientRequest>,
    ) -> Result<Response<DisableClientResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DisableClient", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let who = id_of("id", &message.id)?.into();
        let client =
            self.registry.set_active(&who, false, etag(&message.etag).map(str::to_owned), &by).await?;
        Ok(Response::new(DisableClientResponse { client: Some(changed(&client, &by)) }))
    }

    async fn enable_client(
        &self,
        request: Request<EnableClientRequest>,
    ) -> Result<Response<EnableClientResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "EnableClient", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let who = id_of("id", &message.id)?.into();
        let client =
            self.registry.set_active(&who, true, etag(&message.etag).map(str::to_owned), &by).await?;
        Ok(Response::new(EnableClientResponse { client: Some(changed(&client, &by)) }))
    }

    async fn delete_client(
        &self,
        request: Request<DeleteClientRequest>,
    ) -> Result<Response<DeleteClientResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DeleteClient", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let who = id_of("id", &message.id)?.into();
        self.registry.delete(&who, etag(&message.etag), &by).await?;
        Ok(Response::new(DeleteClientResponse {}))
    }
}

/// `client` as it is now; or as it would be, if that alone was asked, without what is made when it changes.
fn changed(client: &crate::model::Client, by: &Administrator) -> Client {
    let mut client = encode(client);
    if by.only_validates() {
        (client.update_time, client.etag) = Default::default();
    }
    client
}
