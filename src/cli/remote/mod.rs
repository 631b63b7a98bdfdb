//! Owns administering a service from another machine: where its admin API is, as whom it is called, and how a call is made.

mod access_token;
mod address;
mod login;
mod login_file;
mod problem;
pub(super) mod read;
mod who;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use super::{CommandReason, Failure, principal::is_said};
use crate::{
    config::Config,
    proto::identity::{
        admin::v1::{
            apply_service_client::ApplyServiceClient, attribute_service_client::AttributeServiceClient,
            audit_service_client::AuditServiceClient, client_service_client::ClientServiceClient,
            group_service_client::GroupServiceClient, key_service_client::KeyServiceClient,
            role_service_client::RoleServiceClient, session_service_client::SessionServiceClient,
            user_service_client::UserServiceClient,
        },
        policy::v1::policy_service_client::PolicyServiceClient,
        v1::identity_service_client::IdentityServiceClient,
    },
};
use access_token::ClientProof;
use address::Address;
pub(super) use address::roots;
pub(super) use login::{LoginAt, LogoutAt, log_in, log_out};
pub(super) use problem::failure;
pub(super) use who::Names;

/// How many are asked for at a time: the largest page.
const PAGE: u64 = 500;

/// The largest answer about a manifest.
const MANIFEST_BYTES: usize = 64 * 1_024 * 1_024;

/// Under which heading the help shows these options.
pub(super) const HEADING: &str = "Another machine";

/// A command that administers, and where.
#[derive(Args, Debug)]
pub(super) struct Over<C: Subcommand> {
    #[command(subcommand)]
    pub(super) command: C,
    #[command(flatten)]
    pub(super) place: WorksAt,
}

/// Where a command works: on the database of the settings here, or over the admin API of a service.
#[derive(Args, Debug)]
pub(super) struct WorksAt {
    /// Work over the admin API of the service at this address, instead of on the database: HOST:PORT of its --admin-addr. It takes the
    /// login of `signet login`, or --client-id. Beyond this machine it is called by TLS alone; on it, by TLS if https:// is before it.
    #[arg(long, env = "SIGNET_SERVER", global = true, value_name = "ADDR", help_heading = HEADING)]
    server: Option<Address>,
    #[command(flatten)]
    trust: Trust,
    /// Call --server as this client, which is registered with the `signet.` scopes that the command needs. Its secret is in
    /// `SIGNET_CLIENT_SECRET`, unless a file has it.
    #[arg(long, env = "SIGNET_CLIENT_ID", global = true, value_name = "ID", help_heading = HEADING)]
    client_id: Option<String>,
    /// A file that holds the secret of --client-id.
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING, conflicts_with = "client_key_file")]
    client_secret_file: Option<PathBuf>,
    /// A file that holds the private key of --client-id, in PEM (PKCS#8: ES256, EdDSA, RS256), in the place of a secret. What it signs is
    /// meant for --issuer (`SIGNET_ISSUER`), as the service is told it.
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    client_key_file: Option<PathBuf>,
}

/// Whose certificates are believed.
#[derive(Args, Debug)]
pub(super) struct Trust {
    /// The certification authorities that the certificate of --server must come from, in PEM. Without it those of this machine.
    #[arg(long, env = "SIGNET_TLS_CA", global = true, value_name = "FILE", help_heading = HEADING)]
    tls_ca: Option<PathBuf>,
}

/// The admin API of a service, called with a token.
#[derive(Debug)]
pub(super) struct Remote {
    calls: Calls,
}

/// What makes calls that show the token.
pub(super) type Calls = InterceptedService<Channel, Bearer>;

/// The token, as each call shows it.
#[derive(Clone, Debug)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl WorksAt {
    /// The service whose admin API is meant; none if it is the database.
    ///
    /// # Errors
    /// If it must not be called so, cannot be reached, or gives no token.
    pub(super) async fn connect(self, config: &Config) -> Result<Option<Remote>, Failure> {
        let Self { server, trust, client_id, client_secret_file, client_key_file } = self;
        let Some(server) = server else {
            // The environment may say them to all commands, also to those on the database.
            let said = [
                ("--tls-ca", is_said("--tls-ca")),
                ("--client-id", is_said("--client-id")),
                ("--client-secret-file", client_secret_file.is_some()),
                ("--client-key-file", client_key_file.is_some()),
            ];
            return match said.iter().find(|(_, is_said)| *is_said) {
                Some((flag, _)) => {
                    Err(Failure::Usage(format!("{flag}: is for --server, which is not given")))
                }
                None => Ok(None),
            };
        };
        let channel = server.connect(trust.tls_ca.as_deref()).await?;
        let issuer = IdentityServiceClient::new(channel.clone());
        let token = match client_id {
            Some(id) => {
                let proof = ClientProof::read(client_secret_file, client_key_file, config)?;
                access_token::of_client(issuer, id, proof).await?
            }
            None if client_secret_file.is_some() || client_key_file.is_some() => {
                let problem = "--client-id must be given: whose secret or key it is";
                return Err(Failure::Usage(problem.to_owned()));
            }
            None => access_token::of_login(issuer, &server).await?,
        };
        Ok(Some(Remote { calls: InterceptedService::new(channel, Bearer::of(&token)?) }))
    }
}

impl Bearer {
    fn of(token: &str) -> Result<Self, Failure> {
        let value = MetadataValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| {
            Failure::because(CommandReason::AnswerNotUnderstood, "the service gave no token".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Remote {
    pub(super) fn users(&self) -> UserServiceClient<Calls> {
        UserServiceClient::new(self.calls.clone())
    }

    pub(super) fn sessions(&self) -> SessionServiceClient<Calls> {
        SessionServiceClient::new(self.calls.clone())
    }

    pub(super) fn groups(&self) -> GroupServiceClient<Calls> {
        GroupServiceClient::new(self.calls.clone())
    }

    pub(super) fn roles(&self) -> RoleServiceClient<Calls> {
        RoleServiceClient::new(self.calls.clone())
    }

    pub(super) fn attributes(&self) -> AttributeServiceClient<Calls> {
        AttributeServiceClient::new(self.calls.clone())
    }

    pub(super) fn manifests(&self) -> ApplyServiceClient<Calls> {
        // A plan of 5,000 changes tells what was and will be.
        ApplyServiceClient::new(self.calls.clone()).max_decoding_message_size(MANIFEST_BYTES)
    }

    pub(super) fn policies(&self) -> PolicyServiceClient<Calls> {
        // A version has up to 2,000 rules.
        PolicyServiceClient::new(self.calls.clone()).max_decoding_message_size(MANIFEST_BYTES)
    }

    pub(super) fn clients(&self) -> ClientServiceClient<Calls> {
        ClientServiceClient::new(self.calls.clone())
    }

    pub(super) fn keys(&self) -> KeyServiceClient<Calls> {
        KeyServiceClient::new(self.calls.clone())
    }

    pub(super) fn audit(&self) -> AuditServiceClient<Calls> {
        AuditServiceClient::new(self.calls.clone())
    }
}

/// The answer to a call.
pub(super) fn answered<T>(called: Result<Response<T>, Status>) -> Result<T, Failure> {
    called.map(Response::into_inner).map_err(|status| failure(&status))
}

/// Tells each that `read` finds, which reads a page: at most so many from a token on, and the token of the next page. The heading comes
/// before, if the list may be read at all.
pub(super) async fn each<T>(
    limit: Option<u64>,
    heading: impl Fn() -> Result<(), Failure>,
    read: impl AsyncFn(i32, String) -> Result<(Vec<T>, String), Failure>,
    tell: impl AsyncFn(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut left, mut token, mut is_first) = (limit.unwrap_or(u64::MAX), String::new(), true);
    while left > 0 {
        let (page, next) = read(i32::try_from(left.min(PAGE)).unwrap_or(i32::MAX), token).await?;
        if std::mem::take(&mut is_first) {
            heading()?;
        }
        left = left.saturating_sub(page.len() as u64);
        for found in page {
            tell(found).await?;
        }
        if next.is_empty() {
            break;
        }
        token = next;
    }
    Ok(())
}

/// What of a command only the machine of the service does.
pub(super) fn only_there(what: &str, instead: &str) -> Failure {
    Failure::Usage(format!("{what} does not go over --server: {instead}"))
}

/// Refuses to go on after an id, which the pages of the API do by tokens alone.
pub(super) fn from_the_start<T>(flag: &str, said: Option<T>) -> Result<(), Failure> {
    said.map_or(Ok(()), |_| Err(only_there(flag, "a list over it is read from its start")))
}
