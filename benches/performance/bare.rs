//! Owns the bare server: tonic's own server of the same proto, with constant replies, and the physical cost of a call if asked.

use std::{io::Write, path::Path};

use prost::Message;
use signet::proto::identity::v1::{
    self as wire, GetMeRequest, GetMeResponse, IssueTokenRequest, IssueTokenResponse,
    identity_service_server::{IdentityService, IdentityServiceServer},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    Result,
    floor::Commits,
    operation::{Signature, SignatureCheck},
};

/// The lengths of the tokens that Signet answers.
const ACCESS_TOKEN_BYTES: usize = 600;
const REFRESH_TOKEN_BYTES: usize = 86;

struct Bare {
    reply: GetMeResponse,
    check: Option<SignatureCheck>,
    signature: Signature,
    commits: Option<Commits>,
}

/// Serves the encoded `GetMeResponse` `reply` on a free port, and says on standard output which that is. With `checking`, each
/// `GetMe` also costs one raw ES256 check. `IssueToken` costs one ES256 signature, and with `commits`, a folder, one durable commit
/// of a row to a SQLite file there.
pub(crate) fn serve(reply: &str, checking: bool, commits: Option<&Path>) -> Result<()> {
    let reply = GetMeResponse::decode(hex::decode(reply)?.as_slice())?;
    // As Signet's: as many workers as there are cores.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let started = serde_json::json!({ "grpc_addr": listener.local_addr()? });
        writeln!(std::io::stdout(), "{started}")?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let check = checking.then(SignatureCheck::new).transpose()?;
        let commits = match commits {
            Some(folder) => Some(Commits::open(folder).await?),
            None => None,
        };
        let bare = Bare { reply, check, signature: Signature::new()?, commits };
        let service = IdentityServiceServer::new(bare);
        Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
    })
}

/// The service, with every method but `get_me` and `issue_token` left out.
macro_rules! answer_two_alone {
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

            async fn issue_token(
                &self,
                _: Request<IssueTokenRequest>,
            ) -> std::result::Result<Response<IssueTokenResponse>, Status> {
                self.signature.make();
                if let Some(commits) = &self.commits {
                    commits.commit().await.map_err(|error| Status::internal(error.to_string()))?;
                }
                Ok(Response::new(IssueTokenResponse {
                    access_token: "a".repeat(ACCESS_TOKEN_BYTES),
                    token_type: "Bearer".to_owned(),
                    expires_in: 900,
                    scope: "profile".to_owned(),
                    refresh_token: Some("r".repeat(REFRESH_TOKEN_BYTES)),
                }))
            }

            $(async fn $method(
                &self,
                _: Request<wire::$request>,
            ) -> std::result::Result<Response<wire::$response>, Status> {
                Err(Status::unimplemented("the bare server answers GetMe and IssueToken alone"))
            })*
        }
    };
}

answer_two_alone! {
    sign_up: SignUpRequest => SignUpResponse,
    update_me: UpdateMeRequest => UpdateMeResponse,
    change_password: ChangePasswordRequest => ChangePasswordResponse,
    delete_me: DeleteMeRequest => DeleteMeResponse,
    list_sessions: ListSessionsRequest => ListSessionsResponse,
    revoke_session: RevokeSessionRequest => RevokeSessionResponse,
    revoke_all_sessions: RevokeAllSessionsRequest => RevokeAllSessionsResponse,
    revoke_token: RevokeTokenRequest => RevokeTokenResponse,
}
