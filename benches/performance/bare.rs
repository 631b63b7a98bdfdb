//! Owns the bare server: tonic's own server of the same proto, with one constant reply, and if asked one signature check a call.

use std::io::Write;

use prost::Message;
use signet::proto::identity::v1::{
    self as wire, GetMeRequest, GetMeResponse,
    identity_service_server::{IdentityService, IdentityServiceServer},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::{Result, operation::SignatureCheck};

struct Bare {
    reply: GetMeResponse,
    check: Option<SignatureCheck>,
}

/// Serves the encoded `GetMeResponse` `reply` on a free port, and says on standard output which that is. With `checking`, each
/// call also costs one raw ES256 check.
pub(crate) fn serve(reply: &str, checking: bool) -> Result<()> {
    let reply = GetMeResponse::decode(hex::decode(reply)?.as_slice())?;
    // As Signet's: as many workers as there are cores.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let started = serde_json::json!({ "grpc_addr": listener.local_addr()? });
        writeln!(std::io::stdout(), "{started}")?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let check = checking.then(SignatureCheck::new).transpose()?;
        let service = IdentityServiceServer::new(Bare { reply, check });
        Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
    })
}

/// The service, with every method but `get_me` left out.
macro_rules! answer_get_me_alone {
    ($($method:ident: $request:ident => $response:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl IdentityService for Bare {
            async fn get_me(
                &self,
                _: Request<GetMeRequest>,
            ) -> std::result::Result<Response<GetMeResponse>, Status> {
                if let Some(check) = &self.check {
                    check.run();
                }
                Ok(Response::new(self.reply.clone()))
            }

            $(async fn $method(
                &self,
                _: Request<wire::$request>,
            ) -> std::result::Result<Response<wire::$response>, Status> {
                Err(Status::unimplemented("the bare server answers GetMe alone"))
            })*
        }
    };
}

answer_get_me_alone! {
    sign_up: SignUpRequest => SignUpResponse,
    issue_token: IssueTokenRequest => IssueTokenResponse,
    update_me: UpdateMeRequest => UpdateMeResponse,
    change_password: ChangePasswordRequest => ChangePasswordResponse,
    delete_me: DeleteMeRequest => DeleteMeResponse,
    list_sessions: ListSessionsRequest => ListSessionsResponse,
    revoke_session: RevokeSessionRequest => RevokeSessionResponse,
    revoke_all_sessions: RevokeAllSessionsRequest => RevokeAllSessionsResponse,
    revoke_token: RevokeTokenRequest => RevokeTokenResponse,
}
