//! Owns getting the token that calls show: by a login that was kept, or by the credentials of a client.

use std::{path::PathBuf, time::Duration};

use tokio::task::spawn_blocking;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;
use zeroize::Zeroizing;

use super::{
    address::Address,
    answered,
    login_file::{Kept, LoginFile},
    problem::{failure, reason},
};
use crate::{
    base::{Clock, Entropy},
    cli::{CommandReason, Failure},
    config::Config,
    files::read_text,
    identity::clients::ClientKey,
    model::{AdminScope, NameSet},
    proto::identity::v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, IssueTokenResponse,
        RefreshTokenGrant, client_authentication::Credential, identity_service_client::IdentityServiceClient,
        issue_token_request::Grant,
    },
};

/// A token that is good for less than this is exchanged first.
const LEAST_LEFT: Duration = Duration::from_secs(20);

/// The secret of `--client-id`, where no file has it.
const SECRET_VARIABLE: &str = "SIGNET_CLIENT_SECRET";

/// What gives tokens.
pub(super) type Issuer = IdentityServiceClient<Channel>;

/// What a client proves with who it is.
pub(super) enum ClientProof {
    /// Its secret.
    Secret(Zeroizing<String>),
    /// Its private key, and who issues the tokens.
    Key(Box<ClientKey>, String),
}

impl ClientProof {
    /// The one in the file that is named, or in the environment.
    pub(super) fn read(
        secret: Option<PathBuf>,
        key: Option<PathBuf>,
        config: &Config,
    ) -> Result<Self, Failure> {
        let read = |flag: &str, file: &PathBuf| {
            read_text(file).map_err(|error| Failure::of_input(flag, file, &error))
        };
        if let Some(file) = key {
            let pem = read("--client-key-file", &file)?;
            let key = ClientKey::from_pem(&pem);
            let refused =
                |problem| Failure::Usage(format!("--client-key-file: {} {problem}", file.display()));
            return Ok(Self::Key(Box::new(key.map_err(refused)?), config.issuer_at(config.http_addr)));
        }
        // An empty variable says nothing.
        let said = std::env::var(SECRET_VARIABLE).ok().filter(|secret| !secret.is_empty());
        let secret = match secret {
            Some(file) => read("--client-secret-file", &file)?,
            None => said.map(Zeroizing::new).ok_or_else(|| {
                let ways = "--client-secret-file, --client-key-file or SIGNET_CLIENT_SECRET must be given: \
                            what --client-id proves with who it is";
                Failure::Usage(ways.to_owned())
            })?,
        };
        Ok(Self::Secret(Zeroizing::new(secret.trim_end_matches(['\r', '\n']).to_owned())))
    }
}

/// A token of the client `id` in its own name.
pub(super) async fn of_client(
    mut issuer: Issuer,
    id: String,
    proof: ClientProof,
) -> Result<Zeroizing<String>, Failure> {
    let client = || {
        let credential = match &proof {
            ClientProof::Secret(secret) => Credential::ClientSecret(secret.to_string()),
            ClientProof::Key(key, issuer) => {
                let now = Clock::system().now();
                Credential::ClientAssertion(key.assertion(&id, issuer, now, &Entropy::system())?)
            }
        };
        Ok::<_, Failure>(ClientAuthentication { client_id: id.clone(), credential: Some(credential) })
    };
    let grant = || Ok((Grant::ClientCredentials(ClientCredentialsGrant {}), Some(client()?)));
    let granted = with_all_scopes(&mut issuer, grant).await?;
    if granted.scope.is_empty() {
        let problem =
            format!("the client {id} is registered with no `signet.` scope: it may administer nothing");
        return Err(Failure::Failed(problem));
    }
    Ok(Zeroizing::new(granted.access_token))
}

/// The token of the login at `server`, which is exchanged for the next one if it is at its end.
///
/// Two commands at once wait for each other: none uses a refresh token that the other has used, which would be taken for theft.
pub(super) async fn of_login(mut issuer: Issuer, server: &Address) -> Result<Zeroizing<String>, Failure> {
    let again = || {
        Failure::because(
            CommandReason::NotLoggedIn,
            format!("log in first: `signet login --server {server}`"),
        )
    };
    let kept_at = LoginFile::of(server)?;
    let is_good =
        |kept: &Kept| kept.expire_time.is_some_and(|end| Clock::system().now().after(LEAST_LEFT) < end);
    match kept_at.read()? {
        None => return Err(again()),
        Some(kept) if is_good(&kept) => return Ok(kept.access_token),
        Some(_) => {}
    }
    let (locked, kept_at) = spawn_blocking(move || (kept_at.lock(), kept_at)).await.map_err(joined)?;
    let _locked = locked?;
    // Whoever had the lock may have exchanged it, or logged out.
    let kept = kept_at.read()?.ok_or_else(again)?;
    if is_good(&kept) {
        return Ok(kept.access_token);
    }
    let grant = RefreshTokenGrant { refresh_token: kept.refresh_token.to_string() };
    let request =
        IssueTokenRequest { grant: Some(Grant::RefreshToken(grant)), ..IssueTokenRequest::default() };
    match issuer.issue_token(request).await {
        Ok(granted) => {
            let next =
                Kept::of(granted.into_inner(), kept.username.clone(), Some(&kept), Clock::system().now());
            kept_at.write(&next)?;
            Ok(next.access_token)
        }
        Err(status) if reason(&status).starts_with("REFRESH_TOKEN_") => {
            kept_at.remove()?;
            Err(Failure::because(
                CommandReason::NotLoggedIn,
                format!(
                    "the login of {} has ended ({}): `signet login --server {server}`",
                    kept.username,
                    status.message()
                ),
            ))
        }
        Err(status) => Err(failure(&status)),
    }
}

/// What `grant` gives with every scope that administers and that may be had: those are given only if asked for by name. What the service
/// refuses by name (a client's lack, or what a release before does not know) is asked for no more.
pub(super) async fn with_all_scopes(
    issuer: &mut Issuer,
    grant: impl Fn() -> Result<(Grant, Option<ClientAuthentication>), Failure>,
) -> Result<IssueTokenResponse, Failure> {
    let ask = |scope: &NameSet| {
        let (grant, client) = grant()?;
        let scope = scope.as_str().to_owned();
        Ok::<_, Failure>(IssueTokenRequest {
            grant: Some(grant),
            client,
            scope,
            ..IssueTokenRequest::default()
        })
    };
    let all = AdminScope::names();
    let refused = match issuer.issue_token(ask(&all)?).await {
        Ok(granted) => return Ok(granted.into_inner()),
        Err(status) => status,
    };
    let fewer = beyond(&refused).map(|beyond| all.without(&beyond)).ok_or_else(|| failure(&refused))?;
    if fewer.is_empty() {
        return Ok(IssueTokenResponse::default());
    }
    answered(issuer.issue_token(ask(&fewer)?).await)
}

/// The scopes that `status` refuses by name; none if it refuses something else.
fn beyond(status: &Status) -> Option<NameSet> {
    let info = status.get_details_error_info().filter(|info| info.reason == "INVALID_SCOPE")?;
    NameSet::parse(info.metadata.get("scope")?).ok()
}

/// That a thread did not end as it should.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn joined(error: tokio::task::JoinError) -> Failure {
    Failure::because(CommandReason::LoginUnusable, format!("the login could not be read: {error}"))
}
