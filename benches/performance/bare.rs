//! Owns the bare server: tonic's own server of the same proto, with constant replies, and the physical cost of a call if asked.

use std::{io::Write, path::PathBuf};

use clap::Args;
use prost::Message;
use signet::proto::{
    envoy::service::auth::v3::{
        CheckRequest, CheckResponse,
        authorization_server::{Authorization, AuthorizationServer},
    },
    identity::v1::{
        self as wire, GetJwksRequest, GetJwksResponse, GetMeRequest, GetMeResponse, IntrospectTokenRequest,
        IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse,
        identity_service_server::{IdentityService, IdentityServiceServer},
        token_service_server::{TokenService, TokenServiceServer},
    },
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

struct BareTokens {
    reply: IntrospectTokenResponse,
}

struct BareAuthorization {
    reply: CheckResponse,
}

/// How the benchmark starts its peer: what it answers, and what a call costs it.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "flags of a command line need names of their own")]
pub(crate) struct Options {
    /// Serve: this encoded `GetMeResponse`, in hexadecimal digits.
    #[arg(long, hide = true)]
    bare_reply: Option<String>,

    /// And this encoded `IntrospectTokenResponse`.
    #[arg(long, hide = true, default_value = "")]
    bare_introspection: String,

    /// And this encoded `CheckResponse`.
    #[arg(long, hide = true, default_value = "")]
    bare_allowed: String,

    /// `GetMe` also costs one raw ES256 check.
    #[arg(long, hide = true)]
    bare_check: bool,

    /// `IssueToken`, which costs one ES256 signature, also costs one durable commit of a row to a SQLite file in this folder.
    #[arg(long, hide = true)]
    bare_commit: Option<PathBuf>,
}

impl Options {
    /// Whether the bare server is wanted, and not the benchmark.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.bare_reply.is_some()
    }
}

/// Serves on a free port, and says on standard output which that is.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let reply = options.bare_reply.as_deref().unwrap_or_default();
    let reply = GetMeResponse::decode(hex::decode(reply)?.as_slice())?;
    let told = IntrospectTokenResponse::decode(hex::decode(&options.bare_introspection)?.as_slice())?;
    let allowed = CheckResponse::decode(hex::decode(&options.bare_allowed)?.as_slice())?;
    // As Signet's: as many workers as there are cores.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let started = serde_json::json!({ "grpc_addr": listener.local_addr()? });
        writeln!(std::io::stdout(), "{started}")?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let check = options.bare_check.then(SignatureCheck::new).transpose()?;
        let commits = match &options.bare_commit {
            Some(folder) => Some(Commits::open(folder).await?),
            None => None,
        };
        let bare = Bare { reply, check, signature: Signature::new()?, commits };
        let server = Server::builder()
            .add_service(IdentityServiceServer::new(bare))
            .add_service(TokenServiceServer::new(BareTokens { reply: told }))
            .add_service(AuthorizationServer::new(BareAuthorization { reply: allowed }));
        Ok(server.serve_with_incoming(incoming).await?)
    })
}

#[tonic::async_trait]
impl TokenService for BareTokens {
    async fn introspect_token(
        &self,
        _: Request<IntrospectTokenRequest>,
    ) -> std::result::Result<Response<IntrospectTokenResponse>, Status> {
        Ok(Response::new(self.reply.clone()))
    }

    async fn get_jwks(
        &self,
        _: Request<GetJwksRequest>,
    ) -> std::result::Result<Response<GetJwksResponse>, Status> {
        Err(Status::unimplemented("the bare server has no keys"))
    }
}

#[tonic::async_trait]
impl Authorization for BareAuthorization {
    async fn check(&self, _: Request<CheckRequest>) -> std::result::Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.reply.clone()))
    }
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
    set_new_password: SetNewPasswordRequest => SetNewPasswordResponse,
    delete_me: DeleteMeRequest => DeleteMeResponse,
    list_sessions: ListSessionsRequest => ListSessionsResponse,
    revoke_session: RevokeSessionRequest => RevokeSessionResponse,
    revoke_all_sessions: RevokeAllSessionsRequest => RevokeAllSessionsResponse,
    revoke_token: RevokeTokenRequest => RevokeTokenResponse,
}
